"""A run keeps to the images that it was started with."""

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import DataError

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
