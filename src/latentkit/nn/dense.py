"""Dense encoder and decoder, and the dense layers that convolutional networks use too."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from latentkit.nn.layers import Activation, Norm, activation, norm_1d


def dense_layers(widths: Sequence[int], act: Activation, norm: Norm) -> list[nn.Module]:
    """Return linear layers from each width to the next, each followed by norm and activation."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [
            nn.Linear(before, after, bias=norm == "none"),
            norm_1d(norm, after),
            activation(act),
        ]
    return layers


def all_but_last(layers: nn.Sequential, inputs: Tensor) -> Tensor:
    """Apply all layers but the last, and return the input of the last."""
    for layer in list(layers)[:-1]:
        inputs = layer(inputs)
    return inputs


class DenseEncoder(nn.Sequential):
    """Dense encoder: images (B, C, H, W) -> features (B, features).

    Args:
        image_shape: C, H, W.
        hidden: widths of the hidden layers, starting at the image; may be empty.
        features: width of the result.
        act: activation of the hidden layers.
        norm: normalisation before every activation.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        hidden: Sequence[int],
        features: int,
        act: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        widths = [prod(image_shape), *hidden]
        super().__init__(
            nn.Flatten(),
            *dense_layers(widths, act, norm),
            nn.Linear(widths[-1], features),
        )

    def hidden(self, images: Tensor) -> Tensor:
        """Return the input (B, F) of the last layer."""
        return all_but_last(self, images)


class DenseDecoder(nn.Sequential):
    """Dense decoder: latents (B, latent_dim) -> logits (B, C, H, W).

    It mirrors `DenseEncoder`.

    Args:
        image_shape: C, H, W.
        hidden: as in the encoder, in the encoder's order.
        latent_dim: width of the input.
        act: as in the encoder.
        norm: as in the encoder.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        hidden: Sequence[int],
        latent_dim: int,
        act: Activation = "relu",
        norm: Norm = "batch",
    ) -> None:
        widths = [latent_dim, *reversed(hidden)]
        super().__init__(
            *dense_layers(widths, act, norm),
            nn.Linear(widths[-1], prod(image_shape)),
            nn.Unflatten(1, image_shape),
        )
