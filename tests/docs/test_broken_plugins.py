"""The effect of each plugin fault on each command in a real environment, and the table of effects.

All faulty distributions are installed at once; ``LATENTKIT_PLUGINS`` selects single cases.
"""

from __future__ import annotations

import functools
import json
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "plugin-contract.md"
CASES = tomllib.loads((Path(__file__).parent / "broken_plugins.toml").read_text(encoding="utf-8"))
EVERYTHING = ",".join(name for distributions in CASES.values() for name in distributions)
HARMLESS = ("import-is-slow", "import-prints", "hook-none", "name-here", "name-there", "entry-here")
PRINTED = ["hello from a plugin", "and from its hook"]
HEAD = """
from latentkit.plugin import EmbeddingSpec, ModelSpec, hookimpl
LATENTKIT_HOOKSPEC_VERSION = 1

def map_named(name):
    return EmbeddingSpec(name=name, summary="A map", target="json:dumps")
"""
SMALL = "-o model.channels=[4,8] -o model.hidden=[16] -o model.latent_dim=3 -o threads=1"
LINE = re.compile(
    r"latentkit: warning: (plugin '[\w-]+' of ([\w-]+) 1\.0)(.*?)"
    r"(?: \('latentkit doctor' shows more\))?"
)
SECONDS = re.compile(r"took \d+\.\d s")


class Environment:
    """A virtual environment with every faulty plugin, where each command runs once."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.python, self.folder = python, folder
        self.run = functools.cache(self._run)

    def _run(self, command: str, plugins: str = EVERYTHING) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("COVERAGE_", "PYTHON"))}
        return subprocess.run(
            [self.python, "-m", "latentkit", *command.split()],
            cwd=self.folder,
            env={**kept, "LATENTKIT_PLUGINS": plugins, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def alone(self, case: str, command: str) -> subprocess.CompletedProcess[str]:
        return self.run(command, ",".join(CASES[case]))


@pytest.fixture(scope="module")
def environment(tmp_path_factory, python_with) -> Environment:
    installed = {
        name: {entry: code.replace("HEAD", HEAD) for entry, code in modules.items()}
        for distributions in CASES.values()
        for name, modules in distributions.items()
    }
    return Environment(python_with(installed), tmp_path_factory.mktemp("here"))


def lines_of(ended: subprocess.CompletedProcess[str], distributions) -> list[tuple[str, str]]:
    """Return the named plugin and its message for each of ``distributions``, without times."""
    found = [LINE.fullmatch(line) for line in ended.stderr.splitlines()]
    return [
        (match[1], SECONDS.sub("took N s", match[3]))
        for match in found
        if match
        and match[2] in distributions
        # A slow machine is not a fault of a plugin.
        and (match[2] == "import-is-slow" or not SECONDS.search(match[3]))
    ]


def parts_of(ended: subprocess.CompletedProcess[str], distributions) -> list[str]:
    return [
        part["name"] for part in json.loads(ended.stdout) if part["distribution"] in distributions
    ]


def built_in(ended: subprocess.CompletedProcess[str]) -> set[str]:
    parts = json.loads(ended.stdout)
    return {part["qualified_name"] for part in parts if part["distribution"] == "latentkit"}


def findings_of(environment: Environment, distributions) -> dict[str, dict[str, str]]:
    findings = json.loads(environment.run("doctor --json").stdout)
    names = "|".join(distributions)
    return {
        finding["topic"]: finding
        for finding in findings
        if re.search(rf"(plugin|this one is) ({names}):", f"{finding['topic']} {finding['text']}")
    }


@pytest.fixture(scope="module")
def trained(environment):
    """Return the output of a run of default parts, with every faulty plugin installed."""
    return environment.run(f"run --json --epochs 2 {SMALL}")


def test_the_help_loads_no_plugin(environment):
    ended = environment.run("--help")
    assert (ended.returncode, ended.stderr) == (0, "")


@pytest.mark.parametrize("case", CASES)
def test_a_fault_gives_one_line_that_names_the_distribution_and_nothing_else(case, environment):
    ended = environment.alone(case, "plugins list --json")
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    named = [LINE.fullmatch(line) for line in ended.stderr.splitlines()]
    assert all(match[2] in CASES[case] for match in named if match)
    rest = [line for line in ended.stderr.splitlines() if not LINE.fullmatch(line)]
    assert rest == (PRINTED if "import-prints" in CASES[case] else [])
    assert built_in(ended) == built_in(environment.run("plugins list --json --no-plugins"))


def test_no_plugins_leaves_all_of_them_out(environment):
    ended = environment.run("plugins list --json --no-plugins")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert len(built_in(ended)) == len(json.loads(ended.stdout)) > 0


@pytest.mark.parametrize("case", CASES)
def test_all_faulty_plugins_together_behave_as_each_does_alone(case, environment):
    together, alone = (
        environment.run("plugins list --json"),
        environment.alone(case, "plugins list --json"),
    )
    assert lines_of(together, CASES[case]) == lines_of(alone, CASES[case])
    assert parts_of(together, CASES[case]) == parts_of(alone, CASES[case])


def test_the_table_of_parts_is_printed_despite_all_faulty_plugins(environment):
    ended = environment.run("plugins list")
    assert ended.returncode == 0
    assert "Traceback" not in ended.stderr
    assert re.search(r"embedding +name-here:shared-map +A map +name-here 1\.0", ended.stdout)
    assert "from a plugin" not in ended.stdout


def test_a_run_with_other_parts_works_despite_all_faulty_plugins(environment, trained):
    assert trained.returncode == 0, trained.stderr
    summary = json.loads(trained.stdout)
    assert "Traceback" not in trained.stderr
    (folder,) = (environment.folder / "runs").iterdir()
    assert 'name = "latentkit:conv-ae"' in (folder / "config.toml").read_text(encoding="utf-8")
    assert summary["epochs"] == 2
    listed = environment.run("plugins list --json")
    for distributions in CASES.values():
        before = lines_of(listed, distributions)
        assert lines_of(trained, distributions)[: len(before)] == before


def test_a_hook_that_raises_at_every_epoch_is_reported_once_per_run(trained):
    said = lines_of(trained, {"watch-raises"})
    where = "plugin 'watcher' of watch-raises 1.0"
    assert said == [(where, ": latentkit_epoch_finished: RuntimeError: no tracker for epoch 1")]
    assert "epoch 2\n" in trained.stderr  # it was called again; its print is not on stdout


def test_the_doctor_names_each_fault_and_exits_with_3(environment):
    ended = environment.run("doctor --json")
    assert ended.returncode == 3
    assert "Traceback" not in ended.stderr
    (broken,) = findings_of(environment, ["import-raises"]).values()
    assert broken["details"].startswith("Traceback")
    assert "pip uninstall import-raises" in broken["remedy"]
    (slow,) = findings_of(environment, ["import-is-slow"]).values()
    assert re.search(r"took \d+\.\d s to load", slow["text"])


def test_the_doctor_exits_with_0_if_no_plugin_is_broken_and_names_unknown_ones(
    environment,
):
    ended = environment.run("doctor --json", ",".join([*HARMLESS, "hook-nine"]))
    assert ended.returncode == 0
    findings = {finding["topic"]: finding for finding in json.loads(ended.stdout)}
    assert "offers nothing" in findings["plugin hook-none:empty"]["text"]
    assert "'hook-nine'" in findings["LATENTKIT_PLUGINS"]["text"]


@pytest.mark.parametrize("case", CASES)
def test_strict_mode_stops_at_a_plugin_that_would_be_skipped(case, environment):
    left_out = any("was left out" in line for _, line in said_of(environment, case))
    ended = environment.alone(case, "plugins list --json --strict-plugins")
    assert ended.returncode == (9 if left_out else 0)
    if left_out:
        assert ended.stdout == ""
        assert re.match(r"latentkit: error: plugin '", ended.stderr)


def said_of(environment: Environment, case: str) -> list[tuple[str, str]]:
    return lines_of(environment.alone(case, "plugins list --json"), CASES[case])


def test_the_page_has_the_table_of_observed_effects(environment, trained):
    head = ("what is wrong", "`plugins list`", "`run`", "`doctor`", "strict", "the line")
    body = [row(case, environment, trained) for case in CASES]
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ("---",) * len(head), *body)]
    table = "\n".join(lines)
    assert table in PAGE.read_text(encoding="utf-8"), f"write into {PAGE}:\n\n{table}"


def row(case: str, environment: Environment, trained) -> tuple[str, ...]:
    listed = environment.alone(case, "plugins list --json")
    strict = environment.alone(case, "plugins list --json --strict-plugins")
    parts = " and ".join(f"`{name}`" for name in parts_of(listed, CASES[case])) or "no part"
    findings = findings_of(environment, CASES[case]).values()
    own = [f for f in findings if "is-slow" in f["topic"] or not SECONDS.search(f["text"])]
    states = {finding["state"] for finding in own}
    worst = next((state for state in ("broken", "note") if state in states), "ok")
    ran = lines_of(trained, CASES[case])
    return (
        case,
        f"{listed.returncode}, {parts}{noted(lines_of(listed, CASES[case]))}",
        f"{trained.returncode}{noted(ran)}",
        f"{3 if worst == 'broken' else 0}, {worst}",
        f"{strict.returncode}",
        "<br>".join(f"`…{line}`" for _, line in ran),
    )


def noted(lines: list[tuple[str, str]]) -> str:
    return {0: "", 1: ", a line"}.get(len(lines), f", {len(lines)} lines")
