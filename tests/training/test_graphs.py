"""Which models are captured as graphs; test_gpu.py covers the results of replaying them."""

import pytest
import torch
from torch import nn

import latentkit as lk
from latentkit.builtins.models.vae import VariationalAutoencoder
from latentkit.plugin.protocols import is_capturable
from latentkit.transfer.classifier import Classifier


@pytest.mark.parametrize(
    "name", ["conv-ae", "dense-ae", "conv-vae", "dense-vae", "vq-vae", "fsq-vae"]
)
def test_the_built_in_models_are_capturable_and_so_are_classifiers_on_them(name):
    model = lk.model(name, (1, 8, 8))
    assert is_capturable(model)
    assert is_capturable(Classifier(model, (1, 8, 8), 3))


def test_a_model_that_does_not_declare_it_is_not_capturable():
    assert not is_capturable(nn.Linear(2, 2))
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 2))
    network.encode = network.forward
    assert not is_capturable(Classifier(network, (1, 8, 8), 3))


def test_capturable_is_not_inherited_by_a_class_with_another_loss():
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
