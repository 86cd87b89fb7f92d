"""Training on an available GPU: repeatable, resumable, and close to the results of a CPU.

On CUDA, steps are replayed as a graph, which must give the same bytes as the single steps.
"""

import hashlib

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.builtins.models.autoencoder import DeterministicAutoencoder
from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages, LabelledImages
from latentkit.plugin.events import EpochFinished, Notice, ignore
from latentkit.registry.catalogue import default_registry
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import repeatable, resolve_device, resolve_precision
from latentkit.training.loop import TrainingJob, train
from latentkit.training.step import ReplayedStep
from latentkit.transfer.classifier import Classifier

DEVICE = resolve_device("auto")
pytestmark = pytest.mark.skipif(DEVICE.type == "cpu", reason="there is no GPU here")

MODELS = ("conv-ae", "dense-ae", "conv-vae", "dense-vae", "vq-vae", "fsq-vae")
PRECISIONS = ("float32", "bfloat16")


def images(n, seed=0, shape=(1, 12, 12)):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def pictures(n, seed=0):
    return DeviceImages(images(n, seed), DEVICE)


def build(model, shape=(1, 12, 12), **options):
    torch.manual_seed(1)
    return lk.model(model, shape, latent_dim=4, **options)


def labelled(n, seed=0):
    return LabelledImages(images(n, seed), np.arange(n, dtype=np.int64) % 5, DEVICE)


def make_job(model="conv-ae", precision="float32", corruption=(), **options):
    network = build(model) if isinstance(model, str) else model
    data = labelled if isinstance(network, Classifier) else pictures
    return TrainingJob(
        model=network.to(DEVICE, memory_format=torch.channels_last),
        train=data(300),
        validation=data(50, seed=1),
        corruption=CorruptionChain(corruption),
        options=TrainingOptions(
            **{"batch_size": 32, "epochs": 4, "learning_rate": 8e-3, **options}
        ),
        precision=precision,
        seed=0,
        config_sha256="c",
    )


def trained(store=None, emit=ignore, **arguments):
    job = make_job(**arguments)
    with repeatable(DEVICE, 1):
        return train(job, store, emit)


def digest(weights):
    sha = hashlib.sha256()
    for name, tensor in sorted(weights.items()):
        sha.update(name.encode())
        sha.update(tensor.cpu().contiguous().numpy().tobytes())
    return sha.hexdigest()


def noise(batch, generator):
    return (batch + 0.3 * torch.empty_like(batch).normal_(generator=generator)).clamp(0, 1)


def noise_at_times(batch, generator):
    """Return noisy images or the same tensor, at random."""
    chosen = torch.rand(1, generator=generator, device=batch.device) < 0.5
    return noise(batch, generator) if chosen else batch


class Stop(Exception):
    pass


def stop_after_two(event):
    if isinstance(event, EpochFinished) and event.epoch == 2:
        raise Stop


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("model", MODELS)
def test_two_trainings_with_one_seed_give_the_same_bytes(model, precision):
    first, second = (trained(model=model, precision=precision) for _ in range(2))
    assert digest(first.weights) == digest(second.weights)
    assert [r["validation"] for r in first.history] == [r["validation"] for r in second.history]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"precision": "bfloat16"},
        {"model": "conv-vae"},
        {"model": "conv-vae", "precision": "bfloat16"},
        {"corruption": (("noise", noise),)},
        {"ema_decay": 0.9, "clip_norm": 0.1, "optimizer": "adam"},
    ],
    ids=["float32", "bfloat16", "vae", "vae in bfloat16", "denoising", "averaged"],
)
def test_training_that_is_stopped_and_resumed_gives_the_same_bytes(
    tmp_path, monkeypatch, arguments
):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)
    whole = trained(**arguments)
    store = CheckpointStore(tmp_path)
    with pytest.raises(Stop):
        trained(store, stop_after_two, **arguments)
    assert digest(trained(store, **arguments).weights) == digest(whole.weights)


ON_CUDA = pytest.mark.skipif(DEVICE.type != "cuda", reason="graphs are CUDA's")


@pytest.fixture
def graphs(monkeypatch):
    """Count the graphs that are captured, and the steps that are replayed."""
    counted = {"captured": 0, "replayed": 0}
    capture, replay = ReplayedStep._capture, torch.cuda.CUDAGraph.replay

    def counting_capture(self, *arguments):
        counted["captured"] += 1
        return capture(self, *arguments)

    def counting_replay(self):
        counted["replayed"] += 1
        replay(self)

    monkeypatch.setattr(ReplayedStep, "_capture", counting_capture)
    monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", counting_replay)
    return counted


@pytest.fixture
def one_by_one(monkeypatch):
    """Return a function that trains without graphs."""

    def trained_without(**arguments):
        with monkeypatch.context() as without:
            without.setattr("latentkit.training.step.is_capturable", lambda model: False)
            return trained(**arguments)

    return trained_without


@ON_CUDA
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    ("arguments", "replayed"),
    [
        *(({"model": model}, 33) for model in MODELS),
        ({"corruption": (("noise", noise),)}, 33),
        ({"corruption": (("sometimes", noise_at_times),)}, 33),
        ({"ema_decay": 0.9, "clip_norm": 0.1, "optimizer": "adam"}, 33),
    ],
    ids=[*MODELS, "denoising", "at times", "averaged"],
)
def test_replayed_steps_equal_single_steps(graphs, one_by_one, arguments, replayed, precision):
    whole = trained(precision=precision, **arguments)
    # Four epochs of nine full batches and one of twelve images, which the graph does not include.
    assert graphs == {"captured": 1, "replayed": replayed}
    apart = one_by_one(precision=precision, **arguments)
    assert graphs["replayed"] == replayed
    assert digest(whole.weights) == digest(apart.weights)
    assert [r["train"] for r in whole.history] == [r["train"] for r in apart.history]


@ON_CUDA
@pytest.mark.parametrize(
    "options", [{"likelihood": "continuous-bernoulli"}, {"likelihood": "gaussian-learned"}]
)
def test_a_warm_up_of_the_kl_is_not_part_of_a_graph(graphs, one_by_one, options):
    def model():
        return build("conv-vae", warm_up=15, free_bits=0.05, **options)

    whole = trained(model=model())
    # Of 40 steps, 15 are warm-up, 3 come before the capture, and 3 smaller ones after the warm-up.
    assert graphs == {"captured": 1, "replayed": 19}
    assert digest(whole.weights) == digest(one_by_one(model=model()).weights)


@ON_CUDA
@pytest.mark.parametrize(
    ("options", "captured"),
    [({}, 1), ({"trains_encoder": False}, 1), ({"unfreeze_every": 1, "dropout": 0.2}, 4)],
    ids=["fine-tuned", "probe", "unfrozen layer by layer"],
)
def test_a_classifier_is_captured_for_each_choice_of_layers(graphs, one_by_one, options, captured):
    def model():
        torch.manual_seed(2)
        return Classifier(build("conv-ae").to(DEVICE), (1, 12, 12), 5, **options)

    whole = trained(model=model())
    assert graphs["captured"] == captured
    assert digest(whole.weights) == digest(one_by_one(model=model()).weights)


class WaitsForTheGpu(DeterministicAutoencoder):
    """Model that claims to be capturable but reads a number from the GPU."""

    capturable = True

    def loss(self, inputs, targets, *, step):
        noise = 0.1 * torch.randn_like(inputs)
        terms = super().loss(inputs + noise, targets, step=step)
        terms["mse"] = torch.tensor(terms["mse"].item(), device=inputs.device)
        return terms


@ON_CUDA
def test_steps_that_cannot_be_captured_run_one_by_one(one_by_one):
    def model():
        plain = build("conv-ae")
        return WaitsForTheGpu(plain.encoder, plain.decoder, plain.latent_dim)

    told = []
    whole = trained(model=model(), emit=told.append)
    (notice,) = (event for event in told if isinstance(event, Notice))
    assert notice.message.startswith("WaitsForTheGpu declares that it is capturable, but its step")
    assert "the model's loss failed" in notice.message
    assert digest(whole.weights) == digest(one_by_one(model=model()).weights)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 64)])
@pytest.mark.parametrize("model", MODELS)
def test_a_gpu_gives_the_results_of_a_cpu(model, shape):
    torch.manual_seed(0)
    network = lk.model(model, shape, latent_dim=3).to(memory_format=torch.channels_last).eval()
    batch = torch.from_numpy(images(16, shape=shape)).float() / 255
    with torch.no_grad():
        latents, again = network.encode(batch), network(batch)
        network.to(DEVICE)
        on_device = batch.to(DEVICE)
        torch.testing.assert_close(network.encode(on_device).cpu(), latents, rtol=0.02, atol=2e-3)
        torch.testing.assert_close(network(on_device).cpu(), again, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("name", ["gaussian-noise", "salt-and-pepper", "masking", "blur"])
def test_corruptions_repeat_with_a_seed_and_do_not_modify_their_input(name):
    part = default_registry().get("corruption", name)
    corrupt = part.target()(part.options({}))
    batch = torch.from_numpy(images(8)).to(DEVICE).float() / 255
    kept = batch.clone()

    def corrupted(seed):
        return corrupt(batch, torch.Generator(DEVICE).manual_seed(seed))

    assert torch.equal(corrupted(3), corrupted(3))
    assert torch.equal(batch, kept)
    assert corrupted(3).device == batch.device
    assert 0 <= corrupted(3).min() <= corrupted(3).max() <= 1


def test_images_are_kept_on_the_device_or_streamed_if_they_do_not_fit(monkeypatch):
    if DEVICE.type != "cuda":
        pytest.skip("only CUDA tells how much memory is free")
    here = DeviceImages(images(100), DEVICE)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (1000, 1000))
    streamed = DeviceImages(images(100), DEVICE)
    assert (here.placement, streamed.placement) == ("in memory", "streamed from memory")
    index = torch.tensor([3, 77, 5], device=DEVICE)
    assert torch.equal(here.batch(index), streamed.batch(index))
    assert streamed.batch(index).device.type == "cuda"


def test_bytes_become_the_same_floats_as_in_numpy():
    every = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    batch = DeviceImages(every, DEVICE).batch(torch.tensor([0], device=DEVICE))
    assert np.array_equal(batch.cpu().numpy(), every.astype(np.float32) / np.float32(255))


def test_auto_chooses_the_precision_that_the_gpu_multiplies_fast():
    network = torch.nn.Linear(400, 300)
    fast = DEVICE.type == "cuda" and torch.cuda.get_device_capability()[0] >= 8
    assert resolve_precision("auto", DEVICE, network) == ("bfloat16" if fast else "float32")
