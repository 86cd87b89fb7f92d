"""Networks that start from saved weights, and a transfer that is killed and resumed."""

import hashlib
import json
import os
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import latentkit as lk
from latentkit.api.inputs import configure
from latentkit.errors import UserError
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.lifecycle import Place, start_run
from latentkit.transfer.transfer_tables import transfer_tables

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

OPTIONS = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


class TrainingOnly(AutoencoderKind):
    """Autoencoder run that ends after training, because a transfer needs only the weights."""

    def plan(self, config, *, svg=False):
        names = ("data", "start", "train")
        return [stage for stage in super().plan(config) if stage.name in names]


def trained(out, **asked):
    registry = default_registry()
    config = configure(registry, epochs=1, options=OPTIONS, **asked)
    place = Place(out, out / "data")
    return start_run(config, registry, place, ignore, TrainingOnly()).path


@pytest.fixture(scope="module")
def parent(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def tensors(parent):
    return load_file(parent / "model.safetensors")


@pytest.mark.parametrize("form", ["safetensors", "torch", "encoder alone", "transfer"])
def test_a_model_starts_from_the_weights_that_fit(parent, tensors, tmp_path, form):
    path = tmp_path / ("w.pt" if form == "torch" else "w.safetensors")
    own = {k: v for k, v in tensors.items() if k.startswith("encoder.")}
    if form == "torch":
        torch.save({"state_dict": tensors}, path)
    elif form == "safetensors":
        save_file(tensors, path)
    elif form == "encoder alone":
        save_file({k.removeprefix("encoder."): v for k, v in own.items()}, path)
    else:
        head = {"head.0.weight": torch.ones(16)}
        save_file({f"network.{k}": v for k, v in own.items()} | head, path)
    run = trained(tmp_path / "runs", init_from=path, seed=5)
    start = load_file(run / "initial.safetensors")
    found = json.loads((run / "initial.json").read_text())
    assert all(torch.equal(start[name], value) for name, value in own.items())
    decoder = torch.equal(
        start["decoder.bottleneck.0.weight"], tensors["decoder.bottleneck.0.weight"]
    )
    assert decoder == (form in ("safetensors", "torch"))
    assert bool(found["missing"]) == (not decoder)
    assert found["unused"] == (["head.0.weight"] if form == "transfer" else [])
    assert found["matched_by_name"] == (len(tensors) if decoder else 0)
    assert not torch.equal(
        load_file(run / "model.safetensors")["encoder.bottleneck.1.weight"],
        tensors["encoder.bottleneck.1.weight"],
    )


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.usefixtures("undrawn")
def test_a_transfer_killed_in_fine_tuning_and_resumed_gives_the_same_bytes(parent, tmp_path):
    arguments = {
        "mode": "finetune",
        "labels": "50%",
        "embed": [],
        "epochs": 60,
        "options": {"threads": 1, "transfer.shift": 1, "transfer.unfreeze_every": 2},
    }
    code = f"import latentkit as lk; lk.transfer({str(parent)!r}, out='runs', **{arguments!r})"
    process = subprocess.Popen(
        [sys.executable, "-c", code], cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    end = time.monotonic() + 120
    while not list(tmp_path.glob("runs/*/checkpoints/*.json")):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.01)
    process.kill()
    process.wait()
    (path,) = (tmp_path / "runs").iterdir()
    assert not (path / "model.safetensors").exists()
    resumed = lk.resume(path)
    whole = lk.transfer(parent, out=tmp_path / "whole", **arguments)
    for name in ("model.safetensors", "features.npz", "evaluation.json"):
        assert sha256(resumed.path / name) == sha256(whole.path / name), name


@pytest.mark.usefixtures("undrawn")
def test_figures_are_shown_without_test_images_that_are_also_in_training(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (80, 20, 20), np.uint8)
    images[60:65] = images[:5]
    labels = np.arange(80) % 2
    split = {"x_train": images[:60], "x_test": images[60:]}
    split |= {"y_train": labels[:60], "y_test": labels[60:]}
    np.savez(tmp_path / "mine.npz", **split)
    options = {"npz.path": str(tmp_path / "mine.npz"), "threads": 1}
    run = lk.transfer(
        mode="scratch", dataset="npz", epochs=1, embed=(), options=options, out=tmp_path / "runs"
    )
    found = run.evaluation["without_duplicates"]
    assert (found["n_images"], found["n_equal"], found["n_near"]) == (15, 5, 0)
    arrays = np.load(run.path / "evaluation.npz")
    for figure, hits in (("accuracy", "hits"), ("accuracy_before", "hits_before")):
        assert found["figures"][figure]["all"]["value"] == pytest.approx(arrays[hits].mean())
        assert found["figures"][figure]["without"]["value"] == pytest.approx(
            arrays[hits][5:].mean()
        )
    titles = [table.title for table in transfer_tables(run.evaluation)]
    assert "Without 5 test images that are also in training (5 equal, 0 nearly)" in titles


@pytest.mark.usefixtures("undrawn")
def test_a_model_of_a_plugin_is_classified_by_its_latents(install_plugin, tmp_path):
    install_plugin(
        "flat_net",
        """
        import torch
        from torch import nn
        from latentkit.plugin import ModelSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_models():
            yield ModelSpec(name="flat", summary="Flat", target="flat_net:build")

        class Flat(nn.Module):
            latent_dim = 9
            def __init__(self, shape):
                super().__init__()
                self.shape = shape
                self.down = nn.Linear(shape[1] * shape[2], 9)
                self.up = nn.Linear(9, shape[1] * shape[2])
            def encode(self, images):
                return self.down(images.flatten(1))
            def decode(self, latents):
                return self.up(latents).sigmoid().unflatten(1, self.shape)
            def loss(self, inputs, targets, *, step):
                return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}

        def build(options, image_shape):
            return Flat(image_shape)
        """,
    )
    registry = default_registry()
    config = configure(registry, model="flat", epochs=1, options={"threads": 1})
    place = Place(tmp_path, tmp_path / "data")
    parent = start_run(config, registry, place, ignore, TrainingOnly()).path
    run = lk.transfer(parent, mode="probe", epochs=5, embed=[], out=tmp_path / "t")
    assert run.evaluation["features"] == {"of": "encode", "n": 9}
    assert run.features("before").shape == (360, 9)
    assert (run.features("before") == run.features("after")).all()
    with torch.no_grad():
        given = run.model(torch.from_numpy(lk.dataset("digits", "test").images) / 255).argmax(1)
    accuracy = (given.numpy() == lk.dataset("digits", "test").labels).mean()
    assert accuracy == pytest.approx(run.evaluation["after"]["accuracy"]["value"])
    with pytest.raises(UserError, match="it has features of the test images"):
        run.latents()
    with pytest.raises(UserError, match="only transfers have them"):
        run.features("later")


@pytest.mark.usefixtures("undrawn")
def test_a_tenth_of_the_labels_of_fashion_mnist_gives_a_fair_accuracy(fashion_mnist_dir, tmp_path):
    run = lk.transfer(
        mode="scratch",
        dataset="fashion-mnist",
        labels="10%",
        epochs=3,
        embed=[],
        options={"transfer.flip": True},
        data=fashion_mnist_dir,
        out=tmp_path,
    )
    assert run.evaluation["labels"]["by_class"] == [480] * 10
    assert run.evaluation["after"]["accuracy"]["value"] > 0.75


@pytest.mark.usefixtures("real_figures")
def test_a_frozen_encoder_has_one_map_with_one_set_of_figures(parent, tmp_path):
    run = lk.transfer(parent, mode="probe", epochs=1, embed=["pca"], out=tmp_path)
    page = json.loads((run.path / "report.json").read_text())
    figures = {one["name"]: one for section in page["sections"] for one in section["figures"]}
    assert figures["features-pca"]["title"] == "pca of the features"
    caption = figures["features-pca"]["caption"]
    assert caption.startswith("Neighbours on this map are ")
    assert " Features of the frozen encoder: trustworthiness" in caption
    assert caption.count("trustworthiness") == 1
    assert any(
        "Time without this report" in row for row in page["sections"][0]["tables"][0]["rows"]
    )
    source = (run.path / "report.html").read_text()
    assert "GiB" in source
    assert "memory_bytes" not in source
