"""The layers of an encoder, as gradual unfreezing goes through them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A weight matrix or kernels, and the normalisation after them.

    Args:
        modules: in the order in which the network registered them.
        parameters: those of them that learn.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]


def encoder_layers(network: nn.Module) -> list[Layer]:
    """Return the layers of a network that learn (``requires_grad``), in their order.

    A layer begins with each module that has a weight of two or more dimensions; what follows it
    and has parameters or buffers of its own, such as a normalisation, belongs to it.
    """
    layers: list[Layer] = []
    for module in network.modules():
        own = list(module.parameters(recurse=False))
        if not own and not list(module.buffers(recurse=False)):
            continue
        if not layers or any(p.ndim > 1 for p in own):
            layers.append(Layer([], []))
        layers[-1].modules.append(module)
        layers[-1].parameters.extend(p for p in own if p.requires_grad)
    return [layer for layer in layers if layer.parameters]
