"""Small models of the family, for tests."""

from __future__ import annotations

from functools import cache
from importlib.metadata import entry_points

import pytest

pytest.importorskip("pythae", reason="pip install ./plugins/latentkit-pythae to test it")

import torch

from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins

INSTALLED = any(e.name == "pythae" for e in entry_points(group="latentkit.plugins"))
needs_the_plugin = pytest.mark.skipif(
    not INSTALLED, reason="pip install ./plugins/latentkit-pythae to test it"
)


@cache
def registry():
    """Return the registry of all installed plugins, even those the developer has switched off."""
    return Registry(find_plugins())


def specs():
    """Return the specs of all models of the plugin."""
    parts = registry().parts("model")
    return [p.spec for p in parts if p.plugin.distribution == "latentkit-pythae"]


def small(name):
    """Return options that make a small network."""
    if name == "pythae-vqvae":
        return {"channels": [8], "num_embeddings": 32}
    few = {"pythae-iaf": {"hidden_size": 16}, "pythae-vamp": {"number_components": 5}}
    return {"channels": [6], "hidden": [16], "latent_dim": 4, **few.get(name, {})}


def made(name, shape=(1, 12, 10), seed=0, **options):
    """Build a small model from a seed."""
    part = registry().get("model", name)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return part.target()(part.options({**small(name), **options}), shape)


def pictures(n=8, shape=(1, 12, 10), seed=0):
    """Return images (n, C, H, W) in [0, 1]."""
    return torch.rand(n, *shape, generator=torch.Generator().manual_seed(seed))


NAMES = [spec.name for spec in specs()] if INSTALLED else []
GENERATIVE = [spec.name for spec in specs() if "generative" in spec.tags] if INSTALLED else []
