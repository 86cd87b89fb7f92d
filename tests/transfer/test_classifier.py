import hashlib

import numpy as np
import pytest
import torch
from torch import nn

from latentkit.api.building_blocks import model as build
from latentkit.config import TrainingOptions
from latentkit.data.batches import Augmentation, CorruptionChain, LabelledImages
from latentkit.errors import UserError
from latentkit.plugin.events import EpochFinished, TrainingStarted, ignore
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob, train
from latentkit.transfer.classifier import (
    Classifier,
    encoder_layers,
    feature_source,
    predict,
    reduce_to_encoder,
)

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


def stripes(n, seed=0):
    """Return vertical bars at random columns, and the half of the image that each is in."""
    columns = np.random.default_rng(seed).integers(0, 8, n)
    images = np.zeros((n, *SHAPE), np.uint8)
    images[np.arange(n), 0, :, columns] = 255
    return images, (columns >= 4).astype(np.int64)


def network(name="conv-ae", **options):
    torch.manual_seed(1)
    widths = {"channels": (4, 8)} if name.startswith("conv") else {}
    return build(name, SHAPE, latent_dim=3, hidden=[6], **widths, **options)


def classifier(**options):
    return Classifier(network(), SHAPE, 2, **{"hidden": (8,), **options})


def job(model, epochs=3, augmentation=None, **options):
    images, labels = stripes(200)
    return TrainingJob(
        model=model,
        train=LabelledImages(images, labels, CPU, np.arange(150)),
        validation=LabelledImages(images, labels, CPU, np.arange(150, 200)),
        corruption=CorruptionChain(),
        options=TrainingOptions(
            epochs=epochs, batch_size=32, keep="last", learning_rate=0.01, **options
        ),
        precision="float32",
        seed=0,
        config_sha256="c",
        augmentation=augmentation,
    )


def fitted(model, store=None, emit=ignore, **options):
    with repeatable(CPU, 1):
        return train(job(model, **options), store, emit)


def digest(weights):
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


@pytest.mark.parametrize(
    "name", ["conv-ae", "dense-ae", "conv-vae", "dense-vae", "vq-vae", "fsq-vae"]
)
def test_every_model_offers_the_layer_before_its_latents(name):
    model = network(name)
    assert feature_source(model) == "features"
    made = Classifier(model, SHAPE, 2)
    assert made.n_features == 6
    assert made(torch.rand(3, *SHAPE)).shape == (3, 2)


def test_the_decoder_is_removed_and_the_last_layer_is_frozen():
    model = network()
    assert reduce_to_encoder(model, torch.zeros(2, *SHAPE))
    assert model.decoder is None
    held = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert held == ["encoder.bottleneck.4.weight", "encoder.bottleneck.4.bias"]


class Plain(nn.Module):
    """Model that a plugin might offer: no ``features``, and one child that holds all layers."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleDict({"down": nn.Linear(64, 2), "up": nn.Linear(2, 64)})

    def encode(self, images):
        return self.parts["down"](images.flatten(1))


class Asking(Plain):
    """Model whose encoder uses the decoder in a way that has no gradient."""

    def __init__(self):
        super().__init__()
        self.decoder = nn.Linear(2, 64)

    def encode(self, images):
        return super().encode(images) * self.decoder.in_features


class Detached(Plain):
    def encode(self, images):
        return super().encode(images).detach()


def test_a_model_without_features_is_classified_by_its_latents():
    made = Classifier(Plain(), SHAPE, 2)
    assert feature_source(made.network) == "encode"
    assert made.n_features == 2
    assert not made.network.parts["up"].weight.requires_grad


class Taught(Plain):
    def __init__(self):
        super().__init__()
        self.teacher = nn.Linear(2, 2).requires_grad_(False)
        self.fixed = nn.Linear(2, 2).requires_grad_(False)

    def encode(self, images):
        return self.fixed(super().encode(images))


def test_a_teacher_is_removed_and_a_frozen_layer_that_features_need_is_kept():
    made = Classifier(Taught(), SHAPE, 2)
    assert made.network.teacher is None
    assert not made.network.fixed.weight.requires_grad
    with pytest.raises(UserError, match="only mode 'probe'"):
        Classifier(Taught().requires_grad_(False), SHAPE, 2)


def test_a_decoder_that_the_encoder_uses_is_kept():
    made = Classifier(Asking(), SHAPE, 2)
    assert isinstance(made.network.decoder, nn.Linear)


def test_an_encoder_without_gradients_can_only_be_probed():
    with pytest.raises(UserError, match=r"Detached have no gradient: only mode 'probe'"):
        Classifier(Detached(), SHAPE, 2)
    assert Classifier(Detached(), SHAPE, 2, trains_encoder=False).n_features == 2


def test_a_classifier_learns_and_reports_its_accuracy():
    result = fitted(classifier(), epochs=15)
    assert result.history[-1]["validation"]["accuracy"] > 0.9
    assert result.history[-1]["validation"]["loss"] < result.history[0]["validation"]["loss"]


def test_a_probe_changes_neither_weights_nor_statistics_of_the_encoder():
    model = classifier(trains_encoder=False)
    before = {k: v.clone() for k, v in model.network.state_dict().items()}
    events = []
    fitted(model, emit=events.append)
    assert all(torch.equal(v, before[k]) for k, v in model.network.state_dict().items())
    (started,) = [event for event in events if isinstance(event, TrainingStarted)]
    assert started.parameters == sum(p.numel() for p in model.head.parameters())


def test_a_layer_is_a_module_with_weights_and_its_normalisation():
    made = Classifier(network(), SHAPE, 2)
    kinds = [[type(m).__name__ for m in layer.modules] for layer in encoder_layers(made.network)]
    assert kinds == [
        ["Conv2d", "BatchNorm2d"],
        ["Conv2d", "BatchNorm2d"],
        ["Linear", "BatchNorm1d"],
    ]


def test_layers_are_unfrozen_one_by_one_from_the_last():
    made = classifier(unfreeze_every=2)
    layers = encoder_layers(made.network)
    free = []
    for epoch in range(1, 9):
        made.begin_epoch(epoch)
        made.train()
        free.append([layer.parameters[0].requires_grad for layer in layers])
        assert [layer.modules[0].training for layer in layers] == free[-1]
    assert [sum(row) for row in free] == [0, 0, 1, 1, 2, 2, 3, 3]
    assert free[2] == [False, False, True]


def test_the_encoder_has_its_own_learning_rate():
    slow, fast = classifier(encoder_rate=0.01), classifier(encoder_rate=1.0)
    start = {k: v.detach().clone() for k, v in slow.network.named_parameters()}
    moved = []
    for model in (slow, fast):
        fitted(model, epochs=1)
        moved.append(
            max(
                float((p.detach() - start[k]).abs().max())
                for k, p in model.network.named_parameters()
            )
        )
    assert moved[0] < 0.05 * moved[1]


class Stop(Exception):
    pass


@pytest.mark.parametrize(
    "options",
    [{}, {"unfreeze_every": 1, "encoder_rate": 0.3, "dropout": 0.5}, {"trains_encoder": False}],
    ids=["finetune", "unfreezing", "probe"],
)
def test_training_that_is_stopped_and_resumed_gives_the_same_bytes(tmp_path, monkeypatch, options):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)
    moves = Augmentation(shift=1, flip=True)
    whole = fitted(classifier(**options), epochs=4, augmentation=moves)

    def stop(event):
        if isinstance(event, EpochFinished) and event.epoch == 2:
            raise Stop

    store = CheckpointStore(tmp_path)
    with pytest.raises(Stop):
        fitted(classifier(**options), store, stop, epochs=4, augmentation=moves)
    resumed = fitted(classifier(**options), store, epochs=4, augmentation=moves)
    assert digest(resumed.weights) == digest(whole.weights)


def test_predictions_give_features_and_probabilities_in_order():
    made = classifier()
    images, labels = stripes(30)
    found = predict(made, LabelledImages(images, labels, CPU))
    assert found.features.shape == (30, 6)
    assert np.allclose(found.probabilities.sum(1), 1, atol=1e-6)
    with torch.no_grad():
        alone = made(torch.from_numpy(images[7:8]) / 255).softmax(1)
    assert np.allclose(found.probabilities[7], alone[0], atol=1e-6)
