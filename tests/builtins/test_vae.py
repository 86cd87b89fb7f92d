"""Variational autoencoders: the terms of their loss, their bounds, and their samples."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

import latentkit as lk
from latentkit.nn.likelihoods import kl_to_standard_normal
from latentkit.plugin import Generative
from latentkit.plugin.protocols import provides

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

MODELS = ["conv-vae", "dense-vae"]
TINY = {"hidden": (8,), "latent_dim": 2, "norm": "none", "activation": "tanh"}


def tiny(**options):
    torch.manual_seed(0)
    return lk.model("dense-vae", (1, 8, 8), **{**TINY, **options})


@pytest.mark.parametrize("name", MODELS)
def test_encode_gives_the_posterior_mean_and_is_deterministic(name):
    model = lk.model(name, (1, 28, 28), latent_dim=3).eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(model.encode(images), model.posterior(images)[0])
        assert torch.equal(model.encode(images), model.encode(images))
    assert provides(model, Generative)


def test_options_build_the_network_of_the_papers():
    model = lk.model("dense-vae", (1, 28, 28), hidden=[400], latent_dim=20, norm="none")
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    widths = [(m.in_features, m.out_features) for m in linear]
    assert widths == [(784, 400), (400, 40), (20, 400), (400, 784)]


@pytest.mark.parametrize("likelihood", ["bernoulli", "continuous-bernoulli", "gaussian"])
def test_loss_terms_are_sums_over_pixels_and_latents_averaged_over_the_batch(likelihood):
    model = tiny(likelihood=likelihood)
    images = torch.rand(5, 1, 8, 8)
    torch.manual_seed(1)
    terms = model.loss(images, images, step=0)
    torch.manual_seed(1)
    mu, log_var = model.posterior(images)
    logits = model.decoder(mu + torch.randn_like(mu) * (0.5 * log_var).exp())
    nll = -model.likelihood.log_prob(logits, images).sum() / 5
    kl = kl_to_standard_normal(mu, log_var).sum() / 5
    assert terms["nll"].item() == pytest.approx(nll.item(), rel=1e-5)
    assert terms["kl"].item() == pytest.approx(kl.item(), rel=1e-5)
    assert terms["loss"].item() == pytest.approx((nll + kl).item(), rel=1e-5)
    assert terms["elbo"].item() == pytest.approx(-(nll + kl).item(), rel=1e-5)


def test_gradients_equal_finite_differences():
    model = tiny(likelihood="continuous-bernoulli", beta=2.0)
    images = torch.rand(3, 1, 8, 8)
    parameters = [model.encoder[1].weight, model.decoder[0].weight]

    def loss():
        torch.manual_seed(5)
        return model.loss(images, images, step=0)["loss"]

    loss().backward()
    step = 1e-2
    for parameter in parameters:
        for at in [(0, 0), (3, 1), (7, 1)]:
            with torch.no_grad():
                parameter[at] += step
                above = loss().item()
                parameter[at] -= 2 * step
                below = loss().item()
                parameter[at] += step
            expected = (above - below) / (2 * step)
            assert parameter.grad[at].item() == pytest.approx(expected, rel=0.02, abs=0.01)


def test_beta_rises_over_the_warm_up_and_weights_the_divergence():
    model = tiny(beta=4.0, warm_up=4)
    assert [model.beta_at(step) for step in range(6)] == [1.0, 2.0, 3.0, 4.0, 4.0, 4.0]
    assert tiny(beta=0.5).beta_at(0) == 0.5
    images = torch.rand(5, 1, 8, 8)
    terms = model.loss(images, images, step=1)
    expected = terms["nll"] + 2.0 * terms["kl"]
    assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_each_dimension_below_the_free_bits_costs_the_bound():
    model = tiny(free_bits=3.0)
    images = torch.rand(5, 1, 8, 8)
    terms = model.loss(images, images, step=0)
    assert terms["kl"].item() < 1
    assert (terms["loss"] - terms["nll"]).item() == pytest.approx(6.0, rel=1e-5)


def test_many_importance_samples_come_near_the_exact_likelihood():
    """A linear decoder with Gaussian noise has p(x) in closed form."""
    torch.manual_seed(0)
    model = tiny(hidden=(), likelihood="gaussian", sigma=0.5).eval()
    model.likelihood.mean = lambda logits: logits  # linear, so that x is Gaussian
    decoder = model.decoder[0]
    with torch.no_grad():
        decoder.weight.mul_(3)
    w, b = decoder.weight.double(), decoder.bias.double()
    exact = MultivariateNormal(b, w @ w.T + 0.25 * torch.eye(64, dtype=torch.float64))
    images = exact.sample((6,)).float().reshape(6, 1, 8, 8)
    truth = exact.log_prob(images.double().flatten(1))
    bounds = {k: model.log_likelihood(images, k).double() for k in (1, 2000)}
    assert (bounds[2000] <= truth + 0.5).all()
    assert (truth - bounds[2000]).mean() < (truth - bounds[1]).mean() / 4


def test_one_importance_sample_is_the_elbo():
    model = tiny(likelihood="gaussian").eval()
    images = torch.rand(1, 1, 8, 8).expand(20_000, 1, 8, 8)
    torch.manual_seed(0)
    elbo = model.loss(images, images, step=0)["elbo"].item()
    torch.manual_seed(1)
    assert model.log_likelihood(images, 1).mean().item() == pytest.approx(elbo, abs=0.5)


@pytest.mark.parametrize("name", MODELS)
def test_samples_are_images_and_depend_only_on_their_generator(name):
    model = lk.model(name, (3, 17, 23), latent_dim=4).eval()
    first, again = (model.sample(5, torch.Generator().manual_seed(seed)) for seed in (1, 1))
    assert first.shape == (5, 3, 17, 23)
    assert torch.equal(first, again)
    assert first.min() >= 0
    assert first.max() <= 1


@pytest.mark.parametrize("name", MODELS)
def test_the_elbo_rises_in_training_and_the_card_reports_the_likelihood(name, tmp_path):
    options = {"model.latent_dim": 4, "model.hidden": [32], "threads": 1}
    run = lk.run(model=name, epochs=6, options=options, out=tmp_path)
    elbos = [record["validation"]["elbo"] for record in run.history]
    assert elbos[-1] > elbos[0]
    card = run.evaluation["likelihood"]
    assert card["importance_weighted"]["value"] >= card["elbo"]["value"] - 1
    assert card["importance_samples"] == 100
    assert 0 <= card["active_dimensions"] <= 4
    assert all(math.isfinite(card[k]["value"]) for k in ("elbo", "importance_weighted"))


def test_a_collapsed_posterior_is_reported(tmp_path):
    notices = []
    lk.run(
        model="dense-vae",
        epochs=2,
        options={"model.beta": 10_000.0, "model.hidden": [16], "threads": 1},
        out=tmp_path,
        listener=lambda event: notices.append(getattr(event, "code", "")),
    )
    assert "posterior-collapse" in notices


def test_a_warm_up_that_never_ends_is_refused(tmp_path):
    with pytest.raises(lk.errors.UserError, match="warms up for 1,000 steps, but training"):
        lk.run(model="dense-vae", epochs=1, options={"model.warm_up": 1000}, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_latents_of_a_run_are_means(tmp_path):
    options = {"model.latent_dim": 2, "model.hidden": [8], "threads": 1}
    run = lk.run(model="dense-vae", epochs=1, options=options, out=tmp_path)
    images = torch.from_numpy(lk.dataset("digits", "test").images).float() / 255
    with torch.no_grad():
        means = run.model.posterior(images)[0].numpy()
    assert np.allclose(run.latents("test"), means, atol=1e-5)
