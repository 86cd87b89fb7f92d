import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

import latentkit as lk
from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError
from latentkit.evaluation.baselines import PixelPCA
from latentkit.evaluation.inference import decode, encode, reconstruction
from latentkit.evaluation.reconstruction import fidelity

CPU = torch.device("cpu")


def pca_errors(train, test, dimension):
    pca = PixelPCA.fit(DeviceImages(train, CPU), dimension)
    return fidelity(DeviceImages(test, CPU), pca.rebuild).mse


@pytest.fixture(scope="module")
def images():
    return lk.dataset("digits", "train").images[:1100], lk.dataset("digits", "test").images


def test_the_pca_baseline_equals_scikit_learns_clipped(images):
    train, test = (part.reshape(len(part), -1) / 255 for part in images)
    pca = PCA(5).fit(train)
    rebuilt = np.clip(pca.inverse_transform(pca.transform(test)), 0, 1)
    expected = ((rebuilt - test) ** 2).mean(1)
    assert np.allclose(pca_errors(*images, 5), expected, atol=1e-7)
    codes = PixelPCA.fit(DeviceImages(images[0], CPU), 5).codes(DeviceImages(images[1], CPU))
    assert np.allclose(np.abs(codes), np.abs(pca.transform(test)), atol=1e-5)


@pytest.mark.parametrize(("rows", "direct"), [(40, 4096), (1100, 63), (40, 20)])
def test_pca_of_few_images_or_many_pixels_still_equals_scikit_learns(
    images, monkeypatch, rows, direct
):
    monkeypatch.setattr("latentkit.evaluation.baselines.DIRECT", direct)
    train, test = images[0][:rows], images[1]
    flat, other = (part.reshape(len(part), -1) / 255 for part in (train, test))
    pca = PCA(5).fit(flat)
    rebuilt = np.clip(pca.inverse_transform(pca.transform(other)), 0, 1)
    found = pca_errors(train, test, 5)
    assert np.allclose(found, ((rebuilt - other) ** 2).mean(1), atol=1e-7)


def test_pca_of_as_many_components_as_pixels_is_perfect(images):
    errors = pca_errors(*images, 1000)
    assert errors.max() < 1e-10


def test_there_is_one_reconstruction_error_an_image_in_eval_mode(images):
    model = lk.model("conv-ae", (1, 8, 8)).train()
    test = DeviceImages(images[1], CPU)
    errors = fidelity(test, reconstruction(model)).mse
    assert not model.training
    clean = torch.from_numpy(images[1]) / 255
    with torch.no_grad():
        expected = (model.eval()(clean) - clean).square().flatten(1).mean(1)
    assert errors.shape == (360,)
    assert np.allclose(errors, expected.numpy(), atol=1e-6)


def test_a_denoised_image_is_compared_with_the_clean_one(images):
    class Identity(torch.nn.Module):
        latent_dim = 64

        def encode(self, images):
            return images

        def decode(self, latents):
            return latents

    test = DeviceImages(images[1], CPU)
    darken = lambda batch: batch * 0.5  # noqa: E731
    clean = images[1] / 255
    expected = ((clean / 2) ** 2).mean((1, 2, 3))
    denoised = fidelity(test, reconstruction(Identity()), darken)
    assert np.allclose(denoised.mse, expected, atol=1e-6)
    assert np.allclose(fidelity(test, darken).mse, expected, atol=1e-6)


def test_encode_and_decode_keep_the_order_and_report_progress(images):
    model, seen = lk.model("conv-ae", (1, 8, 8), latent_dim=3), []
    latents = encode(
        model, DeviceImages(images[0], CPU), lambda done, total: seen.append((done, total))
    )
    assert latents.shape == (1100, 3)
    assert seen == [(1000, 1100), (1100, 1100)]
    assert decode(model, latents, CPU).shape == images[0].shape
    alone = encode(model, DeviceImages(images[0][7:8], CPU))
    assert np.allclose(alone, latents[7:8], atol=1e-5)


def test_latents_of_an_undeclared_shape_are_a_plugin_error(images):
    model = lk.model("conv-ae", (1, 8, 8), latent_dim=3)
    model.latent_dim = 4
    with pytest.raises(PluginError, match=r"gives \(360, 3\) for 360 images, expected \(360, 4\)"):
        encode(model, DeviceImages(images[1], CPU))
