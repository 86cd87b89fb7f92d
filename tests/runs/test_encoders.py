"""Runs of encoders: trained, frozen, pretrained, collapsed, resumed and extended."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import latentkit as lk
from latentkit.errors import PluginError, UserError
from latentkit.plugin import needs_own_weights
from latentkit.runs.context import RunContext

pytestmark = pytest.mark.usefixtures("blank_figures")

PLUGIN = Path(__file__).parents[1] / "own_encoders.py"


@pytest.fixture(autouse=True)
def _plugin(monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(PLUGIN))


def run(out, model, options=None, **arguments):
    return lk.run(
        model=model,
        options={"threads": 1, **(options or {})},
        plugins=[PLUGIN],
        out=out,
        **arguments,
    )


def rows(of):
    from latentkit.runs.summary import summary_rows

    return dict(summary_rows(of.summary, of.kind))


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    return run(tmp_path_factory.mktemp("runs"), "own-frozen")


def test_a_frozen_model_is_run_without_epochs_and_keeps_its_weights(frozen):
    assert frozen.status == "finished"
    assert frozen.config.training.epochs == 0
    assert list(frozen.history) == []
    expected = torch.arange(4 * 64).sin().view(4, 64)
    assert torch.equal(frozen.model.layer.weight, expected)
    assert rows(frozen)["Weights"] == "those that the model arrives with, not trained further"


def test_the_random_encoder_of_a_pretrained_model_has_random_weights(frozen):
    spaces = frozen.evaluation["representation"]["spaces"]
    assert spaces["random_encoder"]["knn"] != spaces["latents"]["knn"]


def test_a_run_that_is_opened_does_not_load_the_weights_a_model_arrives_with(frozen, monkeypatch):
    asked = []
    build = RunContext.new_model
    monkeypatch.setattr(
        RunContext, "new_model", lambda self: (asked.append(needs_own_weights()), build(self))[1]
    )
    lk.open(frozen.path).model  # noqa: B018
    assert asked == [False]


def test_a_frozen_run_cannot_be_extended(frozen):
    with pytest.raises(UserError, match="model 'own-frozen' has no loss, so it is not trained"):
        lk.resume(frozen.path, epochs=2)
    assert lk.open(frozen.path).status == "finished"


def test_a_model_that_is_not_trained_is_called_so_unless_it_has_nothing_to_train(tmp_path):
    notices = []
    found = run(tmp_path / "a", "own-views", epochs=0, listener=notices.append)
    assert rows(found)["Weights"] == "random initial values, because the model is not trained"
    assert any(getattr(one, "code", "") == "not-trained" for one in notices)
    without = run(tmp_path / "b", "own-without-weights")
    assert rows(without)["Weights"] == "none, the model has no parameters"
    assert without.model.state_dict() == {}


def test_an_untrained_encoder_can_be_trained_later_with_the_bytes_of_a_trained_one(tmp_path):
    later = run(tmp_path / "a", "own-views", epochs=0)
    later = lk.resume(later.path, epochs=2)
    at_once = run(tmp_path / "b", "own-views", epochs=2)
    assert np.array_equal(later.latents(), at_once.latents())
    assert "Weights" not in rows(later)


def test_a_collapsed_encoder_is_named_with_what_to_change(tmp_path):
    notices = []
    found = run(tmp_path, "own-collapsed", epochs=1, embed=["pca"], listener=notices.append)
    (notice,) = [one for one in notices if getattr(one, "code", "") == "collapsed"]
    assert "it gives nearly the same latents for all images" in notice.message
    assert "raise training.batch_size" in rows(found)["Collapse"]


def test_what_after_step_changes_is_part_of_the_run(tmp_path):
    found = run(tmp_path, "own-teacher", epochs=2, corrupt=["gaussian-noise"])
    assert found.model.seen.tolist() == [72, 72]
    assert not torch.equal(found.model.teacher.weight, found.model.layer.weight)
    assert [one["part"] for one in found.evaluation["left_out"]] == [
        "reconstruction",
        "robustness",
    ]


def test_a_checkpoint_of_an_epoch_draws_no_reconstructions(tmp_path):
    found = run(tmp_path, "own-views", {"training.snapshots": [0, 1]}, epochs=1)
    assert "epochs" not in found.figures
    assert "weights-epoch-0" in found.figures


def test_a_transfer_asks_for_no_weights_that_a_model_arrives_with(
    frozen, tmp_path, monkeypatch, undrawn
):
    monkeypatch.setenv("OWN_WEIGHTS_ARE_GONE", "1")
    moved = lk.transfer(frozen.path, epochs=1, embed=[], out=tmp_path, options={"threads": 1})
    start = load_file(moved.path / "initial.safetensors")
    assert torch.equal(start["network.layer.weight"], frozen.model.layer.weight)
    again = run(tmp_path, "own-frozen", init_from=frozen.path / "model.safetensors")
    assert torch.equal(again.model.layer.weight, frozen.model.layer.weight)
    assert "representation" in again.evaluation


@pytest.mark.parametrize("mode", ["probe", "finetune"])
def test_an_encoder_whose_own_part_is_called_head_can_be_transferred(tmp_path, undrawn, mode):
    found = run(tmp_path, "own-head", epochs=1)
    options = {"threads": 1, "transfer.hidden": []}
    once = lk.transfer(found.path, mode=mode, epochs=1, embed=[], out=tmp_path, options=options)
    start, own = load_file(once.path / "initial.safetensors"), found.model.state_dict()
    assert all(torch.equal(start[f"network.{name}"], value) for name, value in own.items())
    assert start["head.2.weight"].shape == (10, 4)
    again = lk.transfer(once.path, mode=mode, epochs=1, embed=[], out=tmp_path)
    continued = load_file(again.path / "initial.safetensors")
    trained = load_file(once.path / "model.safetensors")
    assert all(torch.equal(continued[name], value) for name, value in trained.items())


def test_a_part_called_head_that_only_the_loss_uses_is_not_the_classifiers(tmp_path, undrawn):
    found = run(tmp_path, "own-pretext", epochs=1)
    options = {"threads": 1, "transfer.hidden": []}
    moved = lk.transfer(found.path, epochs=1, embed=[], out=tmp_path, options=options)
    start, own = load_file(moved.path / "initial.safetensors"), found.model.state_dict()
    assert torch.equal(start["network.layer.weight"], own["layer.weight"])
    assert start["head.2.weight"].shape == own["head.2.weight"].shape
    assert not torch.equal(start["head.2.weight"], own["head.2.weight"])


def test_features_of_varying_width_are_refused_in_one_line(tmp_path, undrawn):
    found = run(tmp_path, "own-widths", epochs=1)
    with pytest.raises(PluginError, match="the model's features gives"):
        lk.transfer(found.path, mode="probe", epochs=1, out=tmp_path)


def test_a_model_that_lacks_a_decoder_without_saying_so_is_refused(install_plugin, tmp_path):
    code = """
        from latentkit.plugin import ModelSpec, hookimpl

        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_models():
            yield ModelSpec(name="untagged", summary="No tag", target="untagged:build")

        def build(options, image_shape):
            from torch import nn

            net = nn.Module()
            net.latent_dim, net.encode = 2, nn.Linear(4, 2)
            return net
    """
    install_plugin("untagged", code)
    with pytest.raises(PluginError, match="lacks decode, loss; tag its spec 'encoder' if it needs"):
        lk.model("untagged", (1, 8, 8))


def test_the_folder_of_a_frozen_run_can_be_copied_and_reported_again(frozen, tmp_path):
    copy = lk.open(shutil.copytree(frozen.path, tmp_path / frozen.id))
    lk.write_report(copy.path)
    assert copy.status == "finished"
