import hashlib
import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from latentkit.api.building_blocks import model as build
from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.errors import DivergedError
from latentkit.plugin.events import BatchFinished, EpochFinished, Notice, TrainingStarted, ignore
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import repeatable
from latentkit.training.loop import LossMeter, TrainingJob, train

from .noisy import noise

CPU = torch.device("cpu")


def stripes(n, seed=0):
    """Return images that a small network can learn: vertical bars at random columns."""
    generator = np.random.default_rng(seed)
    images = np.zeros((n, 1, 8, 8), np.uint8)
    images[np.arange(n), 0, :, generator.integers(0, 8, n)] = 255
    return images


def make_job(epochs=3, seed=0, corruption=(), model=None, **options):
    torch.manual_seed(1)
    model = model or build("conv-ae", (1, 8, 8), latent_dim=4, hidden=16, channels=(4, 8))
    options = {"batch_size": 32, "epochs": epochs, "learning_rate": 8e-3, **options}
    return TrainingJob(
        model=model.to(memory_format=torch.channels_last),
        train=DeviceImages(stripes(200), CPU),
        validation=DeviceImages(stripes(50, seed=1), CPU),
        corruption=CorruptionChain(corruption),
        options=TrainingOptions(**options),
        precision="float32",
        seed=seed,
        config_sha256="c",
    )


def digest(weights):
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(tensor.contiguous().numpy().tobytes())
    return sha.hexdigest()


def trained(store=None, emit=ignore, **arguments):
    job = make_job(**arguments)
    with repeatable(CPU, 1):
        result = train(job, store, emit)
    return job, result


def test_the_loss_falls():
    _, result = trained(epochs=25)
    losses = [record["validation"]["loss"] for record in result.history]
    assert losses[-1] < 0.5 * losses[0]


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not():
    same = [digest(trained(seed=3)[1].weights) for _ in range(2)]
    assert same[0] == same[1]
    assert digest(trained(seed=4)[1].weights) != same[0]


class Stop(Exception):
    pass


def stop_after(epoch):
    def listener(event):
        if isinstance(event, EpochFinished) and event.epoch == epoch:
            raise Stop

    return listener


@pytest.mark.parametrize("epoch", [1, 2, 3])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"corruption": (("noise", noise),)},
        {"ema_decay": 0.9, "clip_norm": 0.1, "optimizer": "adam"},
        {"patience": 1, "keep": "last", "learning_rate": 0.3, "schedule": "constant"},
    ],
    ids=["plain", "denoising", "averaged", "stopping early"],
)
def test_training_that_is_stopped_and_resumed_gives_the_same_bytes(
    tmp_path, monkeypatch, epoch, options
):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)
    _, whole = trained(epochs=5, **options)
    store = CheckpointStore(tmp_path)
    if epoch <= len(whole.history):
        with pytest.raises(Stop):
            trained(store, stop_after(epoch), epochs=5, **options)
    _, resumed = trained(store, epochs=5, **options)
    assert digest(resumed.weights) == digest(whole.weights)
    assert resumed.weights_epoch == whole.weights_epoch
    losses = [
        [record[part]["loss"] for record in result.history for part in ("train", "validation")]
        for result in (whole, resumed)
    ]
    assert losses[0] == losses[1]


def test_a_damaged_checkpoint_is_named_and_the_previous_one_is_used(tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)
    _, whole = trained(epochs=4)
    store = CheckpointStore(tmp_path)
    with pytest.raises(Stop):
        trained(store, stop_after(3), epochs=4)
    latest = max(tmp_path.glob("*.safetensors"))
    content = bytearray(latest.read_bytes())
    content[-5] ^= 1
    latest.write_bytes(content)
    events = []
    _, resumed = trained(store, events.append, epochs=4)
    assert any(isinstance(e, Notice) and e.code == "checkpoint-damaged" for e in events)
    assert next(e for e in events if isinstance(e, TrainingStarted)).first_epoch == 2
    assert digest(resumed.weights) == digest(whole.weights)


def test_only_the_last_two_checkpoints_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)
    trained(CheckpointStore(tmp_path), epochs=4)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        f"epoch-0000{epoch}.{suffix}" for epoch in (3, 4) for suffix in ("json", "safetensors")
    ]


def test_noise_is_new_in_each_epoch_and_fixed_in_validation():
    seen = {"train": [], "validation": []}

    def record(images, generator):
        corrupted = noise(images, generator)
        seen["train" if job.model.training else "validation"].append(corrupted)
        return corrupted

    job = make_job(epochs=2, corruption=(("record", record),))
    train(job, None, ignore)
    first, second = seen["validation"]
    assert torch.equal(first, second)
    assert not torch.equal(seen["train"][0], seen["train"][len(seen["train"]) // 2])


def test_targets_stay_clean_when_inputs_are_corrupted():
    class Spy(nn.Module):
        latent_dim = 1
        pairs = ()

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def encode(self, images):
            return images.mean((1, 2, 3))[:, None]

        def decode(self, latents):
            return latents

        def loss(self, inputs, targets, *, step):
            self.pairs = (*self.pairs, (inputs, targets, step))
            return {"loss": (self.weight - 1).square().sum()}

    spy = Spy()
    train(make_job(epochs=1, model=spy, corruption=(("noise", noise),)), None, ignore)
    inputs, targets, _ = spy.pairs[0]
    assert set(targets.unique().tolist()) == {0.0, 1.0}
    assert not torch.equal(inputs, targets)
    assert [step for _, _, step in spy.pairs[:7]] == list(range(7))


def test_divergence_stops_at_once_and_says_what_to_do():
    class Exploding(nn.Module):
        latent_dim = 1

        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def encode(self, images):
            return images

        def decode(self, latents):
            return latents

        def loss(self, inputs, targets, *, step):
            return {"loss": self.weight.sum() * math.nan, "kl": self.weight.sum() * 0}

    with pytest.raises(
        DivergedError, match=r"at step 1: loss became NaN or infinite, and would again"
    ):
        train(make_job(model=Exploding()), None, ignore)


@pytest.mark.parametrize("steps", [1, 7, 100, 1_000])
def test_the_means_of_an_epoch_do_not_depend_on_how_often_they_are_reported(steps):
    rows = torch.randn(steps, 3, generator=torch.Generator().manual_seed(0)) * 1e3
    counts = [256] * (steps - 1) + [31]
    often, once = LossMeter(), LossMeter()
    for row, count in zip(rows, counts, strict=True):
        for meter in (often, once):
            meter.add(dict(zip("abc", row, strict=True)), count)
        often.means()
    weights = torch.tensor(counts, dtype=torch.float64)
    expected = ((rows.double() * weights[:, None]).sum(0) / weights.sum()).tolist()
    assert list(often.means().values()) == list(once.means().values()) == expected


def test_each_batch_is_copied_once_however_often_the_means_are_reported(monkeypatch):
    copied = []
    stack = torch.stack

    def counting(tensors, *args, **options):
        copied.append(len(tensors))
        return stack(tensors, *args, **options)

    monkeypatch.setattr(torch, "stack", counting)
    meter = LossMeter()
    for _ in range(50):
        meter.add({"loss": torch.ones(())}, 8)
        meter.means()
    assert sum(copied) == 100  # one term of each batch, then its row


def test_divergence_names_the_step_also_after_a_report():
    meter = LossMeter(10)
    for loss in (1.0, 2.0):
        meter.add({"loss": torch.tensor(loss)}, 8)
    meter.means()
    meter.add({"loss": torch.tensor(math.inf)}, 8)
    with pytest.raises(DivergedError, match="at step 13: loss"):
        meter.means()


def test_a_single_remaining_image_does_not_form_a_batch():
    job = make_job(epochs=1, batch_size=199)
    assert job.steps_per_epoch == 1
    train(job, None, ignore)


def test_progress_is_reported_within_an_epoch(monkeypatch):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_REPORTS", 0)
    events = []
    trained(emit=events.append, epochs=1)
    steps = [event.step for event in events if isinstance(event, BatchFinished)]
    assert steps == list(range(1, 8))


class Follower(nn.Module):
    """A student, a teacher that follows it, and the steps that the teacher was told of."""

    latent_dim = 2

    def __init__(self):
        super().__init__()
        self.student = nn.Linear(64, 2)
        self.teacher = nn.Linear(64, 2).requires_grad_(False)
        self.register_buffer("told", torch.zeros(2))

    def encode(self, images):
        return self.student(images.flatten(1))

    def loss(self, inputs, targets, *, step):
        seen = self.encode(targets + 0.1 * torch.randn_like(targets))
        return {"loss": (seen - self.teacher(targets.flatten(1))).square().mean()}

    def after_step(self, step, steps):
        assert not torch.is_grad_enabled()
        for mine, given in zip(self.teacher.parameters(), self.student.parameters(), strict=True):
            mine.lerp_(given, 0.1 + step / (2 * steps))
        self.told.copy_(torch.tensor([step, steps]))


def test_a_teacher_follows_after_each_step_and_is_exact_after_a_resume(tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)

    def follower():
        torch.manual_seed(1)
        return Follower()

    _, whole = trained(epochs=3, model=follower(), keep="last")
    assert whole.weights["told"].tolist() == [20, 21]
    store = CheckpointStore(tmp_path)
    with pytest.raises(Stop):
        trained(store, stop_after(2), epochs=3, model=follower(), keep="last")
    _, resumed = trained(store, epochs=3, model=follower(), keep="last")
    assert digest(resumed.weights) == digest(whole.weights)


@pytest.mark.parametrize("name", ["vq-vae", "fsq-vae"])
def test_quantised_codes_are_exact_after_a_resume(tmp_path, monkeypatch, name):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)

    def quantised():
        torch.manual_seed(1)
        options = {"codes": 16, "restart": 0.5} if name == "vq-vae" else {}
        return build(name, (1, 8, 8), latent_dim=4, hidden=16, **options)

    _, whole = trained(epochs=3, model=quantised(), keep="last")
    store = CheckpointStore(tmp_path)
    with pytest.raises(Stop):
        trained(store, stop_after(2), epochs=3, model=quantised(), keep="last")
    _, resumed = trained(store, epochs=3, model=quantised(), keep="last")
    assert digest(resumed.weights) == digest(whole.weights)
    assert ("quantiser.codebook" in whole.weights) is (name == "vq-vae")


def test_without_epochs_a_model_needs_no_loss_and_nothing_to_train():
    class Frozen(nn.Module):
        latent_dim = 2

        def encode(self, images):
            return images.flatten(1)[:, :2]

    kept = []
    job = make_job(epochs=0, model=Frozen(), snapshots=[0])
    result = train(job, None, ignore, lambda epoch, weights: kept.append((epoch, weights)))
    assert (result.weights, result.weights_epoch, result.history) == ({}, 0, ())
    assert kept == [(0, {})]


class Starting(nn.Module):
    """A model whose first weight is the mean of the images that it starts from."""

    latent_dim = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.started = 0

    def encode(self, images):
        return images.flatten(1).mean(1, keepdim=True) * self.weight

    def decode(self, latents):
        return latents[:, :, None, None].expand(-1, 1, 8, 8).clamp(0, 1)

    def loss(self, inputs, targets, *, step):
        return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}

    def start_from_images(self, batches):
        self.started += 1
        self.weight.fill_(torch.cat(list(batches)).mean())


def test_a_model_starts_from_the_training_images():
    job, result = trained(epochs=1, model=Starting(), learning_rate=1e-9)
    assert result.weights["weight"].item() == pytest.approx(1 / 8)
    assert job.model.started == 1


def test_the_average_of_weights_starts_there_too():
    job = make_job(epochs=1, model=Starting(), learning_rate=1e-9, ema_decay=0.9)
    assert train(job, None, ignore).weights["weight"].item() == pytest.approx(1 / 8)


def test_a_model_with_saved_weights_does_not_start_from_images():
    job = make_job(epochs=1, model=Starting(), learning_rate=1e-9)
    result = train(replace(job, new_weights=False), None, ignore)
    assert result.weights["weight"].item() == pytest.approx(0, abs=1e-6)


def test_a_resumed_training_does_not_start_from_images_again(tmp_path):
    with pytest.raises(Stop):
        trained(CheckpointStore(tmp_path), stop_after(1), epochs=3, model=Starting())
    job, result = trained(CheckpointStore(tmp_path), epochs=3, model=Starting())
    assert job.model.started == 0
    assert digest(result.weights) == digest(trained(epochs=3, model=Starting())[1].weights)


def test_a_model_that_starts_as_pca_resumes_with_the_same_bytes(tmp_path):
    def own():
        torch.manual_seed(2)
        return build("conv-ae", (1, 8, 8), latent_dim=4, channels=(4,), shortcut="pca")

    with pytest.raises(Stop):
        trained(CheckpointStore(tmp_path), stop_after(1), model=own())
    resumed = trained(CheckpointStore(tmp_path), model=own())[1]
    assert digest(resumed.weights) == digest(trained(model=own())[1].weights)
