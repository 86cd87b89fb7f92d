"""Which weights are kept, when training stops, gradient clipping, and averaged weights."""

import pytest
import torch
from torch import nn

from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.plugin.events import Notice, ignore
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.loop import TrainingJob, best_epoch, train
from latentkit.training.state import WeightAverage

CPU = torch.device("cpu")


class Scripted(nn.Module):
    """Model with a scripted validation loss, whose weight counts the epochs."""

    latent_dim = 1

    def __init__(self, losses, warm_up_steps=0):
        super().__init__()
        self.losses = losses
        self.warm_up_steps = warm_up_steps
        self.weight = nn.Parameter(torch.zeros(1))
        self.epoch = 0

    def encode(self, images):
        return images.mean((1, 2, 3))[:, None]

    def decode(self, latents):
        return latents

    def train(self, mode=True):
        if mode and not self.training:
            self.epoch += 1
        return super().train(mode)

    def loss(self, inputs, targets, *, step):
        if self.training:
            return {"loss": -self.weight.sum()}
        return {"loss": torch.tensor(self.losses[self.epoch])}


def run(losses, warm_up_steps=0, store=None, emit=ignore, **options):
    images = torch.zeros(4, 1, 8, 8, dtype=torch.uint8).numpy()
    job = TrainingJob(
        model=Scripted(losses, warm_up_steps),
        train=DeviceImages(images, CPU),
        validation=DeviceImages(images, CPU),
        corruption=CorruptionChain(),
        options=TrainingOptions(
            **{
                "batch_size": 4,
                "epochs": len(losses),
                "optimizer": "adam",
                "schedule": "constant",
                "learning_rate": 1.0,
                **options,
            }
        ),
        precision="float32",
        seed=0,
        config_sha256="c",
    )
    return job, train(job, store, emit)


def steps_taken(result):
    return round(result.weights["weight"].item())


@pytest.mark.parametrize(("keep", "epoch"), [("best", 2), ("last", 4)])
def test_the_weights_are_those_of_the_best_epoch_or_of_the_last(keep, epoch):
    _, result = run([3.0, 1.0, 2.0, 1.5], keep=keep)
    assert result.weights_epoch == epoch
    assert steps_taken(result) == epoch


def test_training_stops_if_the_loss_has_not_fallen_within_the_patience():
    events = []
    _, result = run([3.0, 1.0, 2.0, 1.5, 0.5], patience=2, emit=events.append)
    assert len(result.history) == 4
    assert steps_taken(result) == 2
    (notice,) = [event for event in events if isinstance(event, Notice)]
    assert notice.code == "stopped-early"
    assert "has not fallen since epoch 2" in notice.message


def test_epochs_of_a_warm_up_are_never_best_and_never_stop_training():
    job, result = run([0.1, 0.2, 0.3, 0.9, 0.8], warm_up_steps=4, patience=2)
    assert len(result.history) == 5
    assert result.weights_epoch == 5
    assert best_epoch(job, result.history[:3]) == 3


def test_training_for_more_epochs_resumes_from_the_last_checkpoint(tmp_path):
    store = CheckpointStore(tmp_path)
    run([3.0, 2.0], store=store, keep="last")
    _, longer = run([3.0, 2.0, 1.0, 0.5], store=store, keep="last")
    _, whole = run([3.0, 2.0, 1.0, 0.5], keep="last")
    assert [r["epoch"] for r in longer.history] == [1, 2, 3, 4]
    assert torch.equal(longer.weights["weight"], whole.weights["weight"])


def test_gradients_are_clipped_to_the_given_norm(monkeypatch):
    asked = []
    monkeypatch.setattr(
        "torch.nn.utils.clip_grad_norm_", lambda parameters, norm: asked.append(norm)
    )
    run([1.0, 1.0])
    assert asked == []
    run([1.0, 1.0], clip_norm=0.5)
    assert asked == [0.5, 0.5]


def test_averaged_weights_follow_the_formula_and_do_not_change_the_weights():
    model = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.0)
    average = WeightAverage(model, 0.5)
    expected = 0.0
    for step, value in enumerate([1.0, 2.0, 4.0]):
        with torch.no_grad():
            model.weight.fill_(value)
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * value
    assert average.tensors()["weight"].item() == pytest.approx(expected)
    with average.in_model():
        assert model.weight.item() == pytest.approx(expected)
    assert model.weight.item() == 4.0
