"""What an object provides is seen wherever it has it from."""

import re
from pathlib import Path

import torch
from torch import nn

import latentkit as lk
from latentkit.plugin import Autoencoder, Generative, HasFacts, HasFeatures, protocols, studies
from latentkit.plugin.protocols import provides
from latentkit.training import optimisation


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


def test_a_method_that_is_none_is_none():
    model = lk.model("conv-ae", (1, 8, 8))
    model.features = None
    assert not provides(model, HasFeatures)


def test_an_attribute_counts_once_it_is_there():
    class Estimator:
        pass

    estimator = Estimator()
    assert not provides(estimator, HasFacts)
    estimator.facts_ = {}
    assert provides(estimator, HasFacts)


def test_nothing_asks_isinstance_of_a_protocol_where_layers_would_be_missed():
    source = Path(lk.__file__).parent
    names = [
        name
        for module in (protocols, studies, optimisation)
        for name, thing in vars(module).items()
        if getattr(thing, "_is_protocol", False)
    ]
    assert {"Autoencoder", "HasImportances", "Staged"} <= set(names)
    asked = re.compile(rf"isinstance\([^()]*,\s*({'|'.join(names)})\)")
    assert [p.name for p in source.rglob("*.py") if asked.search(p.read_text("utf-8"))] == []
