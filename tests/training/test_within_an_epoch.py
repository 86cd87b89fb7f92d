"""Training that ends within an epoch resumes there, to the byte."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from latentkit.api.building_blocks import model as build
from latentkit.config import TrainingOptions
from latentkit.data.batches import Augmentation, CorruptionChain, DeviceImages
from latentkit.plugin.events import BatchFinished, ignore
from latentkit.training import loop, stopping
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob, train

from .noisy import noise

CPU = torch.device("cpu")
SHAPE = (1, 8, 8)


class Dropping(nn.Module):
    """A network that draws by torch's global random state."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(64, 3))
        self.decoder = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 64))

    def encode(self, images):
        return self.encoder(images)

    def loss(self, inputs, targets, *, step):
        rebuilt = self.decoder(self.encode(inputs)).view_as(targets)
        return {"loss": (rebuilt - targets).square().mean(), "size": rebuilt.abs().mean()}


def quantised():
    return build("vq-vae", SHAPE, latent_dim=4, hidden=16, codes=16, restart=0.5)


def trained(model, store=None, emit=ignore, minutes=0.0):
    torch.manual_seed(1)
    pixels = np.random.default_rng(0).integers(0, 256, (200, *SHAPE), dtype=np.uint8)
    images = DeviceImages(pixels, CPU)
    options = TrainingOptions(
        batch_size=32, epochs=3, learning_rate=8e-3, ema_decay=0.9, checkpoint_minutes=minutes
    )
    job = TrainingJob(
        model=model().to(memory_format=torch.channels_last),
        train=images,
        validation=images,
        corruption=CorruptionChain([("noise", noise)]),
        options=options,
        precision="float32",
        seed=5,
        config_sha256="c",
        augmentation=Augmentation(1, True),
    )
    with repeatable(CPU, 1):
        return train(replace(job), store, emit)


class Killed(Exception):
    """The process ends."""


def end(how, epoch, batch):
    """Return a listener that ends training at a batch: by a signal's wish, or at once."""

    def listen(event):
        if isinstance(event, BatchFinished) and (event.epoch, event.step) == (epoch, batch):
            if how == "signal":
                assert stopping.ask()
            else:
                raise Killed

    return listen


@pytest.mark.parametrize("model", [Dropping, quantised])
@pytest.mark.parametrize("how", ["signal", "kill"])
def test_training_resumes_within_the_epoch_and_gives_the_same_bytes(
    tmp_path, monkeypatch, model, how
):
    monkeypatch.setattr(loop, "_SECONDS_BETWEEN_REPORTS", -1)
    whole = trained(model)
    store = CheckpointStore(tmp_path)
    begun = []
    for epoch, batch in ((1, 2), (2, 3), (2, 5)):
        with pytest.raises(KeyboardInterrupt if how == "signal" else Killed):
            trained(model, store, end(how, epoch, batch), minutes=1e-9 if how == "kill" else 0)
    resumed = trained(model, store, lambda event: begun.append(event))
    first = next(event for event in begun if isinstance(event, BatchFinished))
    assert first.epoch == 2
    assert first.step > 5
    for name, value in whole.weights.items():
        assert torch.equal(resumed.weights[name], value), name
    for there, here in zip(whole.history, resumed.history, strict=True):
        assert here["train"] == there["train"]
        assert here["validation"] == there["validation"]
    assert not stopping.ask()  # nobody trains


def test_a_checkpoint_within_an_epoch_is_saved_only_when_it_is_due(tmp_path):
    trained(Dropping, CheckpointStore(tmp_path), minutes=10.0)
    assert all("batch" not in path.name for path in tmp_path.iterdir())
