"""Which models are captured; what replaying them gives is in test_gpu.py."""

import pytest
import torch
from torch import nn

import latentkit as lk
from latentkit.builtins.models.vae import VariationalAutoencoder
from latentkit.plugin.protocols import is_capturable
from latentkit.transfer.classifier import Classifier


@pytest.mark.parametrize("name", ["conv-ae", "dense-ae", "conv-vae", "dense-vae"])
def test_the_built_in_models_are_capturable_and_so_are_classifiers_on_them(name):
    model = lk.model(name, (1, 8, 8))
    assert is_capturable(model)
    assert is_capturable(Classifier(model, (1, 8, 8), 3))


def test_a_model_that_does_not_say_so_is_not():
    assert not is_capturable(nn.Linear(2, 2))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    network.encode = network.forward
    assert not is_capturable(Classifier(network, (1, 8, 8), 3))


def test_it_is_not_inherited_for_the_loss_may_be_another_one():
    class Annealed(VariationalAutoencoder):
        def loss(self, inputs, targets, *, step):
            terms = super().loss(inputs, targets, step=step)
            return terms | {"loss": terms["loss"] / (1 + step)}

    class Spoken(Annealed):
        capturable = True

    for kind, expected in ((Annealed, False), (Spoken, True)):
        model = kind.__new__(kind)
        torch.nn.Module.__init__(model)
        assert is_capturable(model) is expected
