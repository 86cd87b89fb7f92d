import pytest
import torch

from latentkit.registry.catalogue import default_registry

CPU = torch.device("cpu")


def corruption(name, **options):
    part = default_registry().get("corruption", name)
    return part.target()(part.options(options))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def images():
    return torch.rand(16, 1, 12, 12, generator=seeded(9))


def test_noise_stays_in_range_keeps_the_input_and_repeats_by_seed(images):
    noise, before = corruption("gaussian-noise", std=0.5), images.clone()
    corrupted = noise(images, seeded(1))
    assert corrupted.shape == images.shape
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert torch.equal(images, before)
    assert torch.equal(corrupted, noise(images, seeded(1)))
    assert not torch.equal(corrupted, noise(images, seeded(2)))


def test_noise_of_no_strength_is_the_identity(images):
    assert torch.equal(corruption("gaussian-noise", std=0)(images, seeded()), images)


def test_noise_has_the_standard_deviation_that_it_states():
    grey = torch.full((64, 1, 32, 32), 0.5)
    difference = corruption("gaussian-noise", std=0.1)(grey, seeded()) - grey
    assert difference.std().item() == pytest.approx(0.1, rel=0.02)
    assert difference.mean().item() == pytest.approx(0, abs=0.002)


def test_noise_keeps_the_memory_layout(images):
    colour = torch.rand(2, 3, 8, 8).to(memory_format=torch.channels_last)
    corrupted = corruption("gaussian-noise")(colour, seeded())
    assert corrupted.is_contiguous(memory_format=torch.channels_last)
