import math

import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity
from torch.nn import functional

from latentkit.nn import (
    focal_frequency,
    gradient_difference,
    image_loss,
    ms_ssim,
    spectral_distance,
    ssim,
)

MEASURES = [ms_ssim, spectral_distance, gradient_difference, focal_frequency, ssim]
LOSSES = ["mse", "l1", "ms-ssim", "gradient", "focal-frequency"]
SHAPES = [(1, 8, 8), (3, 28, 28), (2, 17, 40), (3, 64, 64)]


def pictures(shape, n=4):
    """Return images with coarse and fine structure."""
    torch.manual_seed(0)
    coarse = functional.interpolate(torch.rand(n, shape[0], 4, 4), size=shape[1:], mode="nearest")
    return (0.8 * coarse + 0.2 * torch.rand(n, *shape)).clamp(0, 1)


def blurred(images):
    smaller = functional.avg_pool2d(images, 2, ceil_mode=True)
    return functional.interpolate(smaller, size=images.shape[2:], mode="bilinear")


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("measure", MEASURES)
def test_each_measure_has_a_figure_per_image_and_its_best_for_equal_images(measure, shape):
    images = pictures(shape)
    best = 1.0 if measure in (ssim, ms_ssim) else 0.0
    torch.testing.assert_close(measure(images, images), torch.full((4,), best), atol=1e-5, rtol=0)
    worse = (measure(blurred(images), images) - best).abs()
    assert worse.shape == (4,)
    assert worse.min() > 1e-5


def test_ms_ssim_of_small_images_is_their_ssim():
    images = pictures((3, 16, 16))
    other = blurred(images)
    torch.testing.assert_close(ms_ssim(other, images), ssim(other, images))


def test_ms_ssim_multiplies_the_scales_with_weights_that_sum_to_1():
    images = pictures((1, 24, 24), 1)
    other = blurred(images)

    def of_scikit(a, b):
        return structural_similarity(
            a[0, 0].numpy(), b[0, 0].numpy(), data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False, full=True,
        )[1][5:-5, 5:-5].mean()  # fmt: skip

    coarse = of_scikit(functional.avg_pool2d(other, 2), functional.avg_pool2d(images, 2))
    luminance_and_fine = of_scikit(other, images)  # means hardly differ, so luminance is near 1
    share = 0.0448 / (0.0448 + 0.2856)
    expected = luminance_and_fine**share * coarse ** (1 - share)
    assert ms_ssim(other, images).item() == pytest.approx(expected, abs=2e-3)


def test_half_the_contrast_is_six_decibels_at_every_length():
    images = pictures((1, 64, 64))
    found = spectral_distance(0.5 * images, images)
    np.testing.assert_allclose(found, 20 * math.log10(2), rtol=0.02)


def test_blur_costs_decibels_that_noise_of_the_same_squared_error_does_not():
    images = pictures((3, 64, 64))
    soft = blurred(images)
    error = (soft - images).square().mean().sqrt()
    noisy = images + error * torch.randn(images.shape)
    assert (spectral_distance(soft, images) > 2 * spectral_distance(noisy, images)).all()


def test_a_shade_costs_no_gradient_and_an_edge_does():
    images = pictures((3, 16, 16))
    torch.testing.assert_close(gradient_difference(images + 0.1, images), torch.zeros(4))
    step = torch.zeros(1, 1, 4, 4)
    step[..., 2:] = 1
    found = gradient_difference(step, torch.zeros(1, 1, 4, 4))
    assert found.item() == pytest.approx((0 + 1 / 3) / 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", LOSSES)
def test_each_loss_has_finite_gradients_and_falls_when_followed(name, shape):
    targets = pictures(shape)
    images = torch.rand(4, *shape, requires_grad=True)
    optimizer = torch.optim.Adam([images], lr=0.02)
    losses = []
    for _ in range(30):
        optimizer.zero_grad()
        loss = image_loss(name, images, targets, 1.0)
        loss.backward()
        assert images.grad.isfinite().all()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", LOSSES)
def test_equal_images_have_no_loss(name):
    images = pictures((3, 16, 16))
    assert image_loss(name, images, images, 1.0).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["ms-ssim", "gradient", "focal-frequency"])
def test_a_weight_of_zero_leaves_the_error_alone(name):
    images = pictures((3, 16, 16))
    other = blurred(images)
    plain = "l1" if name == "ms-ssim" else "mse"
    found = image_loss(name, other, images, 0.0)
    torch.testing.assert_close(found, image_loss(plain, other, images, 0.0))


def test_losses_are_computed_in_float32_under_autocast():
    images = pictures((1, 16, 16))
    expected = image_loss("ms-ssim", blurred(images), images, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(image_loss("ms-ssim", blurred(images), images, 1.0), expected)
