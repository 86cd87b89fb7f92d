"""What an object provides is seen wherever it has it from."""

import torch
from torch import nn

import latentkit as lk
from latentkit.plugin import Autoencoder, Generative, HasFacts, HasFeatures
from latentkit.plugin.protocols import provides


class OfLayers(nn.Module):
    """Its methods are layers, which a module gives by ``__getattr__``."""

    def __init__(self):
        super().__init__()
        self.latent_dim = 2
        self.encode = nn.Linear(4, 2)
        self.decode = nn.Linear(2, 4)

    def loss(self, inputs, targets, *, step):
        return {"loss": torch.zeros(())}


def test_layers_count_as_methods():
    assert provides(OfLayers(), Autoencoder)
    assert not provides(OfLayers(), HasFeatures)


def test_a_model_provides_what_it_says_and_no_more():
    plain, generative = (lk.model(name, (1, 8, 8)) for name in ("conv-ae", "conv-vae"))
    for model in (plain, generative):
        assert provides(model, Autoencoder)
        assert provides(model, HasFeatures)
    assert provides(generative, Generative)
    assert not provides(plain, Generative)


def test_an_attribute_counts_once_it_is_there():
    class Estimator:
        pass

    estimator = Estimator()
    assert not provides(estimator, HasFacts)
    estimator.facts_ = {}
    assert provides(estimator, HasFacts)
