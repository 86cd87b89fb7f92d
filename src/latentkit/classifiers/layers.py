"""The layers of an encoder, in the units in which gradual unfreezing trains them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn


@dataclass(frozen=True)
class Layer:
    """A weight matrix or convolution kernels, and the normalisation after them.

    Args:
        modules: its modules, in the order in which the network registered them.
        parameters: the trainable parameters of these modules.
    """

    modules: list[nn.Module]
    parameters: list[nn.Parameter]


def encoder_layers(network: nn.Module) -> list[Layer]:
    """Return the trainable layers of a network (``requires_grad``), in order.

    Each module with a weight of two or more dimensions starts a layer. Modules after it with
    parameters or buffers, such as a normalisation, belong to the same layer.
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
