"""Adversarial models with one optimiser: each parameter has the gradient of only its own loss."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import torch
from family import made, needs_the_plugin, pictures

pytestmark = needs_the_plugin


def gradients(model):
    return {name: p.grad for name, p in model.model.named_parameters() if p.grad is not None}


def ours(name):
    model, images = made(name), pictures()
    torch.manual_seed(5)
    model.loss(images, images, step=0)["loss"].backward()
    return gradients(model)


def of_pythae(name):
    model = made(name)
    torch.manual_seed(5)
    return model, model.model({"data": pictures()})


def players(model):
    named = dict(model.model.named_parameters())
    return (
        {k: v for k, v in named.items() if not k.startswith("discriminator")},
        {k: v for k, v in named.items() if k.startswith("discriminator")},
    )


@pytest.mark.parametrize("name", ["pythae-aae", "pythae-factor-vae"])
def test_each_player_has_the_gradient_of_its_own_loss_in_pythae(name):
    model, output = of_pythae(name)
    autoencoder, discriminator = players(model)
    expected = {}
    for own, term in ((autoencoder, "autoencoder_loss"), (discriminator, "discriminator_loss")):
        found = torch.autograd.grad(output[term], list(own.values()), retain_graph=True)
        expected |= dict(zip(own, found, strict=True))
    found = ours(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)


def test_the_adversarial_autoencoder_has_the_same_gradients_as_pythaes_trainer():
    model, output = of_pythae("pythae-aae")
    output["autoencoder_loss"].backward(retain_graph=True)
    for parameter in model.model.discriminator.parameters():
        parameter.grad = None
    output["discriminator_loss"].backward()
    expected, found = gradients(model), ours("pythae-aae")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        torch.testing.assert_close(found[key], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["pythae-aae", "pythae-factor-vae"])
def test_the_discriminator_can_be_trained_after_each_loss(name):
    model = made(name)
    model.loss(pictures(), pictures(), step=0)
    assert all(p.requires_grad for p in model.model.discriminator.parameters())
