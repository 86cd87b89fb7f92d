"""Convolutional encoder and decoder for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

from torch import Tensor, nn

from latentkit.nn.layers import Activation, Doubling, Norm, Upsampling, activation, norm_1d, norm_2d
from latentkit.nn.shapes import KERNEL, STRIDE, OddSizes, halving_padding, size_pyramid


class ConvEncoder(nn.Module):
    """Images (B, C, H, W) -> features (B, features).

    A 3x3 convolution of stride 2 for each entry of ``channels``, then a hidden dense layer.

    Args:
        image_shape: C, H, W.
        channels: feature maps after each halving.
        hidden: width of the dense layer; 0 for none.
        features: width of the result.
        act: activation after every layer but the last.
        norm: normalisation before every activation.
        odd_sizes: how an odd height or width is halved, see `latentkit.nn.shapes.halved`.

    Raises:
        ValueError: the image is too small for so many halvings.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        hidden: int,
        features: int,
        act: Activation = "silu",
        norm: Norm = "batch",
        odd_sizes: OddSizes = "up",
    ) -> None:
        super().__init__()
        sizes = size_pyramid(*image_shape[1:], len(channels), odd_sizes)
        layers: list[nn.Module] = []
        for (before, after), size in zip(
            pairwise([image_shape[0], *channels]), sizes, strict=False
        ):
            height, width = size
            padding = (halving_padding(height, odd_sizes), halving_padding(width, odd_sizes))
            layers += [
                nn.Conv2d(before, after, KERNEL, STRIDE, padding=padding, bias=norm == "none"),
                norm_2d(norm, after),
                activation(act),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.dense = nn.Sequential(
            nn.Flatten(),
            *_dense(channels[-1] * prod(sizes[-1]), hidden, act, norm),
            nn.Linear(hidden or channels[-1] * prod(sizes[-1]), features),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, features)."""
        return self.dense(self.convolutions(images))  # type: ignore[no-any-return]


class ConvDecoder(nn.Module):
    """Latents (B, latent_dim) -> logits (B, C, H, W): the mirror of `ConvEncoder`.

    Args:
        image_shape: C, H, W.
        channels: as in the encoder, in the encoder's order.
        hidden: as in the encoder.
        latent_dim: width of the input.
        act: as in the encoder.
        norm: as in the encoder.
        odd_sizes: as in the encoder.
        upsampling: how feature maps are doubled, see `latentkit.nn.layers.Doubling`.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        hidden: int,
        latent_dim: int,
        act: Activation = "silu",
        norm: Norm = "batch",
        odd_sizes: OddSizes = "up",
        upsampling: Upsampling = "pixel-shuffle",
    ) -> None:
        super().__init__()
        sizes = size_pyramid(*image_shape[1:], len(channels), odd_sizes)[::-1]
        start = (channels[-1], *sizes[0])
        self.dense = nn.Sequential(
            *_dense(latent_dim, hidden, act, norm),
            nn.Linear(hidden or latent_dim, prod(start)),
            nn.Unflatten(1, start),
            norm_2d(norm, channels[-1]),
            activation(act),
        )
        layers: list[nn.Module] = []
        widths = [*channels[::-1], image_shape[0]]
        for level, (before, after) in enumerate(pairwise(widths)):
            last = level == len(channels) - 1
            layers.append(
                Doubling(
                    before,
                    after,
                    sizes[level],
                    sizes[level + 1],
                    upsampling,
                    bias=last or norm == "none",
                )
            )
            if not last:
                layers += [norm_2d(norm, after), activation(act)]
        self.convolutions = nn.Sequential(*layers)

    def forward(self, latents: Tensor) -> Tensor:
        """Return the logits (B, C, H, W); a sigmoid makes them an image."""
        return self.convolutions(self.dense(latents))  # type: ignore[no-any-return]


def _dense(width: int, hidden: int, act: Activation, norm: Norm) -> list[nn.Module]:
    if not hidden:
        return []
    return [
        nn.Linear(width, hidden, bias=norm == "none"),
        norm_1d(norm, hidden),
        activation(act),
    ]
