"""What ``--json`` prints is as docs/reference/json.md says, and alone on stdout."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import latentkit as lk

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

NEEDS_ONNX = pytest.mark.skipif(not find_spec("onnxscript"), reason="needs latentkit[onnx]")
PAGE = Path(__file__).parents[2] / "docs/reference/json.md"
FIGURE, ESTIMATE = {"value", "standard_error", "low", "high"}, {"value", "standard_error"}
TYPES = {
    "text": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "list": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
    "null": lambda value: value is None,
    "any": lambda value: True,
    "figure": lambda value: isinstance(value, dict) and set(value) == FIGURE,
    "estimate": lambda value: isinstance(value, dict) and set(value) == ESTIMATE,
}


@dataclass
class Documented:
    """A key of the page; without types, it is what the keys below it make it."""

    types: list[str] = field(default_factory=list)
    optional: bool = False
    below: dict[str, Documented] = field(default_factory=dict)

    def faults(self, value: Any, at: str = "") -> list[str]:
        """Return how a value differs from what is documented."""
        types = self.types or ["list" if "[]" in self.below else "object"]
        link = next((one for one in types if one.startswith("#")), "")
        if link:
            return documented(link).faults(value, at)
        if not any(TYPES[one](value) for one in types):
            return [f"{at}: {value!r} is not {' or '.join(types)}"]
        if isinstance(value, list) and "[]" in self.below:
            items = (self.below["[]"].faults(item, f"{at}[]") for item in value)
            return [fault for faults in items for fault in faults]
        return self._faults_of_keys(value, at) if isinstance(value, dict) and self.below else []

    def _faults_of_keys(self, value: dict[str, Any], at: str) -> list[str]:
        free = next((one for name, one in self.below.items() if name.isupper()), None)
        found = [
            f"{at}.{name} is missing"
            for name, one in self.below.items()
            if not (name.isupper() or one.optional or name in value)
        ]
        for name, item in value.items():
            one = self.below.get(name, free)
            found += (
                one.faults(item, f"{at}.{name}") if one else [f"{at}.{name} is not on the page"]
            )
        return found


def sections() -> dict[str, str]:
    """Return the text below each heading, by the heading's anchor."""
    parts = re.split(r"^## (.+)$", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    anchors = (re.sub(r"[^a-z -]", "", one.lower()).replace(" ", "-") for one in parts[1::2])
    return dict(zip((f"#{one}" for one in anchors), parts[2::2], strict=True))


@cache
def documented(anchor: str) -> Documented:
    """Return the keys in the table below a heading."""
    top = Documented()
    for keys, types in re.findall(r"^\| (`.*?) \| (.*?) \|", sections()[anchor], re.MULTILINE):
        for key in re.findall(r"`(.+?)`", keys):
            at = top
            for name in re.findall(r"\[\]|[^.\[]+", key.removesuffix("?")):
                at = at.below.setdefault(name, Documented())
            at.types = re.findall(r"\((#.+)\)", types) or types.split(" or ")
            at.optional = key.endswith("?")
    return top


@pytest.fixture(scope="module")
def runs(blank_figures, finished_once, studied_once, tmp_path_factory):
    """Return a folder with a run and a transfer, and with a folder of studies."""
    folder = tmp_path_factory.mktemp("json")
    shutil.copytree(finished_once, folder / "a")
    shutil.copytree(studied_once, folder / "studies" / "s")
    options = {"threads": 1}
    lk.transfer(
        folder / "a", mode="probe", epochs=1, embed=(), options=options, name="t", out=folder
    )
    return folder


def test_every_type_of_the_page_is_known():
    rows = [
        row
        for one in sections().values()
        for row in re.findall(r"^\| (`.*?) \| (.*?) \|", one, re.M)
    ]
    kinds = {
        kind
        for keys, types in rows
        for kind in types.split(" or ")
        if not keys.startswith("`latentkit")
    }
    assert {one for one in kinds if not re.fullmatch(r".*\(#.+\)", one)} <= set(TYPES)


def test_the_page_names_every_command_that_takes_json(all_commands):
    rows = re.findall(r"^\| (`latentkit .*?) \|", sections()["#which-command-prints-what"], re.M)
    named = {
        re.sub(r" (--|[A-Z]).*", "", one) for row in rows for one in re.findall(r"`(.+?)`", row)
    }
    assert named == {
        path
        for path, one in all_commands.items()
        if any("--json" in param.opts for param in one.params)
    }


@pytest.mark.parametrize(
    ("command", "anchor"),
    [
        ("runs a", "#a-runs-summary"),
        ("runs t", "#a-runs-summary"),
        ("run --dry-run --epochs 1 -o model.channels=[4]", "#a-dry-run"),
        ("embed --dataset digits --embed pca --on 50", "#maps-of-vectors"),
        ("evaluate a", "#an-evaluation-card"),
        ("evaluate t", "#the-card-of-a-transfer"),
        ("maps a", "#a-comparison-of-maps"),
        ("compare a a t", "#a-comparison-of-runs"),
        ("encode a --dataset digits", "#files-that-were-written"),
        ("reconstruct a --dataset digits --out rebuilt", "#files-that-were-written"),
        ("classify t --dataset digits", "#files-that-were-written"),
        ("sample a -n 2 --out drawn", "#files-that-were-written"),
        ("pack a", "#a-packed-run"),
        pytest.param("export a --out onnx", "#exported-files", marks=NEEDS_ONNX),
        ("plugins list", "#parts"),
        ("plugins check blur", "#checks-of-parts"),
        ("data list", "#data-sets"),
        ("data check digits", "#a-check-of-images"),
        ("data verify digits", "#a-verified-data-set"),
        ("data cache", "#decoded-images"),
        ("doctor", "#findings"),
    ],
)
def test_real_output_is_as_the_page_says(latentkit, runs, monkeypatch, command, anchor):
    monkeypatch.setenv("LATENTKIT_RUNS", str(runs))
    ended = latentkit(*command.split(), "--json")
    assert documented(anchor).faults(json.loads(ended.out)) == []


def test_lists_have_the_objects_of_the_page(latentkit, runs, monkeypatch):
    monkeypatch.setenv("LATENTKIT_RUNS", str(runs))
    lines = {line["run"]: line for line in json.loads(latentkit("runs", "--json").out)}
    assert list(lines) == ["a", "t"]
    for line in lines.values():
        assert documented("#a-runs-summary").faults(line) == []
    studies = ("--out", runs / "studies", "--json")
    found = json.loads(latentkit("studies", *studies).out)
    assert documented("#a-list-of-studies").faults(found) == []
    found = json.loads(latentkit("studies", "s", *studies).out)
    assert documented("#a-study").faults(found) == []
    part = json.loads(latentkit("plugins", "show", "conv-ae", "--json").out)
    assert documented("#parts").faults([part]) == []
    assert part["options"]


def test_a_document_that_differs_from_the_page_is_noticed():
    packed = documented("#a-packed-run")
    assert packed.faults({"path": "a", "bytes": 1}) == []
    assert packed.faults({"path": 1, "size": 1}) == [
        ".bytes is missing",
        ".path: 1 is not text",
        ".size is not on the page",
    ]
    (fault,) = documented("#parts").faults([{}])[:1]
    assert fault == "[].kind is missing"


def test_what_a_part_prints_goes_to_stderr(latentkit, install_plugin, finished):
    install_plugin(
        "loud_map",
        """
        from latentkit.plugin import EmbeddingSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_embeddings():
            yield EmbeddingSpec(name="loud", summary="Loud", target="loud_map:build")

        class Loud:
            def fit_transform(self, vectors):
                return vectors[:, :2]

        def build(options, random_state):
            print("a part speaks")
            return Loud()
        """,
    )
    for command in (("embed", finished, "--embed", "loud"), ("maps", finished)):
        ended = latentkit(*command, "--json")
        assert ended.code == 0, ended.err
        assert "loud" in json.dumps(json.loads(ended.out)["maps"])
        assert "a part speaks" in ended.err
