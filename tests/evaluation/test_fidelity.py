import numpy as np
import pytest
import torch
from skimage.metrics import structural_similarity

from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError
from latentkit.evaluation.reconstruction import Fidelity, fidelity, ssim

CPU = torch.device("cpu")


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 17, 23), (1, 11, 40)])
def test_ssim_equals_scikit_images(shape):
    rng = np.random.default_rng(0)
    images = rng.random((4, *shape), np.float32)
    others = np.clip(images + rng.normal(0, [[[[0.0]]], [[[0.05]]], [[[0.2]]], [[[1.0]]]]), 0, 1)
    others = others.astype(np.float32)
    found = ssim(torch.from_numpy(images), torch.from_numpy(others)).numpy()
    expected = [
        structural_similarity(
            a, b, gaussian_weights=True, use_sample_covariance=False, data_range=1, channel_axis=0
        )
        for a, b in zip(images, others, strict=True)
    ]
    assert found[0] == pytest.approx(1)
    assert np.allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("side", [8, 10])
def test_images_smaller_than_the_window_have_an_ssim_too(side):
    images = torch.rand(3, 1, side, side, generator=torch.Generator().manual_seed(0))
    assert ssim(images, images) == pytest.approx(np.ones(3), abs=1e-5)
    assert (ssim(images, 1 - images) < 0.9).all()


def test_psnr_follows_from_the_error_and_is_capped_at_100_db():
    found = Fidelity(np.array([0.01, 0.0, 1.0]), *np.ones((3, 3)))
    assert found.psnr == pytest.approx([20, 100, 0])


def test_an_exact_reconstruction_of_constant_images_is_perfect():
    images = DeviceImages(np.full((5, 1, 9, 9), 51, np.uint8), CPU)
    found = fidelity(images, lambda batch: torch.full_like(batch, 0.2))
    assert found.mse.max() < 1e-12
    assert found.ssim == pytest.approx(np.ones(5))


def test_a_reconstruction_of_another_shape_is_a_plugin_error():
    images = DeviceImages(np.zeros((5, 1, 9, 9), np.uint8), CPU)
    with pytest.raises(PluginError, match=r"gives \(5, 1, 9, 8\) for images \(5, 1, 9, 9\)"):
        fidelity(images, lambda batch: batch[..., 1:])
