"""A run or study that cannot be read does not hide the others."""

import json
import os
import shutil
from pathlib import Path

import pytest

import latentkit as lk

pytestmark = [
    pytest.mark.early,
    pytest.mark.usefixtures("blank_figures"),
    # The command line prints warnings, but the filter of the tests would raise them.
    pytest.mark.filterwarnings("default::UserWarning"),
]

DAMAGES = {
    "torn": ('{"latentkit_run": 1, "id": ', "run.json is damaged"),
    "later": ('{"latentkit_run": 99}', "written by a later latentkit (schema 99)"),
    "other": ("[1, 2]", "run.json is damaged"),
}


@pytest.fixture
def among_damaged(finished):
    """Put three older, damaged runs beside a finished one."""
    for name, (text, _) in DAMAGES.items():
        (finished.parent / name).mkdir()
        (finished.parent / name / "run.json").write_text(text)
        os.utime(finished.parent / name, (1, 1))
    return finished


def test_the_list_shows_readable_runs_and_warns_about_each_damaged_one(latentkit, among_damaged):
    for arguments in (("runs",), ("runs", "--json")):
        ended = latentkit(*arguments)
        assert ended.code == 0
        assert among_damaged.name in ended.out
        warnings = ended.err.splitlines()
        assert len(warnings) == len(DAMAGES)
        for name, (_, message) in DAMAGES.items():
            (line,) = [one for one in warnings if f"runs/{name}/" in one]
            assert line.startswith("latentkit: warning: ")
            assert message in line
    states = {one["run"]: one["status"] for one in json.loads(ended.out)}
    assert states == {among_damaged.name: "finished", **dict.fromkeys(DAMAGES, "damaged")}


def test_last_is_the_last_readable_run(latentkit, among_damaged):
    ended = latentkit("runs", "last", "--json")
    assert json.loads(ended.out)["run"] == among_damaged.name
    assert ended.err == ""


def test_a_warning_appears_if_an_unreadable_run_may_be_newer(latentkit, finished):
    shutil.copytree(finished, finished.parent / "newer")
    (finished.parent / "newer" / "run.json").write_text("{")
    ended = latentkit("resume", "last")
    assert ended.code == 0
    (line,) = [one for one in ended.err.splitlines() if "newer" in one]
    assert line.startswith(f"latentkit: warning: 'last' is {finished.name}, but a run that may be")


def test_python_lists_readable_runs_and_warns(among_damaged):
    with pytest.warns(UserWarning, match="left out a run that cannot be read: ") as warned:
        assert [run.id for run in lk.list_runs()] == [among_damaged.name]
    assert len(warned) == len(DAMAGES)
    assert {Path(one.filename) for one in warned} == {Path(__file__)}


def test_studies_lists_readable_studies_and_warns_about_each_damaged_one(latentkit, studied):
    for name, text in {"torn": "{", "later": '{"schema": 99}', "other": "[1]"}.items():
        (studied.parent / name).mkdir()
        (studied.parent / name / "study.json").write_text(text)
    for arguments in (("studies",), ("studies", "--json")):
        ended = latentkit(*arguments)
        assert ended.code == 0
        assert studied.name in ended.out
        warnings = ended.err.splitlines()
        assert [line.startswith("latentkit: warning: ") for line in warnings] == [True] * 3
    assert [line["study"] for line in json.loads(ended.out) if "error" not in line] == [
        studied.name
    ]
