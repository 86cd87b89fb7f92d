"""Encoders and decoders, dense and convolutional, for images of any size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit.nn.layers import (
    KERNEL,
    STRIDE,
    Activation,
    Doubling,
    FlattenMaps,
    Norm,
    OddSizes,
    ResidualBlock,
    UnflattenMaps,
    Upsampling,
    activation,
    halving_padding,
    norm_1d,
    norm_2d,
    size_pyramid,
)


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


class ConvEncoder(nn.Module):
    """Convolutional encoder: images (B, C, H, W) -> features (B, features).

    First, squares of ``patch`` x ``patch`` pixels are folded into channels. This trades resolution
    for the speed of wide layers on small maps. Then each entry of ``channels`` adds a 3x3
    convolution of stride 2, and ``blocks`` residual blocks. Dense layers follow.

    Args:
        image_shape: C, H, W.
        channels: number of feature maps after each halving.
        hidden: widths of the dense layers; may be empty.
        features: width of the result.
        act: activation after every layer but the last.
        norm: normalisation before every activation.
        odd_sizes: how an odd height or width is halved, see `latentkit.nn.layers.halved`.
        patch: side of the squares. If the image's size is not a multiple of it, the edge pixels
            are repeated. With 1, nothing is folded.
        shortcut: add a linear map of the pixels to the features; its weights start at zero.
        blocks: number of residual blocks after each halving.
        squeeze: feature maps that a 1x1 convolution leaves before the dense layers, which then have
            few weights; 0 leaves all.

    Raises:
        ValueError: the image is too small for so many halvings.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        hidden: Sequence[int],
        features: int,
        act: Activation = "relu",
        norm: Norm = "batch",
        odd_sizes: OddSizes = "up",
        patch: int = 1,
        shortcut: bool = False,
        blocks: int = 0,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        depth, *grid = folded_shape(image_shape, patch)
        sizes = size_pyramid(grid[0], grid[1], len(channels), odd_sizes)
        self.patch = patch
        self.shortcut = pixels_to_features(image_shape, features) if shortcut else None
        layers: list[nn.Module] = []
        for (before, after), size in zip(pairwise([depth, *channels]), sizes, strict=False):
            height, width = size
            padding = (halving_padding(height, odd_sizes), halving_padding(width, odd_sizes))
            layers += [
                nn.Conv2d(before, after, KERNEL, STRIDE, padding=padding, bias=norm == "none"),
                norm_2d(norm, after),
                activation(act),
                *(ResidualBlock(after, act, norm) for _ in range(blocks)),
            ]
        if squeeze:
            layers.append(nn.Conv2d(channels[-1], squeeze, 1))
        self.convolutions = nn.Sequential(*layers)
        widths = [(squeeze or channels[-1]) * prod(sizes[-1]), *hidden]
        self.bottleneck = nn.Sequential(
            FlattenMaps(),
            *dense_layers(widths, act, norm),
            nn.Linear(widths[-1], features),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return the features (B, features)."""
        features: Tensor = self.bottleneck(self.convolutions(fold(images, self.patch)))
        return features if self.shortcut is None else features + self.shortcut(images)

    def start_at_zero(self) -> None:
        """Set the last layer to zero, so that the features are zero until the network trains."""
        _set_to_zero(self.bottleneck[-1])

    def hidden(self, images: Tensor) -> Tensor:
        """Return the input (B, F) of the last layer."""
        maps = self.convolutions(fold(images, self.patch))
        return all_but_last(self.bottleneck, maps)


class ConvDecoder(nn.Module):
    """Convolutional decoder: latents (B, latent_dim) -> logits (B, C, H, W).

    It mirrors `ConvEncoder`.

    Args:
        image_shape: C, H, W.
        channels: as in the encoder, in the encoder's order.
        hidden: as in the encoder, in the encoder's order.
        latent_dim: width of the input.
        act: as in the encoder.
        norm: as in the encoder.
        odd_sizes: as in the encoder.
        upsampling: how feature maps are doubled, see `latentkit.nn.layers.Doubling`.
        patch: as in the encoder.
        shortcut: add a linear map of the latents to the logits; its weights start at zero.
        blocks: number of residual blocks before each doubling.
        squeeze: feature maps that the dense layers give, and a 3x3 convolution widens; 0 gives all.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        channels: Sequence[int],
        hidden: Sequence[int],
        latent_dim: int,
        act: Activation = "relu",
        norm: Norm = "batch",
        odd_sizes: OddSizes = "up",
        upsampling: Upsampling = "pixel-shuffle",
        patch: int = 1,
        shortcut: bool = False,
        blocks: int = 0,
        squeeze: int = 0,
    ) -> None:
        super().__init__()
        depth, *grid = folded_shape(image_shape, patch)
        sizes = size_pyramid(grid[0], grid[1], len(channels), odd_sizes)[::-1]
        start = (squeeze or channels[-1], *sizes[0])
        dense = [latent_dim, *reversed(hidden)]
        self.patch = patch
        self.size = image_shape[1:]
        self.shortcut = latents_to_pixels(latent_dim, image_shape) if shortcut else None
        self.bottleneck = nn.Sequential(
            *dense_layers(dense, act, norm),
            nn.Linear(dense[-1], prod(start)),
            UnflattenMaps(start),
            *([nn.Conv2d(squeeze, channels[-1], KERNEL, padding=1)] if squeeze else []),
            norm_2d(norm, channels[-1]),
            activation(act),
        )
        layers: list[nn.Module] = []
        widths = [*channels[::-1], depth]
        for level, (before, after) in enumerate(pairwise(widths)):
            last = level == len(channels) - 1
            layers += [ResidualBlock(before, act, norm) for _ in range(blocks)]
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
        logits: Tensor = self.convolutions(self.bottleneck(latents))
        if self.patch > 1:  # with a factor of 1, pixel_shuffle would still copy
            height, width = self.size
            logits = functional.pixel_shuffle(logits, self.patch)[..., :height, :width]
        return logits if self.shortcut is None else logits + self.shortcut(latents)

    def start_at_zero(self) -> None:
        """Set the last layer to zero, so that the logits are zero until the network trains."""
        _set_to_zero(self.convolutions[-1])


def _set_to_zero(layer: nn.Module) -> None:
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.zero_()


def pixels_to_features(image_shape: tuple[int, int, int], features: int) -> nn.Sequential:
    """Return a linear map of images (B, C, H, W) to (B, features); its weights start at zero."""
    return nn.Sequential(FlattenMaps(), _zero_at_first(prod(image_shape), features))


def latents_to_pixels(latent_dim: int, image_shape: tuple[int, int, int]) -> nn.Sequential:
    """Return a linear map of latents (B, latent_dim) to (B, C, H, W); its weights start at zero."""
    return nn.Sequential(_zero_at_first(latent_dim, prod(image_shape)), UnflattenMaps(image_shape))


def _zero_at_first(before: int, after: int) -> nn.Linear:
    # On the meta device, no random weights are drawn.
    linear = nn.Linear(before, after, bias=False, device="meta")
    linear.weight = nn.Parameter(torch.zeros(after, before))
    return linear


def folded_shape(image_shape: tuple[int, int, int], patch: int) -> tuple[int, int, int]:
    """Return the shape C, H, W of images after `fold`."""
    channels, height, width = image_shape
    return channels * patch**2, -(-height // patch), -(-width // patch)


def fold(images: Tensor, patch: int) -> Tensor:
    """Fold squares of ``patch`` pixels a side into channels: (B, C, H, W) to `folded_shape`."""
    if patch == 1:
        return images
    missing = (-images.shape[3] % patch, -images.shape[2] % patch)
    if max(missing):
        images = functional.pad(images, (0, missing[0], 0, missing[1]), mode="replicate")
    return functional.pixel_unshuffle(images, patch)
