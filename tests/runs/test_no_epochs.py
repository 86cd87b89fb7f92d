"""A run of 0 epochs uses weights that were trained elsewhere, and runs all other stages."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import latentkit as lk
from latentkit.config import build_config
from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"hidden": [16], "latent_dim": 3}
OPTIONS = {f"model.{key}": value for key, value in SMALL.items()}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Return weights trained by another program, which adds a prefix to their names."""
    torch.manual_seed(7)
    model = lk.model("dense-ae", image_shape=(1, 8, 8), **SMALL)
    path = tmp_path_factory.mktemp("elsewhere") / "weights.safetensors"
    save_file({f"module.{name}": tensor for name, tensor in model.state_dict().items()}, path)
    return model.eval(), path


@pytest.fixture(scope="module")
def run(elsewhere, tmp_path_factory):
    return lk.run(
        model="dense-ae",
        options=OPTIONS,
        embed=["pca"],
        init_from=elsewhere[1],
        epochs=0,
        out=tmp_path_factory.mktemp("runs"),
    )


def test_the_latents_are_those_of_the_given_weights(run, elsewhere):
    model, _ = elsewhere
    images = torch.from_numpy(lk.dataset("digits", "test").images) / 255
    with torch.no_grad():
        expected = model.encode(images).numpy()
    assert np.allclose(run.latents("test"), expected, atol=1e-5)
    assert all(
        torch.equal(tensor, model.state_dict()[name])
        for name, tensor in run.model.state_dict().items()
    )


def test_a_run_of_0_epochs_has_a_map_a_card_and_a_report_without_losses(run):
    assert run.status == "finished"
    assert run.coordinates("pca").shape == (360, 2)
    assert run.evaluation["reconstruction"]["mse"]["value"] > 0
    assert list(run.history) == []
    assert (run.summary["epochs"], run.summary["weights_epoch"]) == (0, 0)
    assert (run.path / "report.html").stat().st_size > 1000
    assert "loss" not in run.figures
    assert "map-pca" in run.figures
    assert run.id in run._repr_html_()


def test_a_run_of_0_epochs_can_be_trained_further(run, tmp_path):
    init = run.path / "model.safetensors"
    more = lk.run(model="dense-ae", options=OPTIONS, init_from=init, epochs=0, out=tmp_path)
    longer = lk.resume(more.path, epochs=1)
    assert [record["epoch"] for record in longer.history] == [1]
    assert "validation" in longer.summary


def test_incomplete_weights_are_refused(elsewhere, tmp_path):
    options = {**OPTIONS, "model.hidden": [16, 8]}
    with pytest.raises(UserError, match=r"lacks .* and \d+ more of model 'dense-ae', and without"):
        lk.run(
            model="dense-ae", options=options, init_from=elsewhere[1], epochs=0, out=tmp_path / "a"
        )
    assert not (tmp_path / "a").exists()


def test_a_study_and_a_transfer_need_an_epoch(tmp_path, run):
    with pytest.raises(UserError, match="a study compares trained models"):
        lk.tune(trials=1, epochs=0, out=tmp_path)
    with pytest.raises(UserError, match="a transfer trains a classifier"):
        lk.transfer(run.path, epochs=0, out=tmp_path)


def test_a_negative_number_of_epochs_is_refused():
    with pytest.raises(UserError, match=r"epochs = -1 is not valid: .*should be 0 or more"):
        build_config({}, default_registry(), overrides={"training.epochs": -1})
    with pytest.raises(UserError, match=r"batch_size = 0 is not valid: .*should be 1 or more"):
        build_config({}, default_registry(), overrides={"training.batch_size": 0})
