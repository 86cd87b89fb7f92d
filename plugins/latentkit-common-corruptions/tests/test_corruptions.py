"""Each corruption keeps the contract and follows its formula, compared with other code."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip(
    "latentkit_common_corruptions",
    reason="pip install ./plugins/latentkit-common-corruptions to test it",
)

from latentkit.errors import UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases
from latentkit_common_corruptions.defocus import disk
from latentkit_common_corruptions.fog import plasma

REGISTRY = Registry(find_plugins())
NAMES = [
    part.spec.name
    for part in REGISTRY.parts("corruption")
    if part.plugin.distribution == "latentkit-common-corruptions"
]
RANDOM = {"shot-noise", "speckle-noise", "motion-blur", "fog", "lines"}


@pytest.mark.parametrize("case", part_cases("latentkit-common-corruptions", registry=REGISTRY))
def test_the_contract(case):
    case()


def corrupt(name, images, seed=0, **options):
    part = REGISTRY.get("corruption", name)
    return part.target()(part.options(options))(images, torch.Generator().manual_seed(seed))


def photographs(n=4, channels=3, height=24, width=31):
    """Return smooth images (n, C, H, W) with some texture."""
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(n, channels, 5, 6, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear")
    return (
        0.8 * smooth + 0.2 * torch.rand(n, channels, height, width, generator=generator)
    ).clone()


@pytest.mark.parametrize("name", NAMES)
def test_the_memory_format_does_not_change_the_result(name):
    images = photographs()
    folded = images.contiguous(memory_format=torch.channels_last)
    if name in ("shot-noise", "speckle-noise"):
        images = images.mean((2, 3), keepdim=True).expand_as(images).contiguous()
        folded = images.contiguous(memory_format=torch.channels_last)
        ours, theirs = (corrupt(name, i).std((2, 3)) for i in (images, folded))
        assert torch.allclose(ours, theirs, rtol=0.2)
    else:
        assert torch.allclose(corrupt(name, images), corrupt(name, folded), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_only_random_corruptions_use_the_generator_and_each_image_has_its_own_draw(name):
    images = photographs(1).expand(6, -1, -1, -1).contiguous()
    corrupted = corrupt(name, images)
    assert torch.equal(corrupted[0], corrupted[1]) == (name not in RANDOM)
    assert torch.equal(corrupted, corrupt(name, images, seed=1)) == (name not in RANDOM)


@pytest.mark.parametrize("std", [0.05, 0.1])
def test_shot_noise_has_the_mean_and_the_variance_of_counted_photons(std):
    for level in (0.2, 0.6):
        noisy = corrupt("shot-noise", torch.full((100, 1, 30, 30), level), std=std)
        assert noisy.mean().item() == pytest.approx(level, rel=0.01)
        assert noisy.std().item() == pytest.approx(std * level**0.5, rel=0.02)
        counts = noisy / std**2
        assert torch.allclose(counts, counts.round(), atol=1e-2)


def test_speckle_noise_is_in_proportion_to_the_pixel():
    for level in (0.0, 0.2, 0.6):
        noisy = corrupt("speckle-noise", torch.full((100, 1, 30, 30), level), std=0.1)
        assert noisy.mean().item() == pytest.approx(level, abs=1e-3)
        assert noisy.std().item() == pytest.approx(0.1 * level, rel=0.02)


@pytest.mark.parametrize("radius", [0, 0.3, 1, 1.5, 4.2])
def test_the_disk_kernel_has_weight_1_and_the_second_moment_of_a_disk(radius):
    kernel = disk(radius).double()
    at = torch.arange(len(kernel)) - len(kernel) // 2
    spread = (kernel.sum(0) * at**2).sum().item()
    # A disk has r^2/4. A point x shared between the pixels at a and b adds (x - a)(b - x).
    points = torch.linspace(-1, 1, 20_001, dtype=torch.float64) * radius
    rows = (1 - torch.linspace(-1, 1, 20_001, dtype=torch.float64) ** 2).clamp(min=0).sqrt()
    shared = (points - points.floor()) * (points.floor() + 1 - points)
    expected = ((points**2 + shared) * rows).sum() / rows.sum()
    assert kernel.sum().item() == pytest.approx(1, abs=1e-6)
    assert torch.allclose(kernel, kernel.T)
    assert spread == pytest.approx(expected.item(), rel=0.02, abs=1e-9)


def test_blurs_do_not_change_a_uniform_image():
    plain = torch.full((3, 3, 12, 15), 0.37)
    for name in ("defocus-blur", "motion-blur"):
        assert torch.allclose(corrupt(name, plain), plain, atol=1e-6)


def test_horizontal_motion_blur_is_one_sided_with_half_gaussian_weights():
    images = torch.zeros(1, 1, 9, 31)
    images[0, 0, 4, 25] = 1
    blurred = corrupt("motion-blur", images, sigma=3.0, radius=4, max_angle=0)[0, 0]
    weights = np.exp(-0.5 * (np.arange(9) / 3.0) ** 2)
    assert np.allclose(blurred[4, 17:26].numpy()[::-1], weights / weights.sum(), atol=1e-6)
    assert blurred.sum().item() == pytest.approx(1, abs=1e-5)


def test_each_image_has_its_own_blur_direction_within_the_angle():
    images = torch.zeros(64, 1, 41, 41)
    images[:, 0, 20, 30] = 1
    blurred = corrupt("motion-blur", images, sigma=4.0, max_angle=30)[:, 0]
    rows, columns = torch.arange(41) - 20, torch.arange(41) - 30
    down = (blurred.sum(2) * rows).sum(1)
    along = (blurred.sum(1) * columns).sum(1)
    angles = torch.rad2deg(torch.atan(down / along))
    assert angles.abs().max() < 33
    assert angles.min() < -20
    assert angles.max() > 20


@pytest.mark.parametrize("amount", [0.1, 0.3])
def test_brightness_equals_scikit_images_in_hsv(amount):
    color = pytest.importorskip("skimage.color")
    images = photographs()
    images[0, :, :5] = 0
    hsv = color.rgb2hsv(images.permute(0, 2, 3, 1).double().numpy())
    hsv[..., 2] = np.clip(hsv[..., 2] + amount, 0, 1)
    expected = torch.from_numpy(color.hsv2rgb(hsv)).permute(0, 3, 1, 2).float()
    assert torch.allclose(corrupt("brightness", images, amount=amount), expected, atol=1e-5)


def test_contrast_keeps_the_mean_of_each_channel_and_shrinks_its_spread():
    images = photographs()
    flat = corrupt("contrast", images, amount=0.7)
    assert torch.allclose(flat.mean((2, 3)), images.mean((2, 3)), atol=1e-5)
    assert torch.allclose(flat.std((2, 3)), 0.3 * images.std((2, 3)), rtol=1e-3)


def test_clouds_span_0_to_1_and_are_smoother_with_more_decay():
    generator = torch.Generator().manual_seed(0)
    rough, smooth = (plasma(200, 32, decay, generator) for decay in (1.2, 3.0))
    for clouds in (rough, smooth):
        assert (clouds.amin((1, 2)) == 0).all()
        assert torch.allclose(clouds.amax((1, 2)), torch.ones(200))
    steps = [clouds.diff(dim=2).abs().mean() for clouds in (rough, smooth)]
    assert steps[0] > 3 * steps[1]


def test_a_cloud_continues_without_a_seam_across_its_edges():
    clouds = plasma(400, 16, 2.0, torch.Generator().manual_seed(0))
    inside = clouds.diff(dim=2).abs().mean()
    seam = (clouds[:, :, 0] - clouds[:, :, -1]).abs().mean()
    assert seam < 1.5 * inside


def test_fog_is_grey_keeps_the_brightest_pixel_in_range_and_black_images_black():
    images = photographs()
    images[1] = 0
    foggy = corrupt("fog", images, amount=2.0)
    peaks = images.amax((1, 2, 3), keepdim=True)
    clouds = foggy[[0, 2, 3]] * ((peaks + 2) / peaks)[[0, 2, 3]] - images[[0, 2, 3]]
    assert torch.allclose(clouds[:, 0], clouds[:, 1], atol=1e-4)
    assert (foggy <= peaks + 1e-6).all()
    assert (foggy[1] == 0).all()


@pytest.mark.parametrize("share", [0.95, 0.6, 0.5, 0.3, 0.25])
@pytest.mark.parametrize("side", [28, 32, 224])
def test_pixelation_equals_pillows_box_filter(share, side):
    images = photographs(2, 1, side, side)
    fewer = int(side * share)
    for image, ours in zip(images, corrupt("pixelate", images, amount=1 - share), strict=True):
        small = Image.fromarray(image[0].numpy()).resize((fewer, fewer), Image.Resampling.BOX)
        again = np.asarray(small.resize((side, side), Image.Resampling.BOX))
        assert np.allclose(ours[0].numpy(), again, atol=1e-5)


def test_pixelation_to_one_pixel_gives_the_mean():
    images = photographs()
    plain = corrupt("pixelate", images, amount=1.0)
    assert torch.allclose(plain, images.mean((2, 3), keepdim=True).expand_as(plain), atol=1e-5)


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_equals_an_encoded_file_of_that_quality(channels):
    images = photographs(2, channels)
    ours = corrupt("jpeg-compression", images, amount=0.75)
    for image, found in zip(images, ours, strict=True):
        pixels = (image * 255).round().byte().permute(1, 2, 0).numpy()
        file = io.BytesIO()
        Image.fromarray(pixels[..., 0] if channels == 1 else pixels).save(file, "JPEG", quality=25)
        expected = np.asarray(Image.open(file)).reshape(pixels.shape) / 255
        assert np.allclose(found.permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_lines_cover_an_area_by_their_width_in_their_shade():
    images = torch.full((300, 3, 40, 40), 0.25)
    crossed = corrupt("lines", images, width=2.0, count=1, shade=0.75)
    assert crossed.max().item() == pytest.approx(0.75)
    assert crossed.min().item() == pytest.approx(0.25)
    assert torch.equal(crossed[:, 0], crossed[:, 2])
    # A line through the square is 0 to 40 sqrt(2) long; through a random point, 34.6 on average.
    hidden = (crossed[:, 0] - 0.25).sum((1, 2)) / 0.5 / 2.0
    assert hidden.max() < 40 * 2**0.5 + 2
    assert 30 < hidden.mean() < 40


@pytest.mark.parametrize("name", NAMES)
def test_more_strength_changes_the_image_more(name):
    from latentkit.plugin import strength_option

    images = photographs(8)
    option, most = strength_option(REGISTRY.get("corruption", name).options_type())
    errors = [
        (corrupt(name, images, **{option: value}) - images).square().mean().item()
        for value in (0.0, 0.1, 0.3, 0.9)
    ]
    assert errors == sorted(errors)
    assert errors[0] < 1e-12
    assert errors[3] > 1e-4
    assert most >= 0.9


@pytest.mark.parametrize(("name", "option"), [("shot-noise", "std"), ("motion-blur", "sigma")])
def test_a_strength_whose_square_is_too_small_is_refused(name, option):
    part = REGISTRY.get("corruption", name)
    assert part.options({option: 0})
    with pytest.raises(UserError, match=r"should be 0, or 0\.0001 or more"):
        part.options({option: 1e-320})
