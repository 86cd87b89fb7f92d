"""A finished run can be trained for more epochs; its other options cannot be changed."""

import hashlib
import shutil
import tomllib

import pytest

import latentkit as lk
from latentkit.errors import IntegrityError, UserError
from latentkit.plugin.events import StageStarted

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

SMALL = {
    "model.channels": [4],
    "model.hidden": [16],
    "model.latent_dim": 3,
    "training.schedule": "constant",
    "threads": 1,
}


def start(out, epochs):
    return lk.run(embed=["pca"], epochs=epochs, options=SMALL, out=out)


def sha256(run, name="model.safetensors"):
    return hashlib.sha256((run.path / name).read_bytes()).hexdigest()


def test_longer_training_equals_a_run_that_was_longer_from_the_start(tmp_path):
    events = []
    short = start(tmp_path / "a", 2)
    longer = lk.resume(short.path, epochs=4, listener=events.append)
    whole = start(tmp_path / "b", 4)
    assert sha256(longer) == sha256(whole)
    assert sha256(longer, "embeddings/pca.npz") == sha256(whole, "embeddings/pca.npz")
    assert [record["epoch"] for record in longer.history] == [1, 2, 3, 4]
    trained = sum(record["seconds"] for record in longer.history)  # of all starts, not the last one
    assert longer.summary["seconds"]["train"] >= round(trained, 3)
    (notice,) = [e for e in events if getattr(e, "code", "") == "extended"]
    assert "from 2 to 4 epochs" in notice.message
    config = tomllib.loads((longer.path / "config.toml").read_text())
    assert config["training"]["epochs"] == 4
    assert longer.config.training.epochs == lk.open(longer.path).config.training.epochs == 4


def test_a_kill_between_configuration_and_manifest_loses_nothing(tmp_path):
    short = start(tmp_path / "a", 2)
    config = short.path / "config.toml"
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 3"))
    assert lk.open(short.path).config.training.epochs == 3
    assert len(lk.resume(short.path).history) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"epochs": 1}, r"training\.epochs: 2 became 1"),
        ({"options": {"model.latent_dim": 4}}, "model.latent_dim: 3 became 4"),
        ({"options": {"seed": 1}, "epochs": 3}, "seed: 0 became 1"),
        ({"options": {"model.latent": 4}}, "did you mean 'latent_dim'"),
    ],
)
def test_options_that_contradict_the_run_are_named_and_change_nothing(tmp_path, arguments, message):
    run = start(tmp_path, 2)
    before = {
        p: p.read_bytes() for p in run.path.rglob("*") if p.suffix in (".toml", ".safetensors")
    }
    with pytest.raises(UserError, match=message):
        lk.resume(run.path, **arguments)
    assert before == {p: p.read_bytes() for p in before}


def test_options_that_agree_with_the_run_are_accepted(tmp_path):
    run = start(tmp_path, 2)
    assert lk.resume(run.path, epochs=2, options={"model.latent_dim": 3}).status == "finished"


def test_reducing_the_epochs_in_the_file_is_refused_as_an_edited_configuration(tmp_path):
    run = start(tmp_path, 2)
    config = run.path / "config.toml"
    config.write_text(config.read_text().replace("epochs = 2", "epochs = 1"))
    with pytest.raises(IntegrityError, match=r"training\.epochs: 2 became 1"):
        lk.resume(run.path)


def stop_before(stage):
    """Return a listener that stops a run when a stage starts."""

    def listener(event):
        if isinstance(event, StageStarted) and event.stage == stage:
            raise KeyboardInterrupt

    return listener


@pytest.mark.parametrize("stage", ["encode", "evaluate"])
def test_results_of_the_earlier_weights_are_not_given_for_those_of_longer_training(tmp_path, stage):
    short = start(tmp_path / "a", 1)
    with pytest.raises(KeyboardInterrupt):
        lk.resume(short.path, epochs=2, listener=stop_before(stage))
    stopped = lk.open(short.path)
    assert stopped.summary["epochs"] == 2
    assert "reconstruction" not in stopped.summary
    with pytest.raises(IntegrityError, match=r"made from another .*latentkit resume"):
        _ = stopped.evaluation
    if stage == "encode":
        assert stopped.summary["maps"] == {}
        with pytest.raises(IntegrityError, match=r"another model\.safetensors"):
            stopped.latents("test")
    finished = lk.resume(short.path)
    assert finished.evaluation["reconstruction"]["mse"]["value"] > 0
    assert finished.latents("test").shape[1] == 3


def test_runs_whose_extension_stopped_are_compared_by_the_epochs_of_their_weights(tmp_path):
    runs = [
        lk.run(epochs=1, options={**SMALL, "seed": seed}, embed=[], runs=tmp_path, name=str(seed))
        for seed in (0, 1)
    ]
    with pytest.raises(KeyboardInterrupt):
        lk.resume(runs[0].path, epochs=2, listener=stop_before("train"))
    assert lk.open(runs[0].path).config.training.epochs == 2
    found = lk.compare(*[run.path for run in runs])
    assert list(found["config"]) == ["seed"]
    assert found["encoders"][0]["runs"] == ["0", "1"]  # one row, because only the seeds differ
    shown = lk.explore.settings([lk.open(run.path) for run in runs])
    assert list(shown.names) == ["seed 0", "seed 1"]


def test_checkpoints_of_a_shorter_run_with_the_same_options_are_not_used(tmp_path):
    options = {**SMALL, "training.schedule": "one-cycle"}
    runs = [
        lk.run(epochs=epochs, options=options, embed=[], runs=tmp_path, name=str(epochs))
        for epochs in (2, 4)
    ]
    whole = sha256(runs[1])
    (runs[1].path / "model.safetensors").unlink()
    for kept in (runs[1].path / "checkpoints").iterdir():
        kept.unlink()
    shutil.copytree(runs[0].path / "checkpoints", runs[1].path / "checkpoints", dirs_exist_ok=True)
    assert sha256(lk.resume(runs[1].path)) == whole


def test_extended_training_that_cannot_be_repeated_is_said_to_differ(tmp_path):
    options = {**SMALL, "training.schedule": "one-cycle"}
    run = lk.run(epochs=1, options=options, embed=[], runs=tmp_path, name="x")
    longer = lk.resume(run.path, epochs=2)
    before = sha256(longer)
    shutil.rmtree(run.path / "checkpoints")
    (run.path / "history.json").unlink()
    events = []
    again = lk.resume(run.path, listener=events.append)
    (notice,) = [e for e in events if getattr(e, "code", "") == "made-otherwise"]
    assert "model.safetensors" in notice.message
    assert sha256(again) != before
