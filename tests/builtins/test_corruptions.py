"""Corruptions stay in range, keep their input unchanged, repeat by seed, and work as described."""

import pytest
import torch

from latentkit.registry.catalogue import default_registry

ZERO = {
    "gaussian-noise": {"std": 0.0},
    "salt-and-pepper": {"amount": 0.0},
    "masking": {"share": 0.0},
    "blur": {"sigma": 0.0},
}
WITHOUT_ZERO: tuple[str, ...] = ()  # corruptions that no option turns into the identity
SHAPES = [(1, 8, 8), (3, 17, 23)]


def build(name, **options):
    part = default_registry().get("corruption", name)
    return part.target()(part.options(options))


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_every_built_in_corruption_is_covered_by_these_tests():
    parts = default_registry().parts("corruption")
    assert {part.spec.name for part in parts if part.plugin.built_in} == {*ZERO, *WITHOUT_ZERO}


@pytest.mark.parametrize("name", [*ZERO, *WITHOUT_ZERO])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_corruption_keeps_the_contract(name, shape, layout):
    images = torch.rand(6, *shape).contiguous(memory_format=layout)
    before = images.clone()
    corrupt = build(name)
    corrupted = corrupt(images, generator())
    assert torch.equal(images, before)
    assert corrupted.data_ptr() != images.data_ptr()
    assert corrupted.shape == images.shape
    assert corrupted.dtype == torch.float32
    assert corrupted.min() >= 0
    assert corrupted.max() <= 1
    assert not torch.equal(corrupted, images)
    assert torch.equal(corrupt(images, generator()), corrupted)


@pytest.mark.parametrize("name", ZERO)
def test_a_corruption_of_zero_strength_is_the_identity(name):
    images = torch.rand(4, 1, 9, 12)
    assert torch.equal(build(name, **ZERO[name])(images, generator()), images)


@pytest.mark.parametrize("name", ["gaussian-noise", "salt-and-pepper", "masking"])
def test_another_seed_gives_other_noise(name):
    images = torch.rand(4, 1, 9, 12)
    corrupt = build(name)
    assert not torch.equal(corrupt(images, generator(0)), corrupt(images, generator(1)))


def test_noise_without_clipping_has_the_stated_standard_deviation():
    images = torch.full((200, 1, 16, 16), 0.5)
    noise = build("gaussian-noise", std=0.1)(images, generator()) - images
    assert noise.std().item() == pytest.approx(0.1, rel=0.02)
    assert noise.mean().item() == pytest.approx(0.0, abs=1e-3)


def test_clipping_weakens_noise_on_black_and_reflection_does_not():
    black = torch.zeros(200, 1, 16, 16)
    clipped = build("gaussian-noise", std=0.2)(black, generator())
    reflected = build("gaussian-noise", std=0.2, clip=False)(black, generator())
    assert clipped.square().mean().item() == pytest.approx(0.02, rel=0.03)
    assert reflected.square().mean().item() == pytest.approx(0.04, rel=0.03)


def test_salt_and_pepper_change_the_stated_share_of_pixels_in_all_channels():
    images = torch.full((100, 3, 20, 20), 0.5)
    hit = build("salt-and-pepper", amount=0.3)(images, generator())
    for value in (0.0, 1.0):
        assert (hit == value).float().mean().item() == pytest.approx(0.15, abs=0.01)
    assert (hit == hit[:, :1]).all()


def test_masking_blackens_whole_blocks():
    images = torch.ones(300, 1, 10, 10)
    masked = build("masking", share=0.4, block=4)(images, generator())
    block = masked[:, 0, :4, :4].flatten(1)
    assert (block == block[:, :1]).all()
    assert (1 - masked).mean().item() == pytest.approx(0.4, abs=0.03)


def test_blur_keeps_brightness_spreads_a_point_and_leaves_even_images_alone():
    point = torch.zeros(1, 1, 21, 21)
    point[..., 10, 10] = 1
    blurred = build("blur", sigma=1.5)(point, generator())
    assert blurred.sum().item() == pytest.approx(1.0, abs=1e-5)
    at = torch.arange(21.0) - 10
    variance = (blurred[0, 0].sum(0) * at.square()).sum().item()
    assert variance == pytest.approx(1.5**2, rel=0.05)
    even = torch.full((1, 3, 8, 8), 0.3)
    assert torch.allclose(build("blur", sigma=5.0)(even, generator()), even, atol=1e-6)
