"""Several processes that share each batch train the model that one process would."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.several_processes import become, fork_server, free_port
from torch import nn

from latentkit.api.building_blocks import model as build
from latentkit.config import TrainingOptions
from latentkit.data.batches import Augmentation, CorruptionChain, DeviceImages
from latentkit.errors import PluginError
from latentkit.evaluation.inference import encode
from latentkit.nn import whole_batch
from latentkit.plugin.events import ignore
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob, train
from latentkit.training.processes import Share, joined
from latentkit.training.shared_batch import SharedBatch
from latentkit.training.summed_gradients import SummedGradients

from .noisy import noise

CPU = torch.device("cpu")
SHAPE = (1, 12, 12)


class Doubles(DeviceImages):
    """Images in float64, so that a difference is one of the method and not of rounding."""

    def batch(self, index):
        return super().batch(index).double()


def images(n, seed):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 256, (n, *SHAPE), dtype=np.uint8)


class Dropping(nn.Module):
    """A network that draws in every way that a share of a batch must not change."""

    latent_dim = 3

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(144, 3))
        self.decoder = nn.Sequential(nn.Tanh(), nn.BatchNorm1d(3, affine=False), nn.Linear(3, 144))
        self.unused = nn.Linear(2, 2)

    def encode(self, images):
        return self.encoder(images)

    def loss(self, inputs, targets, *, step):
        latents = self.encode(inputs)
        latents = latents + 0.1 * torch.randn(len(latents), 3, dtype=latents.dtype)
        latents = latents * (1 + 0.1 * torch.rand(()).item())
        latents = latents + torch.empty_like(latents).exponential_().mul(0.1)
        rebuilt = self.decoder(latents).view_as(targets)
        # The largest mean of a batch is no mean over images, so the loss asks for all of them.
        largest = whole_batch(latents).mean(0).max()
        return {"loss": (rebuilt - targets).square().mean() + 0.1 * largest}


class Contrasting(Dropping):
    """A network whose loss compares the images of a share only, which latentkit should refuse."""

    def loss(self, inputs, targets, *, step):
        latents = self.encoder(inputs)
        return {"loss": (latents @ latents.T).softmax(1).square().mean() + latents.var(0).sum()}


CASES = {
    "conv-ae": {"model": "conv-ae"},
    "conv-vae": {"model": "conv-vae", "free_bits": 0.5},
    "denoising": {"model": "conv-ae", "corruption": (("noise", noise),)},
    "vq-vae": {"model": "vq-vae", "codes": 16},
    "dropping": {"model": Dropping},
}


def make_job(model, corruption=(), device=CPU, **options):
    torch.manual_seed(1)
    small = {"channels": (8,), "hidden": (16,)}
    network = (
        model()
        if isinstance(model, type)
        else build(model, SHAPE, latent_dim=4, **small, **options)
    )
    if hasattr(network, "start_from_images"):
        with torch.no_grad():
            network.start_from_images(DeviceImages(images(100, 0), CPU).in_order())
    return TrainingJob(
        model=network.double().to(device, memory_format=torch.channels_last),
        train=Doubles(images(100, 0), device),
        validation=Doubles(images(42, 1), device),
        corruption=CorruptionChain(corruption),
        options=TrainingOptions(batch_size=24, epochs=1, learning_rate=8e-3, clip_norm=0.5),
        precision="float32",
        seed=3,
        augmentation=Augmentation(1, True) if corruption else None,
        new_weights=False,
    )


@pytest.fixture(scope="module")
def forks():
    return fork_server(__name__, "latentkit.builtins.models.quantised")


def run_processes(forks, target, count, *arguments):
    """Call ``target(processes, *arguments)`` in each process, and return what each gives."""
    port, answers = free_port(), forks.SimpleQueue()
    started = [
        forks.Process(target=_joined, args=(target, rank, count, port, answers, arguments))
        for rank in range(count)
    ]
    for process in started:
        process.start()
    found = dict(answers.get() for _ in started)
    for process in started:
        process.join(30)
    return [found[rank] for rank in range(count)]


def _joined(target, rank, count, port, answers, arguments):
    become(rank, count, port)
    try:
        with joined(30) as processes, repeatable(CPU, 1):
            found = target(processes, *arguments)
    except Exception as error:
        found = error
    answers.put((rank, found))


def train_all(processes):
    return {name: trained(make_job(**case), processes) for name, case in CASES.items()}


def trained(job, processes=None):
    result = train(replace(job, processes=processes), None, ignore)
    latents = encode(job.model, job.validation)
    weights = {name: value.cpu().numpy() for name, value in result.weights.items()}
    losses = [record[part] for record in result.history for part in ("train", "validation")]
    return weights, losses, latents


@pytest.fixture(scope="module")
def alone():
    with repeatable(CPU, 1):
        return {name: trained(make_job(**case)) for name, case in CASES.items()}


@pytest.mark.parametrize("count", [2, 4])
def test_several_processes_train_the_same_model_as_one(forks, alone, count):
    found = run_processes(forks, train_all, count)
    for name, (weights, losses, latents) in alone.items():
        for rank, others in enumerate(found):
            there, their_losses, their_latents = others[name]
            for key, value in weights.items():
                np.testing.assert_allclose(there[key], value, rtol=0, atol=1e-10, err_msg=name)
                assert (there[key] == found[0][name][0][key]).all(), (name, key, rank)
            for here, there in zip(losses, their_losses, strict=True):
                assert here == pytest.approx(there, rel=1e-5)
            np.testing.assert_allclose(latents, their_latents, atol=1e-6)


def train_on_gpu(processes):
    cuda = torch.device("cuda")  # that of this process
    return trained(make_job("conv-ae", device=cuda), processes), torch.cuda.current_device()


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="it needs two GPUs")
def test_processes_on_gpus_of_their_own_train_the_same_model_as_one(forks, alone):
    found = run_processes(forks, train_on_gpu, 2)
    assert [gpu for _, gpu in found] == [0, 1]
    for (weights, _, _), _ in found:
        for key, value in alone["conv-ae"][0].items():
            np.testing.assert_allclose(weights[key], value, rtol=0, atol=1e-6)


def test_parts_of_the_latents_together_are_those_of_all_images():
    network = build("conv-ae", SHAPE, latent_dim=4, channels=(8,), hidden=(16,))
    many = DeviceImages(images(2500, 2), CPU)
    parts = [encode(network, many, part=part, parts=4) for part in range(4)]  # of 3 batches
    assert sorted(map(len, parts)) == [0, 500, 1000, 1000]
    assert len(parts[0])  # process 0 measures how long an image takes
    assert (np.concatenate(parts) == encode(network, many)).all()


def refuse(processes):
    with pytest.raises(PluginError, match="cannot be trained by 2 processes: the gradients"):
        train(replace(make_job(Contrasting), processes=processes), None, ignore)
    return True


def leave_out_a_term(processes):
    """Return whether a parameter that no process used keeps no gradient."""
    network = Dropping().double()
    share = processes.share(3)
    blank = torch.zeros(share.count, *SHAPE).double()
    with SharedBatch(processes, share):
        loss = network.loss(blank, blank, step=0)
    SummedGradients(processes, network).backward(loss, share)
    return network.unused.weight.grad is None and network.encoder[2].weight.grad is not None


def fail(processes):
    if processes.rank == 1:
        raise PluginError("the moon is full")
    processes.heard("never", 1)


def test_a_loss_that_is_no_mean_over_images_is_refused_before_the_first_step(forks):
    assert run_processes(forks, refuse, 2) == [True, True]


def test_a_parameter_that_no_process_uses_has_no_gradient(forks):
    assert run_processes(forks, leave_out_a_term, 2) == [True, True]


def test_the_error_of_a_process_is_raised_by_process_0_with_its_name(forks):
    found = run_processes(forks, fail, 2)
    assert isinstance(found[0], PluginError)
    assert str(found[0]).startswith("process 1 on ")
    assert str(found[0]).endswith("the moon is full")


class FakeProcesses:
    """Processes of which the others give zeros."""

    def sum_(self, tensor):
        return tensor


@pytest.mark.parametrize(
    "draw",
    [
        lambda x: torch.randn_like(x),
        lambda x: torch.rand(len(x), 2),
        lambda x: torch.rand((len(x), 2)),
        lambda x: torch.randn(size=(len(x), 2)),
        lambda x: torch.randint(9, (len(x),)),
        lambda x: torch.normal(x, 1.0),
        lambda x: torch.bernoulli(x.sigmoid()),
        lambda x: torch.empty_like(x).uniform_(),
        lambda x: nn.functional.dropout(x, 0.5),
        lambda x: nn.functional.gumbel_softmax(x),
        lambda x: torch.distributions.Normal(x, 1.0).rsample(),
    ],
)
def test_the_draws_of_shares_are_those_of_the_whole_batch(draw):
    whole = torch.arange(14.0).view(7, 2)
    torch.manual_seed(0)
    expected = draw(whole)
    for rows in (slice(0, 4), slice(4, 7)):
        share = Share(rows, (4, 3), 7, 0.5, True)
        torch.manual_seed(0)
        with SharedBatch(FakeProcesses(), share):
            assert torch.equal(draw(whole[rows]), expected[rows])
        assert torch.equal(torch.rand(1), after(draw, whole))


def after(draw, whole):
    """Return the draw that follows that of a whole batch."""
    torch.manual_seed(0)
    draw(whole)
    return torch.rand(1)
