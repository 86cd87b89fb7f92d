"""Losses against pythae's ``forward`` with equal weights and seed; what sees corrupted inputs."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import torch
from family import NAMES, made, needs_the_plugin, pictures

from latentkit.errors import UserError

pytestmark = needs_the_plugin
STEP = 3
DENOISING = [name for name in NAMES if name != "pythae-hvae"]
WARM = {
    "pythae-vamp": {"warm_up": 10},
    "pythae-disentangled-beta-vae": {"warm_up": 10},
    "pythae-vqvae": {"use_ema": True},
    "pythae-aae": {"reconstruction_loss": "bce"},
}


def loss(model, inputs, targets, seed=5):
    torch.manual_seed(seed)
    return model.loss(inputs, targets, step=STEP)


def of_pythae(model, images, seed=5):
    torch.manual_seed(seed)
    model.model.device = images.device
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.model({"data": images.clone()}, epoch=STEP + 1)


@pytest.mark.parametrize("options", [{}, None], ids=["defaults", "others"])
@pytest.mark.parametrize("name", NAMES)
def test_the_terms_equal_pythaes(name, options):
    if options is None:
        options = WARM.get(name)
        if options is None:
            pytest.skip("no other way to compute its loss")
    images = pictures()
    expected = of_pythae(made(name, **options), images)
    found = loss(made(name, **options), images, images)
    terms = [k for k in found if k.endswith("loss")]
    assert "loss" in terms
    for term in terms:
        value = expected[term].mean()
        torch.testing.assert_close(found[term].detach(), value.detach(), rtol=1e-5, atol=1e-5)
    picked = expected.get("recon_x_indices", torch.arange(len(images)))
    error = (expected["recon_x"] - images[picked]).square().mean()
    torch.testing.assert_close(found["mse"], error.detach())


@pytest.mark.parametrize("name", DENOISING)
def test_only_the_encoder_sees_corrupted_inputs(name):
    images, noisy = pictures(), pictures(seed=1)
    model = made(name)
    before = loss(made(name), images, images)["loss"]
    assert not torch.allclose(loss(model, noisy, images)["loss"], before)
    blind = made(name)
    last = getattr(blind.model.encoder.network, "last", None)
    last = last or blind.model.encoder.network.bottleneck[-1]
    torch.nn.init.zeros_(last.weight)
    seen = loss(blind, noisy, images)
    if name == "pythae-rae-gp":  # its penalty is zero if the encoder ignores its input
        assert seen["gen_reg_loss"] == 0
    fresh = loss(blind, images, images)
    torch.testing.assert_close(seen["loss"], fresh["loss"], rtol=1e-4, atol=1e-4)


def test_the_reconstruction_of_corrupted_inputs_is_measured_against_the_targets():
    images, noisy = pictures(), pictures(seed=1)
    model = made("pythae-ae", norm="none")
    error = (model(noisy) - images).square().flatten(1).sum(1).mean()
    found = model.loss(noisy, images, step=0)
    torch.testing.assert_close(found["loss"], error)
    torch.testing.assert_close(found["mse"], (error / 120).detach())


def test_the_gradient_penalty_is_taken_at_the_corrupted_inputs():
    noisy, images = pictures(seed=1), pictures()
    found = made("pythae-rae-gp", norm="none").loss(noisy, images, step=0)["gen_reg_loss"]
    model = made("pythae-rae-gp", norm="none")
    seen = noisy.clone().requires_grad_(True)
    slope = torch.autograd.grad(model(seen).sum(), seen)[0]
    torch.testing.assert_close(found, slope.flatten(1).square().sum(1).mean())


def test_the_hamiltonian_vae_refuses_corrupted_inputs():
    with pytest.raises(UserError, match="pythae-hvae cannot be trained on corrupted images"):
        made("pythae-hvae").loss(pictures(seed=1), pictures(), step=0)


@pytest.mark.parametrize("name", NAMES)
def test_validation_works_without_gradients_for_any_number_of_images(name):
    model = made(name).eval()
    with torch.no_grad():
        for n in (1, 2, 3):
            terms = loss(model, pictures(n), pictures(n))
            assert all(value.isfinite() for value in terms.values()), (n, terms)
            assert not terms["loss"].requires_grad


@pytest.mark.parametrize("name", NAMES)
def test_losses_stay_in_float32_with_mixed_precision(name):
    images = pictures()
    with torch.autocast("cpu", torch.bfloat16):
        terms = loss(made(name), images, images)
    assert all(v.dtype == torch.float32 and v.isfinite() for v in terms.values())
    terms["loss"].backward()


def test_the_capacity_rises_over_the_warm_up():
    images = pictures()
    model = made("pythae-disentangled-beta-vae", warm_up=10).eval()
    seen = []
    for step in (0, 10, 20):
        torch.manual_seed(0)
        seen.append(model.loss(images, images, step=step)["loss"].item())
    assert seen[0] < seen[1] == pytest.approx(seen[2])
    assert model.warm_up_steps == 10


def test_the_total_correlation_depends_on_the_number_of_training_images():
    images = pictures()
    found = [
        loss(made("pythae-beta-tc-vae", dataset_size=n).eval(), images, images)["loss"].item()
        for n in (0, len(images), 10_000)
    ]
    assert found[0] == pytest.approx(found[1])
    assert found[0] != pytest.approx(found[2])
