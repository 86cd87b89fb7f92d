"""The setting for the folder of runs: every command makes and finds runs there."""

import json
import tomllib
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.errors import UserError

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures", "undrawn")]

PROBE = ("--mode", "probe", "--epochs", "1", "--no-maps", "-o", "threads=1")


@pytest.fixture
def elsewhere(finished):
    """Return a finished run in ./exp; the folder ./runs does not exist."""
    finished.parent.rename("exp")
    return Path("exp") / finished.name


@pytest.mark.parametrize(
    "arguments",
    [
        "resume last",
        "evaluate last",
        "report last",
        "embed last --embed pca",
        "compare last last",
        "runs last",
        "explore last grid --steps 2",
        "export last",
    ],
)
def test_a_command_finds_the_last_run_in_the_configured_folder(
    latentkit, elsewhere, arguments, monkeypatch
):
    monkeypatch.setattr("latentkit.api.files.export_onnx", lambda *work: [])
    asked = latentkit(*arguments.split(), "--runs", "exp")
    assert asked.code == 0, asked.err
    monkeypatch.setenv("LATENTKIT_RUNS", "exp")
    assert latentkit(*arguments.split()).code == 0


def test_explore_accepts_the_folder_before_the_view(latentkit, elsewhere):
    ended = latentkit("explore", "--runs", "exp", "last", "grid", "--steps", "2")
    assert [Path(line).parent.parent for line in ended.out.splitlines()] == [elsewhere] * 2


@pytest.mark.parametrize("option", ["--runs", "--out"])
def test_new_runs_are_made_in_the_folder_and_start_from_runs_in_it(
    latentkit, elsewhere, small, option
):
    for arguments in (("transfer", "last", *PROBE), ("run", "--init-from", "last", *small)):
        ended = latentkit(*arguments, option, "exp", "-q")
        assert ended.code == 0, ended.err
        assert Path(ended.out.strip()).parent == Path("exp")
    assert not Path("runs").exists()


def test_the_variable_is_the_default_and_the_option_replaces_it(
    latentkit, elsewhere, small, monkeypatch
):
    monkeypatch.setenv("LATENTKIT_RUNS", "exp")
    assert Path(latentkit("run", "-q", *small).out.strip()).parent == Path("exp")
    assert len(json.loads(latentkit("runs", "--json").out)) == 2
    assert json.loads(latentkit("runs", "--json", "--runs", "empty").out) == []


def test_a_transfer_with_its_own_out_still_takes_its_parent_from_the_default_folder(
    latentkit, finished
):
    ended = latentkit("transfer", finished.name, *PROBE, "--out", "whole", "--name", "t", "-q")
    assert ended.out.strip() == "whole/t", ended.err
    record = json.loads(Path("whole/t/run.json").read_text())
    assert record["config"]["transfer"]["parent"] == finished.name


def test_out_alone_does_not_change_which_run_last_means(latentkit, finished, small):
    for name in ("one", "two"):
        asked = ("transfer", "last", *PROBE, "--out", "whole", "--name", name, "-q")
        assert latentkit(*asked).code == 0
        record = json.loads(Path(f"whole/{name}/run.json").read_text())
        assert record["config"]["transfer"]["parent"] == finished.name
    ended = latentkit("run", "--init-from", "last", *small, "--out", "whole", "--name", "r", "-q")
    assert ended.code == 0, ended.err
    record = json.loads(Path("whole/r/run.json").read_text())
    assert record["config"]["init"]["path"] == str((finished / "model.safetensors").absolute())


def test_a_map_is_aligned_to_the_last_run_of_the_folder_and_keeps_its_name(
    latentkit, elsewhere, small
):
    asked = ("run", "--embed", "pca", "-o", "pca.align_to=last", *small, "--runs", "exp", "-q")
    ended = latentkit(*asked)
    assert ended.code == 0, ended.err
    run = Path(ended.out.strip())
    (stored,) = tomllib.loads((run / "config.toml").read_text())["embedding"]
    assert stored["align_to"] == elsewhere.name
    facts = json.loads((run / "embeddings/pca.json").read_text())
    assert facts["aligned_to"]["map"] == f"{elsewhere.name}#pca"


def test_last_never_means_the_run_that_is_being_made(latentkit, elsewhere, small):
    embed = ("--embed", "pca", "-o", "pca.align_to=last", "--init-from", "last")
    for arguments in (
        ("run", *embed, *small, "--name", "again"),
        ("transfer", "last", *PROBE, "--name", "probe"),
    ):
        for _ in range(2):
            ended = latentkit(*arguments, "--runs", "exp", "-q")
            assert ended.code == 0, ended.err
    record = json.loads(Path("exp/probe/run.json").read_text())
    assert record["config"]["transfer"]["parent"] == "again"


def test_a_study_starts_from_a_run_in_the_folder(latentkit, elsewhere, small):
    Path("base.toml").write_text('[init]\npath = "last"\n')
    ended = latentkit(
        "tune", "--config", "base.toml", "--trials", "1", "--no-finish", *small, "--runs", "exp",
        "--json", "-q",
    )  # fmt: skip
    (trial,) = json.loads(ended.out)["trials"]
    assert trial["state"] == "complete", trial["error"]
    config = Path("studies/conv-ae-digits/runs/trial-0000/config.toml").read_text()
    assert tomllib.loads(config)["init"]["path"] == str(
        (elsewhere / "model.safetensors").absolute()
    )


def test_the_doctor_shows_the_folder(latentkit, elsewhere):
    found = {one["topic"]: one["text"] for one in json.loads(latentkit("doctor", "--json").out)}
    assert found["runs"] == f"{Path('runs').absolute()} does not exist yet; runs will be made there"
    shown = json.loads(latentkit("doctor", "--json", "--runs", "exp").out)
    found = {one["topic"]: one["text"] for one in shown}
    assert found["runs"] == f"{Path('exp').absolute()} holds 1 run"


def test_python_accepts_the_folder_by_its_new_and_old_argument_names_and_the_variable(
    elsewhere, monkeypatch
):
    root = elsewhere.parent
    for opened in (
        lk.open("last", runs=root),
        lk.open("last", root),
        lk.open("last", root=root),
        *lk.list_runs(runs=root),
        *lk.list_runs(root),
        *lk.list_runs(root=root),
    ):
        assert opened.path == elsewhere.absolute()
    monkeypatch.setenv("LATENTKIT_RUNS", str(root))
    assert lk.open("last").path == lk.resume("last").path == elsewhere.absolute()
    with pytest.raises(UserError, match="the folder of runs is given twice, as a and b"):
        lk.run(runs="a", out="b")
