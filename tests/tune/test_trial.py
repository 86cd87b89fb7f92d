"""Trials are runs: they resume where they stopped, and a failing one does not end the study."""

import json
import platform
from dataclasses import replace

import pytest
import torch

from latentkit.builtins.models import vae
from latentkit.config import build_config, choose_part
from latentkit.errors import (
    BrokenEnvironmentError,
    DataError,
    IntegrityError,
    RunExistsError,
    StorageError,
    StudyError,
    UserError,
)
from latentkit.plugin import SearchChoice, SearchRange
from latentkit.plugin.events import EpochFinished, TrialFinished, TrialReported, ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs import run_files
from latentkit.runs.context import ImageCache
from latentkit.runs.folder import RunFolder
from latentkit.runs.lifecycle import resume_run, start_run
from latentkit.training.device import device_at_hand, device_text
from latentkit.tune import trial as trial_module
from latentkit.tune.finish import finish_best, report_study
from latentkit.tune.space import search_space
from latentkit.tune.study import Search, prepared
from latentkit.tune.study_folder import StudyFolder, StudyPlan
from latentkit.tune.trial import TrialKind

pytestmark = pytest.mark.usefixtures("blank_figures")

OPTIONS = {
    "model.channels": [4],
    "model.hidden": [16],
    "model.latent_dim": 3,
    "training.epochs": 3,
    "threads": 1,
}
DEVICE = device_text(device_at_hand("auto"))
FIXED = ["model.activation", "model.latent_dim"]
LEARNING_RATE = {"training.learning_rate": SearchRange(1e-3, 1e-2, log=True)}


@pytest.fixture(scope="module")
def image_cache():
    return ImageCache()


@pytest.fixture
def begin(tmp_path, image_cache):
    """Return a function that starts or resumes a study of small trials on digits."""
    registry = default_registry()

    def make(name="s", emit=ignore, space=None, model=None, options=OPTIONS, **fields):
        tuner = {"name": "optuna", "startup_trials": 2, "pruner": "none"}
        config = build_config({}, registry, model=model, overrides=options)
        plan = StudyPlan(
            name="s",
            config=config.as_dict(),
            space=search_space(config, registry, space or LEARNING_RATE, FIXED),
            tuner=choose_part(registry, "tuner", {**tuner, **fields.pop("tuner", {})}).as_dict(),
            data_dir=str(tmp_path / "data"),
            **{"objectives": ("mse",), "trials": 3, **fields},
        )
        folder = StudyFolder.begin(tmp_path / name, prepared(plan, registry, image_cache))
        return Search(folder, registry, emit, image_cache=image_cache)

    return make


def values_of(result):
    return [(trial.state, dict(trial.params), trial.values) for trial in result.trials]


def test_a_trial_is_an_ordinary_run_with_its_options_and_its_value(begin):
    search = begin()
    result = search.work()
    assert [trial.state for trial in result.trials] == ["complete"] * 3
    for trial in result.trials:
        folder = RunFolder.open(search.study.run_of(trial.number))
        assert folder.manifest.status == "finished"
        chosen = folder.manifest.config["training"]["learning_rate"]
        assert chosen == trial.params["training.learning_rate"]
        assert folder.json(run_files.OBJECTIVE)["values"] == {"mse": trial.values[0]}
        history = folder.json("history.json")
        best = history["epochs"][history["weights_epoch"] - 1]["validation"]
        assert trial.values[0] == best["loss"]
        assert trial.reports == {r["epoch"]: r["validation"]["mse"] for r in history["epochs"]}
        assert (trial.notes["epochs"], trial.notes["of_epochs"]) == (3, 3)
        assert (trial.notes["machine"], trial.notes["device"]) == (platform.node(), DEVICE)


def test_the_first_trial_has_the_options_of_a_run_outside_a_study(begin):
    search = begin(trials=1)
    (trial,) = search.work().trials
    assert trial.params == {"training.learning_rate": 8e-3}  # the default for batches of 32


def test_a_study_that_was_interrupted_equals_one_that_was_not(begin):
    whole = begin("whole").work()
    seen = []

    def interrupt(event):
        if isinstance(event, EpochFinished):
            seen.append(event.epoch)
            if len(seen) in (2, 5):  # in the first trial, and in the second
                raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            begin("broken", interrupt).work()
    broken = begin("broken").work()
    assert values_of(broken) == values_of(whole)
    assert [trial.reports for trial in broken.trials] == [trial.reports for trial in whole.trials]


def test_adding_trials_gives_the_study_that_had_them_from_the_start(begin):
    begin("more", trials=2).work()
    assert values_of(begin("more", trials=4).work()) == values_of(begin("at-once", trials=4).work())


def test_a_pruned_trial_is_marked_and_its_saved_epochs_are_reported(begin):
    told = []
    search = begin(emit=told.append, trials=6, tuner={"pruner": "asha"})
    result = search.work()
    pruned = [trial for trial in result.trials if trial.state == "pruned"]
    assert pruned
    for trial in pruned:
        assert RunFolder.open(search.study.run_of(trial.number)).manifest.status == "pruned"
    ends = {event.number: event for event in told if isinstance(event, TrialFinished)}
    assert all(ends[t.number].epochs < ends[t.number].of_epochs == 3 for t in pruned)
    assert all(ends[t.number].values == t.values for t in result.trials)


def test_a_trial_whose_run_another_process_creates_at_the_same_moment_resumes_it(
    begin, monkeypatch
):
    def start_second(*arguments):
        start_run(*arguments)  # the other process
        raise RunExistsError("there already")

    monkeypatch.setattr(trial_module, "start_run", start_second)
    (trial,) = begin(trials=1).work().trials
    assert trial.state == "complete"


def test_a_failing_trial_is_recorded_with_its_reason(begin):
    space = {"training.learning_rate": SearchChoice((1e30, 1e-3))}
    search = begin(space=space, trials=6, tuner={"sampler": "random"}, failures=6)
    result = search.work()
    states = {t.params["training.learning_rate"]: t.state for t in result.trials}
    assert states == {1e30: "failed", 1e-3: "complete"}
    failed = next(trial for trial in result.trials if trial.state == "failed")
    assert "loss" in failed.error
    assert RunFolder.open(search.study.run_of(failed.number)).manifest.status == "failed"


def test_too_many_failures_in_a_row_stop_the_study(begin):
    space = {"training.learning_rate": SearchRange(1e30, 1e31)}
    search = begin(space=space, trials=9, failures=2)
    with pytest.raises(StudyError, match=r"because 2 trials in a row failed; the last one: .*loss"):
        search.work()
    assert [trial.state for trial in search.result().trials] == ["failed", "failed"]


def test_several_objectives_are_measured_on_the_validation_images(begin):
    search = begin(objectives=("mse", "knn", "linear", "nmi", "ssim"), trials=2)
    told = []
    search.emit = told.append
    result = search.work()
    assert result.directions == ("minimize", "maximize", "maximize", "maximize", "maximize")
    for trial in result.trials:
        mse, *shares = trial.values
        assert 0 < mse < 0.2
        assert all(0 < share < 1 for share in shares)
    assert not any(isinstance(event, TrialReported) for event in told)
    assert result.front


def test_a_goal_that_only_generative_models_have(begin):
    options = {"model.hidden": [16], "model.latent_dim": 2, "training.epochs": 1, "threads": 1}
    goals = ("elbo", "active-dimensions")
    search = begin(objectives=goals, trials=1, model="dense-vae", options=options)
    (trial,) = search.work().trials
    assert trial.state == "complete", trial.error
    assert trial.values[1] in (0, 1, 2)
    with pytest.raises(UserError, match="model 'conv-ae' is not generative"):
        begin(objectives=goals)


class PosteriorLayer(torch.nn.Module):
    """A generative model whose ``posterior`` is a layer, made from another model."""

    def __init__(self, model):
        super().__init__()
        self.latent_dim = model.latent_dim
        self.posterior = torch.nn.Sequential(model.encoder, Halves())
        self.decoder = model.decoder
        for name in ("encode", "decode", "loss", "sample", "log_likelihood"):
            setattr(self, name, getattr(model, name))


class Halves(torch.nn.Module):
    def forward(self, features):
        return features.chunk(2, dim=1)


def test_a_model_is_generative_if_its_posterior_is_a_layer(begin, monkeypatch):
    build = vae.build_dense
    monkeypatch.setattr(vae, "build_dense", lambda *given: PosteriorLayer(build(*given)))
    options = {"model.hidden": [16], "model.latent_dim": 2, "training.epochs": 1, "threads": 1}
    search = begin(objectives=("elbo",), trials=1, model="dense-vae", options=options)
    (trial,) = search.work().trials
    assert trial.state == "complete", trial.error


def test_a_run_left_by_another_study_is_not_used_for_a_trial(begin):
    begin(trials=1).work()
    other = begin("other", trials=1, options={**OPTIONS, "model.hidden": [8]})
    other.study.runs.mkdir()
    left = other.study.path.parent / "s" / "runs" / "trial-0000"
    left.rename(other.study.run_of(0))
    (trial,) = other.work().trials
    assert trial.state == "failed"
    assert "another study, whose options of model differ" in trial.error


def test_a_full_disk_stops_the_study_and_its_trial_resumes_later(begin):
    def fill(event):
        if isinstance(event, EpochFinished):
            raise StorageError("the disk is full")

    with pytest.raises(StorageError, match="disk is full"):
        begin("full", fill).work()
    assert [trial.state for trial in begin("full").result().trials] == ["waiting"]
    assert values_of(begin("full").work()) == values_of(begin("whole").work())


def test_a_missing_image_or_device_stops_the_study_and_its_trial_resumes_later(begin):
    for lacking in (DataError("images.npz is missing"), BrokenEnvironmentError("no GPU")):

        def lose(event, lacking=lacking):
            if isinstance(event, EpochFinished):
                raise lacking

        with pytest.raises(type(lacking)):
            begin("lost", lose, trials=1).work()
        assert [trial.state for trial in begin("lost").result().trials] == ["waiting"]


def test_other_images_are_refused_before_a_trial_starts(begin):
    search = begin(trials=1)
    plan = search.study.plan
    other = {**plan.images, "train": "0" * 64}
    search.study = StudyFolder(search.study.path, replace(plan, images=other))
    with pytest.raises(DataError, match="the train images are not those"):
        search.work()
    assert not search.result().trials


def test_a_run_in_the_folder_of_another_trial_is_not_finished_as_the_best(begin):
    search = begin(trials=2)
    result = search.work()
    best, other = (search.study.run_of(n) for n in (result.best.number, 1 - result.best.number))
    kept = other.rename(other.with_name("kept"))
    best.rename(other)
    kept.rename(best)
    for use in (lambda: finish_best(search, result, ignore), lambda: report_study(search, result)):
        with pytest.raises(IntegrityError, match=r"is not the run of trial .*learning_rate is"):
            use()


def test_a_trial_is_not_trained_for_more_epochs_than_its_study_compared(begin):
    search = begin(trials=1)
    number = search.work().best.number
    path = search.study.run_of(number)
    with pytest.raises(UserError, match="is a trial of a study, which compared it at"):
        resume_run(path, search.registry, ignore, TrialKind(), overrides={"training.epochs": 9})
    text = (path / "config.toml").read_text()
    epochs = search.study.plan.config["training"]["epochs"]
    (path / "config.toml").write_text(text.replace(f"epochs = {epochs}\n", "epochs = 9\n"))
    with pytest.raises(IntegrityError, match=r"its training\.epochs is 9"):
        finish_best(search, search.result(), ignore)


def test_a_trial_that_makes_progress_may_be_started_any_number_of_times(begin):
    def interrupt(event):
        if isinstance(event, EpochFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        begin(emit=interrupt, trials=1).work()
    log = begin().study.run_of(0) / "events.jsonl"
    lines = log.read_text().splitlines()
    started = next(line for line in lines if '"RunStarted"' in line)
    log.write_text("\n".join([started] * 19 + lines) + "\n")
    assert begin(trials=1).work().trials[0].state == "complete"


def test_a_trial_that_never_ends_fails_after_many_starts(begin):
    search = begin(trials=1)
    result = search.work()
    log = search.study.run_of(0) / "events.jsonl"
    started = next(line for line in log.read_text().splitlines() if '"RunStarted"' in line)
    log.write_text(f"{started}\n" * 20 + '{"cut sho')
    again = begin(trials=2)
    again.study.run_of(0).rename(again.study.run_of(1))
    record = again.work().trials[1]
    assert record.state == "failed"
    assert "started 20 times" in record.error
    assert json.loads((search.study.path / "study.json").read_text())["trials"] == 2
    assert result.trials[0].state == "complete"
