"""The examples run and match their descriptions."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

import latentkit as lk
from latentkit.config import RunConfig, build_config, read_config_file
from latentkit.registry.catalogue import default_registry

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(scope="module")
def reference() -> RunConfig:
    document = read_config_file(EXAMPLES / "reference_network.toml")
    return build_config(document, default_registry())


@pytest.fixture(scope="module")
def network(reference: RunConfig) -> torch.nn.Module:
    return lk.model("conv-ae", (1, 28, 28), **reference.model.options.model_dump())


@pytest.mark.usefixtures("one_cpu")
def test_the_quickstart_prints_numbers_and_paths_of_pictures(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py"), "2"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert 0 < float(lines["test MSE"]) < 0.2
    assert 0 < float(lines["PCA"]) < 0.05
    assert 0.5 < float(lines["trustworthiness of the map"]) <= 1
    assert float(lines["10-NN accuracy of the latents"]) > 0.5
    assert (tmp_path / lines["map"]).exists()
    assert (tmp_path / lines["report"]).exists()


@pytest.mark.usefixtures("one_cpu")
def test_the_classifier_is_trained_reloaded_and_trained_further(tmp_path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "classifier.py"), "digits", "3"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    lines = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines())
    assert float(lines["accuracy after"]) > float(lines["accuracy before"]) > 0
    assert all((tmp_path / lines[name]).exists() for name in ("confusions", "features", "report"))
    assert "taken for" in done.stdout


def test_the_reference_classifier_has_three_convolutions_and_one_layer():
    from latentkit.transfer.classifier import Classifier

    config = build_config(
        read_config_file(EXAMPLES / "reference_classifier.toml"), default_registry()
    )
    model = lk.model("conv-ae", (1, 28, 28), **config.model.options.model_dump())
    made = Classifier(model, (1, 28, 28), 10, hidden=config.transfer.hidden)
    assert made.n_features == 288
    shapes = [tuple(p.shape) for p in made.parameters() if p.requires_grad and p.ndim > 1]
    assert shapes == [(8, 1, 3, 3), (16, 8, 3, 3), (32, 16, 3, 3), (10, 288)]


def test_the_reference_network_has_the_layers_of_its_description(network):
    shapes = [tuple(p.shape) for name, p in network.named_parameters() if name.endswith("weight")]
    assert shapes == [
        (8, 1, 3, 3), (16, 8, 3, 3), (32, 16, 3, 3), (64, 288), (3, 64),
        (64, 3), (288, 64), (32, 16, 3, 3), (16, 8, 3, 3), (8, 1, 3, 3),
    ]  # fmt: skip
    biases = [len(p) for name, p in network.named_parameters() if name.endswith("bias")]
    assert biases == [8, 16, 32, 64, 3, 64, 288, 16, 8, 1]


def test_the_reference_network_halves_and_doubles_as_described(network):
    sizes = []
    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            layer.register_forward_hook(lambda *io: sizes.append(tuple(io[2].shape[2:])))
    with torch.no_grad():
        images = network.decode(network.encode(torch.zeros(2, 1, 28, 28)))
    assert sizes == [(14, 14), (7, 7), (3, 3), (7, 7), (14, 14), (28, 28)]
    assert images.shape == (2, 1, 28, 28)


def test_the_reference_network_has_no_norms_and_only_relu(network):
    kinds = {type(layer).__name__ for layer in network.modules() if not list(layer.children())}
    assert kinds == {
        "Conv2d", "FastTransposed", "Linear", "ReLU", "Identity", "FlattenMaps",
        "UnflattenMaps",
    }  # fmt: skip


def test_the_reference_network_is_trained_as_described(reference):
    assert reference.dataset.name == "fashion-mnist"
    chosen = reference.training.model_dump(
        exclude={
            "weight_decay",
            "clip_norm",
            "ema_decay",
            "patience",
            "snapshots",
            "flip",
            "shift",
            "checkpoint_minutes",
        }
    )
    assert chosen == {
        "epochs": 10,
        "batch_size": 256,
        "optimizer": "adam",
        "learning_rate": 5e-4,
        "beta2": 0.999,
        "schedule": "constant",
        "keep": "last",
        "precision": "float32",
    }
