"""An open run shows the current state on disk, even if it changed after it was opened."""

import re
import shutil

import pytest
import torch
from safetensors.torch import save_file

import latentkit as lk
from latentkit.errors import IntegrityError
from latentkit.plugin.events import EpochFinished
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    runs = tmp_path_factory.mktemp("runs")
    return lk.run(model="dense-ae", options=SMALL, epochs=1, runs=runs, name="once").path


@pytest.fixture
def path(once, tmp_path):
    """Return a copy of a finished run that the test may change."""
    return shutil.copytree(once, tmp_path / "once")


def test_the_status_follows_the_process_that_writes_the_run(path):
    run = lk.open(path)
    writer = RunFolder.open(path)
    with writer.writing():
        writer.set_status("running")
        assert run.status == run.summary["status"] == "running"
    assert run.status == run.summary["status"] == "stopped"
    assert repr(run) == "<Run once: stopped>"
    with writer.writing():
        writer.set_status("failed", "OSError: no")
    assert run.status == "failed"


def test_a_run_opened_during_training_shows_its_results_afterwards(tmp_path):
    seen = []

    def look(event):
        if isinstance(event, EpochFinished):
            run = lk.open("new", tmp_path)
            with pytest.raises(IntegrityError, match=r"has no history\.json yet"):
                _ = run.history
            seen.append((run, run.status, run.maps))

    lk.run(model="dense-ae", options=SMALL, epochs=1, embed=["pca"], runs=tmp_path, name="new",
           listener=look)  # fmt: skip
    ((run, status, maps),) = seen
    assert (status, maps) == ("running", [])
    assert (run.status, run.maps, len(run.history)) == ("finished", ["pca"], 1)
    assert run.latents("test").shape == (360, 3)
    assert "map-pca" in run.figures


def test_more_epochs_update_history_configuration_and_weights(path):
    run = lk.open(path)
    first, explored = run.model, run.explored
    assert run.model is first
    lk.resume(path, epochs=2)
    assert [record["epoch"] for record in run.history] == [1, 2]
    assert run.config.training.epochs == run.summary["epochs"] == 2
    weights = lk.open(path).model.state_dict()
    assert all(torch.equal(weights[name], value) for name, value in run.model.state_dict().items())
    assert run.model is not first
    assert run.explored is not explored


def test_a_map_added_later_is_found(path):
    run = lk.open(path)
    assert (run.maps, run.config.embeddings) == ([], ())
    lk.embed(path, ["pca"])
    assert run.coordinates("pca").shape == (360, 2)
    assert [part.label for part in run.config.embeddings] == ["pca"]


def test_a_deleted_run_can_still_be_printed(path):
    run = lk.open(path)
    shutil.rmtree(path)
    assert repr(run) == "<Run once: cannot be read>"


def test_loading_the_model_leaves_the_random_state_of_a_notebook_alone(path):
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    assert lk.open(path).model.latent_dim == 3
    assert torch.equal(torch.rand(3), expected)


def test_the_model_of_a_run_can_be_saved_and_outlives_a_new_map(path, tmp_path):
    run = lk.open(path)
    model = run.model
    save_file(model.state_dict(), tmp_path / "weights.safetensors")
    torch.nn.utils.parameters_to_vector(model.parameters())
    lk.embed(path, ["pca"])
    assert run.maps == ["pca"]
    assert run.model is model


def test_the_time_in_a_second_report_leaves_out_the_first(path):
    def shown():
        page = (path / "report.html").read_text()
        return re.search(r"Time without this report.*?([\d.]+) s, of which", page, re.S)[1]

    first = shown()
    manifest = read_manifest(path)
    slow = manifest.stages["report"].model_copy(update={"seconds": 1000.0})
    manifest.stages["report"] = slow
    manifest.write(path)
    lk.write_report(path)
    assert float(shown()) < float(first) + 100
