"""Encoder and decoder whose latents are a spatial map: a code at each place of a small grid."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn
from torch.nn import functional

from latentkit.nn import (
    Doubling,
    activation,
    fold,
    folded_shape,
    norm_2d,
    size_pyramid,
)
from latentkit_pythae.base_options import PythaeOptions

Shape = tuple[int, int, int]


class MapEncoder(nn.Module):
    """Encoder of images (B, C, H, W) to maps (B, depth, h, w), halved for each of ``channels``.

    Args:
        options: options of the networks.
        image_shape: C, H, W.
        depth: number of channels of the map.

    Raises:
        ValueError: the image is too small to be halved so often.
    """

    def __init__(self, options: PythaeOptions, image_shape: Shape, depth: int) -> None:
        super().__init__()
        folded, *grid = folded_shape(image_shape, options.patch)
        self.patch = options.patch
        self.shape = (depth, *size_pyramid(grid[0], grid[1], len(options.channels), "up")[-1])
        layers: list[nn.Module] = []
        for before, after in pairwise([folded, *options.channels]):
            layers += [
                nn.Conv2d(before, after, 3, 2, padding=1, bias=options.norm == "none"),
                norm_2d(options.norm, after),
                activation(options.activation),
            ]
        self.convolutions = nn.Sequential(*layers)
        self.last = nn.Conv2d(options.channels[-1], depth, 1)

    def forward(self, images: Tensor) -> Tensor:
        """Return the maps (B, depth, h, w) of images (B, C, H, W)."""
        return self.last(self.convolutions(fold(images, self.patch)))  # type: ignore[no-any-return]

    def hidden(self, images: Tensor) -> Tensor:
        """Return the flattened inputs (B, F) of the last layer."""
        return self.convolutions(fold(images, self.patch)).flatten(1)  # type: ignore[no-any-return]


class MapDecoder(nn.Module):
    """Decoder of maps (B, depth, h, w) to logits (B, C, H, W): the mirror of `MapEncoder`.

    Args:
        options: options of the networks.
        image_shape: C, H, W.
        depth: number of channels of the map.
    """

    def __init__(self, options: PythaeOptions, image_shape: Shape, depth: int) -> None:
        super().__init__()
        folded, *grid = folded_shape(image_shape, options.patch)
        sizes = size_pyramid(grid[0], grid[1], len(options.channels), "up")[::-1]
        self.patch, self.size = options.patch, image_shape[1:]
        widths = [*options.channels[::-1], folded]
        layers: list[nn.Module] = [nn.Conv2d(depth, widths[0], 3, padding=1)]
        for (before, after), (small, large) in zip(pairwise(widths), pairwise(sizes), strict=True):
            layers += [norm_2d(options.norm, before), activation(options.activation)]
            layers.append(Doubling(before, after, small, large, "pixel-shuffle"))
        self.convolutions = nn.Sequential(*layers)

    def forward(self, maps: Tensor) -> Tensor:
        """Return the logits (B, C, H, W); their sigmoid is the image."""
        folded = self.convolutions(maps)
        height, width = self.size
        return functional.pixel_shuffle(folded, self.patch)[..., :height, :width]
