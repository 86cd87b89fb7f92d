"""Logged runs and studies, read back from MLflow's SQLite store with MLflow's own client."""

from __future__ import annotations

import logging
import shutil
import subprocess
import sys
from contextlib import redirect_stderr
from dataclasses import replace
from importlib.metadata import entry_points
from io import StringIO

import pytest

pytest.importorskip("latentkit_mlflow", reason="pip install ./plugins/latentkit-mlflow to test it")

from mlflow import MlflowClient

import latentkit as lk
from latentkit.plugin import EpochFinished, RunInfo, SearchRange, StudyInfo, TrialInfo
from latentkit.registry.catalogue import default_registry
from latentkit_mlflow import plugin

INSTALLED = any(e.name == "mlflow" for e in entry_points(group="latentkit.plugins"))
pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="pip install ./plugins/latentkit-mlflow to test it"
)
CONFIG = {"seed": 0, "model": {"name": "conv-ae", "channels": [4]}, "training": {"epochs": 3}}
SUMMARY = {"epochs": 3, "reconstruction": {"mse": {"value": 0.25, "standard_error": 0.01}}}


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """Return the database of a first run, and its output on stderr.

    Creating the database takes seconds, so it is done once.
    """
    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stderr(StringIO()) as said:
        monkeypatch.setenv("LATENTKIT_MLFLOW", "on")
        monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
        monkeypatch.setenv("LATENTKIT_MLFLOW_TIMEOUT", "600")
        monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "first")
        monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
        monkeypatch.chdir(folder)
        follow(RunInfo("r", folder, CONFIG), [1])
    return folder / "mlflow.db", said.getvalue()


@pytest.fixture(autouse=True)
def client(first, tmp_path, monkeypatch):
    """Return a client of a store for this test only, which the plugin uses too."""
    uri = f"sqlite:///{shutil.copyfile(first[0], tmp_path / 'mlflow.db')}"
    monkeypatch.chdir(tmp_path)  # artefacts are written here
    for name in ("LATENTKIT_MLFLOW", "MLFLOW_EXPERIMENT_NAME", "MLFLOW_EXPERIMENT_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("LATENTKIT_PLUGINS", "latentkit-mlflow")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("LATENTKIT_MLFLOW_TIMEOUT", "600")
    return MlflowClient(uri)


@pytest.fixture
def run(tmp_path):
    (tmp_path / "r").mkdir()
    return RunInfo("r", tmp_path / "r", CONFIG, config_sha256="abc", versions={"torch": "2.5"})


def runs_of(client, experiment="latentkit"):
    found = client.get_experiment_by_name(experiment)
    return client.search_runs([found.experiment_id], order_by=["start_time ASC"])


def epoch(number):
    return EpochFinished(number, 3, {"loss": 1 / number}, {"loss": 2 / number}, 1e-3, 0.5)


def follow(run, epochs, status="finished", summary=SUMMARY, error=""):
    plugin.latentkit_run_started(run)
    for number in epochs:
        plugin.latentkit_epoch_finished(run, epoch(number))
    plugin.latentkit_run_finished(run, status, summary, error)


def steps(client, run_id, figure="train/loss"):
    return [metric.step for metric in client.get_metric_history(run_id, figure)]


def test_a_run_has_options_curves_card_and_tags(client, run):
    follow(run, [1, 2, 3])
    (found,) = runs_of(client)
    assert found.info.status == "FINISHED"
    assert found.info.run_name == "r"
    params = found.data.params
    assert params["model.name"] == "conv-ae"
    assert params["model.channels"] == "[4]"
    assert params["training.epochs"] == "3"
    history = client.get_metric_history(found.info.run_id, "validation/loss")
    assert [(metric.step, metric.value) for metric in history] == [(1, 2), (2, 1), (3, 2 / 3)]
    metrics = found.data.metrics
    assert (metrics["learning_rate"], metrics["seconds"]) == (1e-3, 0.5)
    assert metrics["card/reconstruction/mse"] == 0.25
    tags = found.data.tags
    assert tags["latentkit.run"] == str(run.path)
    assert tags["latentkit.config_sha256"] == "abc"
    assert tags["latentkit.version.torch"] == "2.5"
    assert tags["latentkit.status"] == "finished"
    assert client.list_artifacts(found.info.run_id) == []


@pytest.mark.parametrize(
    ("status", "word"), [("failed", "FAILED"), ("interrupted", "KILLED"), ("pruned", "KILLED")]
)
def test_the_end_of_a_run_sets_its_status(status, word, client, run):
    follow(run, [1], status, {}, "DataError: gone")
    (found,) = runs_of(client)
    assert found.info.status == word
    assert found.data.tags["latentkit.status"] == status
    assert found.data.tags["latentkit.error"] == "DataError: gone"


def test_a_resumed_run_continues_the_same_mlflow_run_without_repeated_epochs(client, run):
    plugin.latentkit_run_started(run)
    for number in (1, 2):
        plugin.latentkit_epoch_finished(run, epoch(number))
    assert runs_of(client)[0].info.status == "RUNNING"  # the run is killed here
    longer = {**CONFIG, "training": {"epochs": 4}}
    follow(replace(run, config=longer, resumed=True), [2, 3, 4])
    (found,) = runs_of(client)
    assert steps(client, found.info.run_id) == [1, 2, 3, 4]
    assert found.info.status == "FINISHED"
    assert found.data.params["training.epochs"] == "3"
    assert found.data.tags["changed.training.epochs"] == "4"


def test_a_run_that_was_logged_to_another_store_gets_a_new_mlflow_run(client, run):
    (run.path / "mlflow.json").write_text('{"run_id": "0123456789abcdef0123456789abcdef"}')
    follow(replace(run, resumed=True), [1])
    (found,) = runs_of(client)
    assert steps(client, found.info.run_id) == [1]


def test_artefacts_are_copied_on_request(client, run, monkeypatch):
    monkeypatch.setenv("LATENTKIT_MLFLOW_ARTEFACTS", "report, figures")
    (run.path / "figures").mkdir()
    (run.path / "figures/map-pca.png").write_bytes(b"png")
    (run.path / "report.html").write_text("page")
    follow(run, [1])
    run_id = runs_of(client)[0].info.run_id
    assert {item.path for item in client.list_artifacts(run_id)} == {"figures", "report.html"}
    (figure,) = client.list_artifacts(run_id, "figures")
    assert figure.path == "figures/map-pca.png"


def test_the_experiment_comes_from_mlflows_own_variable(client, run, monkeypatch):
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "mine")
    follow(run, [1])
    assert len(runs_of(client, "mine")) == 1
    assert client.get_experiment_by_name("latentkit") is None


def test_logging_can_be_switched_off(client, run, monkeypatch):
    monkeypatch.setenv("LATENTKIT_MLFLOW", "off")
    follow(run, [1])
    assert client.get_experiment_by_name("latentkit") is None


def test_a_study_is_one_mlflow_run_with_its_trials_nested_in_it(client, tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.api.tune.report_study", lambda *study: None)  # its drawings
    study = lk.tune(
        name="s",
        trials=2,
        epochs=1,
        options={"model.channels": [4], "model.hidden": [16], "threads": 1},
        tuner_options={"sampler": "random", "pruner": "none"},
        finish=False,
        out=tmp_path / "studies",
    )
    parent, *trials = runs_of(client)
    assert parent.info.run_name == "s"
    assert parent.info.status == "FINISHED"
    best = study.result.best
    assert parent.data.metrics["best/validation loss"] == pytest.approx(best.values[0])
    assert parent.data.metrics["trials/complete"] == 2
    assert parent.data.tags["latentkit.best_trial"] == str(best.number)
    assert parent.data.params["tuner.name"] == "optuna"
    assert [run.info.run_name for run in trials] == ["s trial-0000", "s trial-0001"]
    for run, trial in zip(trials, study.result.trials, strict=True):
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert run.data.tags["latentkit.trial"] == str(trial.number)
        assert run.data.metrics["card/objective/loss"] == pytest.approx(trial.values[0])
        for option, value in trial.params.items():
            assert run.data.params[option] == str(value)


def info_of_study(path, storage=""):
    path.mkdir()
    space = {"training.learning_rate": SearchRange(1e-3, 1e-2)}
    return StudyInfo(
        "s", path, "id", 2, ("loss",), ("minimize",), space, {"name": "t"}, CONFIG, storage
    )


def test_studies_share_a_parent_by_storage_and_not_by_folder_name(client, tmp_path):
    for machine in ("a", "b"):
        plugin.latentkit_study_started(info_of_study(tmp_path / machine, "postgresql://db"))
    assert len(runs_of(client)) == 1
    for machine in ("c", "d"):
        plugin.latentkit_study_started(info_of_study(tmp_path / machine))
    assert len(runs_of(client)) == 3


def test_a_trial_resumed_alone_does_not_change_its_parent(client, run, tmp_path):
    study = info_of_study(tmp_path / "s")
    plugin.latentkit_study_started(study)
    plugin.latentkit_study_finished(study, "interrupted", {}, "")
    follow(replace(run, trial=TrialInfo(study, 0, {})), [1])
    parent, trial = runs_of(client)
    assert (parent.info.status, trial.info.status) == ("KILLED", "FINISHED")
    assert trial.data.tags["mlflow.parentRunId"] == parent.info.run_id


@pytest.mark.parametrize("uri", ["http://user:secret@127.0.0.1:9", "sqlite:///r/blocked/x.db"])
def test_an_unreachable_server_causes_one_warning_a_run(uri, run, monkeypatch):
    (run.path / "blocked").touch()  # a file instead of a folder
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    monkeypatch.setenv("LATENTKIT_MLFLOW_TIMEOUT", "0.5")
    registry = default_registry()
    (line,) = registry.notify("latentkit_run_started", run=run).values()
    assert "stopped logging r to MLflow, because it failed" in line
    assert "secret" not in line
    assert registry.notify("latentkit_epoch_finished", run=run, epoch=epoch(1)) == {}
    ended = {"status": "finished", "summary": {}, "error": ""}
    assert registry.notify("latentkit_run_finished", run=run, **ended) == {}


def test_a_database_whose_journal_names_a_file_is_not_opened(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db")
    (tmp_path / "mlflow.db").write_bytes(b"SQLite format 3")
    super_journal = bytes.fromhex("d9d505f920a163d7")
    (tmp_path / "mlflow.db-journal").write_bytes(bytes(512) + super_journal)
    (line,) = default_registry().notify("latentkit_run_started", run=run).values()
    assert "mlflow.db-journal names another file" in line


def test_a_study_without_a_server_warns_only_once_for_all_its_trials(run, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", (tmp_path / "folders").as_uri())
    study, registry = info_of_study(tmp_path / "s"), default_registry()
    (line,) = registry.notify("latentkit_study_started", study=study).values()
    assert "stopped logging s to MLflow" in line
    assert "maintenance mode" in line
    trial = replace(run, trial=TrialInfo(study, 0, {}))
    assert registry.notify("latentkit_run_started", run=trial) == {}
    ended = {"status": "finished", "summary": {}, "error": ""}
    assert registry.notify("latentkit_run_finished", run=trial, **ended) == {}
    assert registry.notify("latentkit_study_finished", study=study, **ended) == {}


def test_the_default_store_is_sqlite_and_nothing_is_printed(first, run, capfd):
    path, said = first
    assert path.read_bytes().startswith(b"SQLite format 3")
    assert said == ""
    before = logging.getLogger("mlflow").level
    follow(run, [1])
    assert capfd.readouterr() == ("", "")
    assert logging.getLogger("mlflow").level == before


def test_the_declaration_has_no_heavy_imports():
    code = (
        "import sys, latentkit_mlflow.plugin\n"
        "print(sorted({'mlflow', 'sqlalchemy', 'numpy', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
