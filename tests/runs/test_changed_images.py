"""A run keeps to the images that it was started with."""

import hashlib

import numpy as np
import pytest

import latentkit as lk
from latentkit.config import canonical_sha256
from latentkit.errors import DataError, IntegrityError
from latentkit.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def begun(tmp_path):
    """Return a function that makes a run, and one that changes its images."""
    path = tmp_path / "images.npz"

    def write(seed):
        images = np.random.default_rng(seed).integers(0, 256, (60, 1, 8, 8), np.uint8)
        np.savez(path, x_train=images[:40], x_test=images[40:])

    def run():
        options = {"npz.path": str(path), "model.hidden": [4], "threads": 1}
        return lk.run(
            model="dense-ae", dataset="npz", options=options, epochs=1, runs=tmp_path, name="x"
        )

    write(0)
    return run, lambda: write(1)


def test_the_same_command_does_not_give_old_results_for_new_images(begun):
    run, change = begun
    run()
    run()
    change()
    with pytest.raises(DataError, match="images of 'npz' have changed since run 'x' was made"):
        run()


def test_a_lost_record_of_the_images_is_made_again_from_the_same_images_only(begun):
    run, change = begun
    made = run()
    (made.path / "data.json").unlink()
    assert lk.resume(made.path).status == "finished"
    (made.path / "data.json").unlink()
    change()
    for _ in range(2):
        with pytest.raises(DataError, match=r"data\.json was lost, and the images"):
            lk.resume(made.path)


def test_checkpoints_of_a_run_on_other_images_are_not_used(begun, tmp_path):
    run, change = begun
    made = run()
    other = made.path.rename(tmp_path / "y")
    change()
    fresh = run()
    weights = (fresh.path / "model.safetensors").read_bytes()
    (fresh.path / "model.safetensors").unlink()
    for path in (other / "checkpoints").iterdir():
        (fresh.path / "checkpoints" / path.name).write_bytes(path.read_bytes())
    told = []
    lk.resume(fresh.path, listener=told.append)
    assert (fresh.path / "model.safetensors").read_bytes() == weights
    assert "belongs to another configuration" in str(told)


def test_a_finished_run_without_a_record_of_its_images_shows_none(begun):
    run, _ = begun
    made = run()
    forget(made.path, "data.json")
    with pytest.raises(IntegrityError, match=r"has no data\.json"):
        lk.explore.neighbours(lk.open(made.path), [0], k=1)


def forget(path, relative):
    """Remove a file from a run and from its manifest, as a stranger could."""
    (path / relative).unlink()
    manifest = read_manifest(path)
    del manifest.artefacts[relative]
    manifest.write(path)


def test_a_transfer_says_that_the_images_of_its_parent_have_changed(tmp_path):
    path = tmp_path / "images.npz"

    def write(seed):
        images = np.random.default_rng(seed).integers(0, 256, (60, 1, 8, 8), np.uint8)
        np.savez(path, images=images, labels=np.arange(60) % 2)

    def notices(name):
        events = []
        lk.transfer(
            tmp_path / "x", embed=[], epochs=1, runs=tmp_path, name=name, listener=events.append
        )
        return [event.code for event in events if hasattr(event, "code")]

    write(0)
    options = {"npz.path": str(path), "model.hidden": [4], "threads": 1}
    how = {"model": "dense-ae", "dataset": "npz", "embed": [], "epochs": 1, "options": options}
    lk.run(**how, runs=tmp_path, name="x")
    assert "other-images" not in notices("same")
    write(1)
    assert "other-images" in notices("changed")


def test_a_resumed_run_does_not_take_weights_without_their_hash(begun, tmp_path):
    run, _ = begun
    weights = run().path / "model.safetensors"
    options = {"npz.path": str(tmp_path / "images.npz"), "model.hidden": [4], "threads": 1}
    how = {"model": "dense-ae", "dataset": "npz", "options": options, "epochs": 1, "embed": []}
    sent = lk.run(**how, init_from=weights, runs=tmp_path, name="sent").path
    config = (sent / "config.toml").read_text()
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert sha256 in config
    (sent / "config.toml").write_text(config.replace(sha256, ""))
    manifest = read_manifest(sent)
    manifest.config["init"]["sha256"] = ""
    manifest.config_sha256 = canonical_sha256(manifest.config)
    manifest.stages, manifest.artefacts = {}, {}
    manifest.write(sent)
    (sent / "initial.safetensors").unlink()
    with pytest.raises(IntegrityError, match="does not say which SHA-256 the file has"):
        lk.resume(sent)
    assert not (sent / "initial.safetensors").exists()
