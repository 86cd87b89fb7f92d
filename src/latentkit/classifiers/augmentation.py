"""Augmentation of training images, on the device and on a whole batch at once.

The transforms are torchvision's (v2). Each image gets its own random numbers from the generator
that the caller passes. torchvision is imported on first use, because it loads torch's compiler.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Augmentation:
    """Random shifts and mirroring of images.

    Args:
        shift: largest shift along each axis, in pixels. Pixels of the edge fill the gap.
        flip: whether to mirror each image left to right with probability 1/2.
    """

    shift: int = 0
    flip: bool = False

    def __bool__(self) -> bool:
        return bool(self.shift or self.flip)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return augmented images, in the shape (B, C, H, W) of the given images."""
        if self.flip:
            images = _flipped(images, generator)
        return _shifted(images, self.shift, generator) if self.shift else images


def _flipped(images: Tensor, generator: Generator) -> Tensor:
    from torchvision.transforms.v2 import functional

    draws = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator)
    return torch.where(draws < 0.5, functional.horizontal_flip(images), images)


def _shifted(images: Tensor, most: int, generator: Generator) -> Tensor:
    """Pad the images, and cut a window of the original size at a random place in each."""
    from torchvision.transforms.v2 import functional

    n, _, height, width = images.shape
    padded = functional.pad(images, [most], padding_mode="edge")
    places = torch.randint(
        2 * most + 1, (2, n, 1), device=images.device, generator=generator, dtype=torch.int64
    )
    rows = places[0] + torch.arange(height, device=images.device)
    columns = places[1] + torch.arange(width, device=images.device)
    item = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices around a slice come first: (B, H, W, C), so memory is channels-last.
    moved: Tensor = padded[item, :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
