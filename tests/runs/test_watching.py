"""Plugins that watch learn which study a trial belongs to, and how runs and studies end."""

import json

import pytest

import latentkit as lk
from latentkit.errors import PluginError, StudyError
from latentkit.plugin.events import Notice
from latentkit.registry.catalogue import default_registry

pytestmark = pytest.mark.usefixtures("blank_figures")

WATCHER = """
    from latentkit.plugin import hookimpl
    LATENTKIT_HOOKSPEC_VERSION = 1
    TOLD = []

    @hookimpl
    def latentkit_run_started(run):
        TOLD.append(("run started", run))

    @hookimpl
    def latentkit_run_finished(run, status, summary, error):
        TOLD.append((f"run {status}", run, summary, error))

    @hookimpl
    def latentkit_study_started(study):
        TOLD.append(("study started", study))

    @hookimpl
    def latentkit_study_finished(study, status, summary, error):
        TOLD.append((f"study {status}", study, summary, error))
"""
SMALL = {"model.channels": [4], "model.hidden": [16], "model.latent_dim": 2, "threads": 1}
SPACE = {"training.learning_rate": "1e-3..1e-2:log"}


@pytest.fixture
def told(install_plugin):
    """Return the calls that a watching plugin gets, in order."""
    install_plugin("watcher", WATCHER)
    default_registry()
    import watcher

    return watcher.TOLD


def small_study(tmp_path, **arguments):
    defaults = {
        "name": "s",
        "trials": 1,
        "epochs": 1,
        "options": SMALL,
        "search": SPACE,
        "fix": ["model.activation"],
        "tuner_options": {"sampler": "random", "pruner": "none"},
        "out": tmp_path / "studies",
        "data": tmp_path / "data",
    }
    return lk.tune(**{**defaults, **arguments})


def test_trials_name_their_study_and_the_study_names_its_best_trial(told, tmp_path):
    study = small_study(tmp_path, trials=2, finish=False)
    lk.resume(study.best_run.path)
    names = [entry[0] for entry in told]
    run = ["run started", "run finished"]
    assert names == ["study started", *run, *run, "study finished", *run]
    (_, info), (_, _, summary, error) = told[0], told[5]
    assert (info.name, info.path, info.trials) == ("s", study.path, 2)
    assert info.objectives == ("validation loss",)
    assert info.directions == ("minimize",)
    assert list(info.space) == ["training.learning_rate"]
    assert error == ""
    best = study.result.best
    assert summary == {
        "trials": {"complete": 2},
        "best_trial": best.number,
        "best_values": {"validation loss": best.values[0]},
        "best_params": dict(best.params),
        "best_run": str(study.best_run.path),
    }
    trials = [entry[1].trial for entry in told if entry[0] == "run started"]
    assert [trial.number for trial in trials] == [0, 1, best.number]
    for trial, record in zip(trials, study.result.trials, strict=False):
        assert trial.study.name == "s"
        assert trial.study.identity == info.identity
        assert dict(trial.params) == dict(record.params)
    first = told[2]
    assert first[2]["objective"] == {"loss": study.result.trials[0].values[0]}


def test_a_run_outside_a_study_has_no_trial_and_reports_its_versions(told, tmp_path):
    run = lk.run(options=SMALL, epochs=1, out=tmp_path / "runs")
    (_, info), (_, same, summary, error) = told
    assert info == same
    assert info.trial is None
    manifest = json.loads((run.path / "run.json").read_text())
    assert info.config_sha256 == manifest["config_sha256"]
    assert info.versions["torch"]
    assert summary["reconstruction"]["mse"]["value"] > 0
    assert error == ""


def test_watchers_get_the_reason_why_a_run_or_a_study_failed(told, tmp_path, monkeypatch):
    def fail(*arguments):
        raise PluginError("the network\nis torn")

    monkeypatch.setattr("latentkit.runs.autoencoder_kind.train", fail)
    with pytest.raises(PluginError):
        lk.run(options=SMALL, epochs=1, out=tmp_path / "runs")
    assert [entry[0] for entry in told] == ["run started", "run failed"]
    assert told[1][2:] == ({}, "PluginError: the network is torn")
    told.clear()
    with pytest.raises(StudyError):
        small_study(tmp_path, trials=20)
    assert told[-1][0] == "study failed"
    assert told[-1][2] == {}
    assert "trials in a row failed; the last one: the network is torn" in told[-1][3]


def test_watchers_are_notified_of_an_interrupted_study(told, tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("latentkit.runs.autoencoder_kind.train", interrupt)
    with pytest.raises(KeyboardInterrupt):
        small_study(tmp_path)
    assert [entry[0] for entry in told][-2:] == ["run interrupted", "study interrupted"]
    assert told[-1][2:] == ({}, "")


def test_a_watcher_that_raises_only_causes_a_notice(install_plugin, tmp_path):
    install_plugin(
        "clumsy",
        """
        from latentkit.plugin import hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_study_started(study):
            1 / 0
        """,
    )
    heard = []
    study = small_study(tmp_path, finish=False, listener=heard.append)
    assert [trial.state for trial in study.result.trials] == ["complete"]
    (notice,) = (e for e in heard if isinstance(e, Notice) and e.code == "plugin-failed")
    assert "clumsy 1.0: latentkit_study_started: ZeroDivisionError" in notice.message
