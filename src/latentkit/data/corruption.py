"""Corruptions applied in order, with a random stream of their own."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Generator, Tensor

from latentkit.errors import PluginError
from latentkit.plugin.protocols import Corruption
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.targets import fault_of

_ROUNDING = 1e-4


class CorruptionChain:
    """Several corruptions, applied in order. With an empty list, images are unchanged.

    Args:
        corruptions: pairs of a name, for messages, and a corruption.
    """

    def __init__(self, corruptions: Iterable[tuple[str, Corruption]] = ()) -> None:
        self._links: Sequence[tuple[str, Corruption]] = list(corruptions)

    def __bool__(self) -> bool:
        return bool(self._links)

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return corrupted images (B, C, H, W).

        Raises:
            PluginError: a corruption failed, or changed the images' shape.
        """
        for name, corrupt in self._links:
            with fault_of(f"corruption {name!r} failed on images {tuple(images.shape)}"):
                corrupted = corrupt(images, generator)
            if corrupted.shape != images.shape:
                raise PluginError(
                    f"corruption {name!r} turned images {tuple(images.shape)} into "
                    f"{tuple(corrupted.shape)}"
                )
            images = corrupted
        return images

    def try_out(self, images: Tensor, generator: Generator) -> None:
        """Check every corruption on a few images (B, C, H, W) before training starts.

        Raises:
            PluginError: a corruption failed, changed the shape, or gave values outside [0, 1].
        """
        for link in self._links:
            images = CorruptionChain([link])(images, generator)
            low, high = images.min().item(), images.max().item()
            if not (low >= -_ROUNDING and high <= 1 + _ROUNDING):
                raise PluginError(
                    f"corruption {link[0]!r} gives values from {low:.4g} to {high:.4g}: they must "
                    f"stay in [0, 1]"
                )


def noise_generator(device: torch.device, seed: int, *name: str | int) -> Generator:
    """Return the generator of a corruption's random stream.

    The caller includes the epoch in ``name`` during training, so that each epoch has new noise, and
    leaves it out in evaluation, so that the noise is fixed.
    """
    return torch.Generator(device).manual_seed(stream_seed(seed, "corruption", *name))
