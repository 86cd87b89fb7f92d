import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from latentkit.nn import LinearPath, clamp_to_images

SHAPES = [(1, 8, 8), (3, 17, 23), (3, 64, 64), (2, 40, 33), (1, 100, 9)]


def smooth_images(n, shape):
    torch.manual_seed(0)
    coarse = torch.rand(n, shape[0], 3, 3)
    return torch.nn.functional.interpolate(coarse, size=shape[1:], mode="bilinear")


def started(shape, latents, images):
    path = LinearPath(shape, latents)
    path.start_as_pca(images.split(16))
    return path


def test_on_small_images_the_path_starts_as_pca():
    images = smooth_images(60, (2, 9, 12))
    path = started((2, 9, 12), 4, images)
    rebuilt = path.decoder(path.encoder(images)).flatten(1).numpy()
    flat = images.flatten(1).numpy()
    pca = PCA(4).fit(flat)
    expected = pca.inverse_transform(pca.transform(flat))
    np.testing.assert_allclose(rebuilt, expected, atol=2e-4)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_latents_of_the_images_that_it_starts_from_have_mean_0_and_variance_1(shape):
    images = smooth_images(80, shape)
    latents = started(shape, 5, images).encoder(images)
    torch.testing.assert_close(latents.mean(0), torch.zeros(5), atol=1e-3, rtol=0)
    torch.testing.assert_close(latents.square().mean(0), torch.ones(5), atol=1e-2, rtol=0)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_enough_latents_rebuild_smooth_images_of_any_size(shape):
    images = smooth_images(120, shape)
    path = started(shape, 9 * shape[0], images)
    error = (path.decoder(path.encoder(images)) - images).square().mean()
    assert error < 0.05 * images.var()


def test_the_number_of_weights_does_not_grow_beyond_32_pixels_a_side():
    small, large = (LinearPath((3, side, side), 4).state_dict() for side in (32, 512))
    assert {k: v.shape for k, v in small.items()} == {k: v.shape for k, v in large.items()}


def test_latents_without_a_component_are_zero_and_finite():
    images = smooth_images(3, (1, 8, 8))
    path = started((1, 8, 8), 6, images)
    latents = path.encoder(images)
    assert torch.equal(latents[:, 2:], torch.zeros(3, 4))
    torch.testing.assert_close(path.decoder(latents), images, atol=1e-4, rtol=0)


def test_equal_images_start_a_path_that_returns_them():
    images = torch.full((5, 1, 8, 8), 0.3)
    path = started((1, 8, 8), 2, images)
    torch.testing.assert_close(path.decoder(path.encoder(images)), images)


def test_the_same_images_give_the_same_path_whatever_the_random_state():
    images = smooth_images(30, (3, 16, 16))
    first = started((3, 16, 16), 4, images).state_dict()
    torch.manual_seed(123)
    second = started((3, 16, 16), 4, images).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_clamped_values_are_images_and_still_receive_gradients():
    values = torch.tensor([-0.5, 0.5, 1.5], requires_grad=True)
    clamped = clamp_to_images(values)
    torch.testing.assert_close(clamped, torch.tensor([0.0, 0.5, 1.0]))
    ((clamped - 0.25) ** 2).sum().backward()
    torch.testing.assert_close(values.grad, torch.tensor([-0.5, 0.5, 1.5]))
