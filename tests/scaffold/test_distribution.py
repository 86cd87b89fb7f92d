"""The files that are written for a new plugin, before it is installed."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

from latentkit.errors import StorageError, UserError
from latentkit.scaffold.distribution import KINDS, new_distribution

RULES = "E,F,I,D1,UP,B,RUF,SIM,PT,N"


EVERY = [*((kind, True) for kind in KINDS), ("model", False)]


@pytest.mark.parametrize(("kind", "decoder"), EVERY)
def test_the_files_name_the_part_and_its_distribution(kind, decoder, tmp_path):
    project, *files = new_distribution("two-words", kind, tmp_path, decoder=decoder)
    assert project == tmp_path / "latentkit-two-words" / "pyproject.toml"
    about = tomllib.loads(project.read_text(encoding="utf-8"))
    assert about["project"]["name"] == "latentkit-two-words"
    entries = about["project"]["entry-points"]["latentkit.plugins"]
    assert entries == {"two-words": "latentkit_two_words.plugin"}
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    assert 'name="two-words"' in texts["plugin.py"]
    assert "class TwoWordsOptions(Options)" in texts["options.py"]
    assert not any("$" in text for text in texts.values())


@pytest.mark.skipif(not find_spec("ruff"), reason="needs ruff")
@pytest.mark.parametrize(("kind", "decoder"), EVERY)
def test_a_linter_finds_no_fault_in_the_files(kind, decoder, tmp_path):
    root = new_distribution("two-words", kind, tmp_path, decoder=decoder)[0].parent
    ignored = "--extend-per-file-ignores=tests/*:D,src/*:D107"
    for command in (["check", f"--select={RULES}", ignored], ["format", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "ruff", *command, "--no-cache", "."],
            cwd=root,
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout


def test_the_prefix_of_the_distribution_is_not_repeated(tmp_path):
    root = new_distribution("latentkit-net", "model", tmp_path)[0].parent
    assert root == tmp_path / "latentkit-net"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("My Net", "such as 'my-net'"),
        ("my_net", "such as 'my-net'"),
        ("3d-net", "such as 'd-net'"),
        ("net-", "such as 'net'"),
        ("../net", "such as 'net'"),
        ("", "choose another"),
        ("ö", "choose another"),
    ],
)
def test_an_invalid_name_is_refused_with_a_valid_suggestion(name, hint, tmp_path):
    with pytest.raises(UserError, match="must be lower-case words joined by hyphens") as refused:
        new_distribution(name, "model", tmp_path)
    assert str(refused.value).endswith(hint)
    assert list(tmp_path.iterdir()) == []


def test_only_a_model_can_be_asked_for_without_a_decoder(tmp_path):
    with pytest.raises(UserError, match="--no-decoder is for models"):
        new_distribution("net", "corruption", tmp_path, decoder=False)
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_kind_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no kind 'modle' \(did you mean 'model'\?\)"):
        new_distribution("net", "modle", tmp_path)


def test_existing_files_are_not_overwritten(tmp_path):
    (project, *_) = new_distribution("net", "model", tmp_path)
    project.write_text("mine")
    with pytest.raises(UserError, match="latentkit-net already exists: choose another name"):
        new_distribution("net", "corruption", tmp_path)
    assert project.read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="choose another folder with --out"):
        new_distribution("net", "model", tmp_path / "file")
