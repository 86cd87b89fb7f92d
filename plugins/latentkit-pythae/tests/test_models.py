"""Properties of models beyond the contract: priors, spheres, balls, codes, and saved states."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import torch
from family import GENERATIVE, NAMES, made, needs_the_plugin, pictures, small

import latentkit as lk

pytestmark = [pytest.mark.slow, needs_the_plugin, pytest.mark.usefixtures("blank_figures")]
WITH_A_PRIOR = [n for n in NAMES if not n.endswith(("-ae", "-rae-l2", "-rae-gp", "-vqvae"))]


@pytest.mark.parametrize("name", [n for n in NAMES if n != "pythae-ae"])
def test_a_state_dict_restores_a_trained_model(name):
    model = made(name).train()
    optimiser = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=1e-2)
    for step in range(2):
        optimiser.zero_grad()
        model.loss(pictures(), pictures(), step=step)["loss"].backward()
        optimiser.step()
    other = made(name, seed=1)
    other.load_state_dict(model.state_dict())
    images = pictures(seed=2)
    terms = []
    for chosen in (model, other):
        torch.manual_seed(0)
        terms.append(chosen.eval().loss(images, images, step=2))
    assert terms[0].keys() == terms[1].keys()
    assert all(torch.equal(terms[0][k], terms[1][k]) for k in terms[0])


@pytest.mark.parametrize("name", [*WITH_A_PRIOR, "pythae-aae"])
def test_the_generator_decides_the_samples_of_the_prior(name):
    model = made(name).eval()
    draws = [model.sample(4, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert draws[0].shape == (4, 1, 12, 10)
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


@pytest.mark.parametrize("name", GENERATIVE)
def test_the_importance_weighted_bound_is_above_the_elbo(name):
    model, images = made(name).eval(), pictures(16)
    with torch.no_grad():  # far from the prior, so that the bounds differ
        model.model.encoder.network.bottleneck[-1].bias[:4] += 2
    torch.manual_seed(0)
    elbo = torch.stack([model.log_likelihood(images, 1) for _ in range(20)]).mean()
    assert model.log_likelihood(images, 50).mean() > elbo


@pytest.mark.parametrize("likelihood", ["mse", "bce"])
def test_the_elbo_is_the_negative_loss_of_the_vae_up_to_a_constant(likelihood):
    model, images = made("pythae-vae", reconstruction_loss=likelihood).eval(), pictures(4)
    torch.manual_seed(0)
    losses = [model.loss(images, images, step=0)["loss"].item() for _ in range(400)]
    bounds = [model.log_likelihood(images, 1).mean().item() for _ in range(400)]
    constant = 60 * torch.tensor(2 * torch.pi).log().item() if likelihood == "mse" else 0.0
    mean = sum(losses) / 400 + constant
    assert sum(bounds) / 400 == pytest.approx(-mean, abs=0.5)


def test_latents_of_the_spherical_vae_are_on_the_sphere_and_others_are_projected_to_it():
    model = made("pythae-svae").eval()
    latents = model.encode(pictures())
    torch.testing.assert_close(latents.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(model.decode(3 * latents), model.decode(latents))


@pytest.mark.parametrize("curvature", [0.25, 1.0, 4.0])
def test_latents_of_the_poincare_vae_are_within_its_ball(curvature):
    model = made("pythae-poincare-vae", curvature=curvature).eval()
    with torch.no_grad():
        model.model.encoder.network.bottleneck[-1].weight.mul_(1000)
        assert (model.encode(pictures()).norm(dim=1) < curvature**-0.5).all()
        assert model.decode(1e6 * torch.randn(4, 4)).isfinite().all()


@pytest.mark.parametrize("use_ema", [False, True])
def test_latents_of_the_vqvae_are_codes_and_decode_to_pythaes_reconstruction(use_ema):
    model, images = made("pythae-vqvae", use_ema=use_ema).eval(), pictures()
    latents = model.encode(images)
    codes = model.codes(images)
    assert latents.shape == (8, model.latent_dim)
    assert codes.shape == (8, 3, 3)
    quantised = model._codebook()[codes].movedim(-1, 1).flatten(1)
    assert torch.equal(latents, quantised)
    expected = model.model({"data": images})
    torch.testing.assert_close(model.decode(latents), expected["recon_x"])


def test_codes_updated_by_a_moving_mean_change_only_in_training():
    model, images = made("pythae-vqvae", use_ema=True), pictures()
    before = model._codebook().clone()
    model.eval().loss(images, images, step=0)
    assert torch.equal(model._codebook(), before)
    model.train().encode(images)
    assert torch.equal(model._codebook(), before)
    model.loss(images, images, step=0)
    assert not torch.equal(model._codebook(), before)


@pytest.mark.parametrize("name", ["pythae-beta-tc-vae", "pythae-vqvae"])
def test_a_run_on_digits_is_trained_evaluated_and_reopened(name, tmp_path):
    options = {f"model.{key}": value for key, value in small(name).items()}
    command = [sys.executable, "-W", "error:::pythae", "-m", "latentkit", "run", "--model", name]
    command += ["--epochs", "1", "-o", "threads=1", "--json"]
    command += [w for k, v in options.items() for w in ("-o", f"{k}={json.dumps(v)}")]
    shown = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    run = lk.open(next(tmp_path.glob("runs/*")))
    card = run.evaluation
    assert 0 < card["reconstruction"]["mse"]["value"] < 1
    assert ("likelihood" in card) == (name in GENERATIVE)
    assert run.latents("test").shape == (360, run.model.latent_dim)
    assert {"loss", "recon_loss", "mse"} <= set(run.history[0]["validation"])
