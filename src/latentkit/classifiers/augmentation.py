"""Augmentation of training images, on the device and on a whole batch at once.

The transforms are torchvision's (v2); each image has random numbers of its own, which come from
the generator that is passed in. torchvision is imported where a transform is used: it brings
torch's compiler along.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """Moves and mirrors images.

    Args:
        shift: most pixels by which an image is moved along each axis; the edge is repeated.
        flip: whether half of the images are mirrored left to right.
    """

    shift: int = 0
    flip: bool = False

    def __bool__(self) -> bool:
        return bool(self.shift or self.flip)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return images (B, C, H, W) of the same shape."""
        if self.flip:
            images = _flipped(images, generator)
        return _shifted(images, self.shift, generator) if self.shift else images


def _flipped(images: Tensor, generator: Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    draws = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator)
    return torch.where(draws < 0.5, functional.horizontal_flip(images), images)


def _shifted(images: Tensor, most: int, generator: Generator) -> Tensor:
    """Cut a window of the images' size out of padded images, at a place of its own in each."""
    from torchvision.transforms.v2 import functional

    n, _, height, width = images.shape
    padded = functional.pad(images, [most], padding_mode="edge")
    places = torch.randint(
        2 * most + 1, (2, n, 1), device=images.device, generator=generator, dtype=torch.int64
    )
    rows = places[0] + torch.arange(height, device=images.device)
    columns = places[1] + torch.arange(width, device=images.device)
    item = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices around a slice come first: (B, H, W, C), which is channels-last memory.
    moved: Tensor = padded[item, :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
