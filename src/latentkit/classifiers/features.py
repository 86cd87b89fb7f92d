"""The features that a classifier uses, and the part of a model that computes them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from latentkit.plugin.protocols import HasFeatures, provides
from latentkit.registry.targets import fault_of


def feature_source(network: object) -> str:
    """Return the name of the method that gives a model's features: ``features`` or ``encode``."""
    return "features" if provides(network, HasFeatures) else "encode"


def features_of(network: Any, images: Tensor) -> Tensor:
    """Return the features (B, F) of images (B, C, H, W).

    Raises:
        PluginError: the model fails.
    """
    source = feature_source(network)
    with fault_of(f"the model's {source} failed on images {tuple(images.shape)}"):
        features: Tensor = getattr(network, source)(images)
        return features.flatten(1).float()


def reduce_to_encoder(network: nn.Module, images: Tensor) -> bool:
    """Remove the parts of a model that its features do not need, such as its decoder.

    Only whole children of the model are removed. Remaining parameters without influence on the
    features are frozen (``requires_grad``).

    Args:
        network: the model, which is changed in place.
        images: any images (B, C, H, W) that the model accepts.

    Returns:
        Whether the features have a gradient, so that the encoder can be trained.
    """
    network.eval()
    used = _used_parameters(network, images)
    if not used:
        network.requires_grad_(False)
        return False
    idle = {
        name: child
        for name, child in network.named_children()
        if any(True for _ in child.parameters()) and not used & set(child.parameters())
    }
    for name in idle:
        setattr(network, name, None)
    try:
        with torch.no_grad():
            getattr(network, feature_source(network))(images)
    except Exception:  # the model needs a removed child after all
        for name, child in idle.items():
            setattr(network, name, child)
    for parameter in network.parameters():
        parameter.requires_grad_(parameter.requires_grad and parameter in used)
    return True


def _used_parameters(network: nn.Module, images: Tensor) -> set[nn.Parameter]:
    """Return the parameters that the features depend on; frozen parameters count as used."""
    free = [p for p in network.parameters() if p.requires_grad]
    with torch.enable_grad():  # even if the caller disabled gradients
        features = features_of(network, images)
        if not features.requires_grad:
            return set()
        gradients = torch.autograd.grad(features.sum(), free, allow_unused=True)
    idle = {p for p, gradient in zip(free, gradients, strict=True) if gradient is None}
    return set(network.parameters()) - idle
