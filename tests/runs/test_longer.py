"""A finished run can be trained for more epochs; its other options cannot be changed."""

import hashlib
import tomllib

import pytest

import latentkit as lk
from latentkit.errors import IntegrityError, UserError

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
