"""Images on their way to a model: validation split, batches, augmentation and corruptions.

There are no loader processes: a batch is one index operation and one conversion, both on the
device of the network.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn import functional

from latentkit.config import TrainingOptions
from latentkit.errors import PluginError
from latentkit.plugin.images import Pixels, with_forward_strides
from latentkit.plugin.protocols import Corruption
from latentkit.plugin.seeds import draw_rows, stream_seed
from latentkit.registry.options import fault_of

Index = NDArray[np.int64]
StoredImages = Pixels | NDArray[np.float32]


@dataclass(frozen=True)
class TrainValidationSplit:
    """Sorted row numbers of the training set; together the two arrays contain every row."""

    train: Index
    validation: Index


def split_train_validation(
    n: int, labels: NDArray[Any] | None, share: float, seed: int
) -> TrainValidationSplit:
    """Draw validation rows, stratified by label.

    Args:
        n: number of training images.
        labels: int, shape (n,), or None for a draw that is not stratified.
        share: share of validation rows, between 0 and 1. Each side gets at least one row.
        seed: the same seed gives the same split.

    Returns:
        The split; `latentkit.plugin.draw_rows` says how many rows each class gives.

    Raises:
        ValueError: there are fewer than two rows.
    """
    if n < 2:
        raise ValueError("a split needs at least two images")
    total = min(max(round(n * share), 1), n - 1)
    validation = draw_rows(n, labels, total, seed)
    train = np.setdiff1d(np.arange(n), validation, assume_unique=True)
    return TrainValidationSplit(train, validation)


EVALUATION_BATCH = 1000
_BATCH_VALUES = 2**24  # most values of a batch in evaluation, to limit the memory
_SHARE_OF_DEVICE = 0.5  # the share of a GPU's free memory that images may use


class DeviceImages:
    """The images of one split, stored on the device if they fit, else streamed batch by batch.

    Args:
        images: (N, C, H, W), uint8, uint16, or float32, which is not rescaled; may be
            memory-mapped.
        device: the device of the batches.
        rows: int64 (M,), the rows of ``images`` that belong to the split; None for all.
    """

    def __init__(
        self,
        images: StoredImages,
        device: torch.device,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.device = device
        kept: NDArray[Any] = with_forward_strides(images)
        white = float(np.iinfo(kept.dtype).max) if kept.dtype.kind == "u" else None
        # GPUs turn a division by a Python number into a multiplication by its inverse, which
        # changes the last digit. Dividing by a tensor gives the same result as on the CPU.
        on_cpu = white is None or device.type == "cpu"
        self._white = white if on_cpu else torch.tensor(white, device=device)
        self._rows: Tensor | None = None
        if kept.dtype == np.uint16:
            kept = kept.view(np.int16)  # torch cannot index uint16 on every device
        if isinstance(kept, np.memmap):
            self.placement = "streamed from disk"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # it may be read-only: it is only read
                self._stored = torch.from_numpy(kept)
            self._rows = None if rows is None else torch.from_numpy(rows)
            return
        # torch refuses to share memory that NumPy marks as read-only.
        owned = kept[rows] if rows is not None else np.require(kept, requirements="W")
        self._stored = torch.from_numpy(owned)
        self.placement = "in memory"
        if device.type == "cuda":
            free, _ = torch.cuda.mem_get_info(device)
            if owned.nbytes > _SHARE_OF_DEVICE * free:
                self.placement = "streamed from memory"
                return
        self._stored = self._stored.to(device)

    def __len__(self) -> int:
        return len(self._stored if self._rows is None else self._rows)

    @property
    def values_of_image(self) -> int:
        """Number of values in an image: C H W."""
        return self._stored[0].numel()

    def stored_rows(self) -> StoredImages:
        """Return all images in their stored form, (N, C H W), on the CPU; do not write to them."""
        stored = self._stored if self._rows is None else self._stored[self._rows]
        rows: StoredImages = stored.cpu().flatten(1).numpy()
        return rows.view(np.uint16) if rows.dtype == np.int16 else rows

    def batch(self, index: Tensor) -> Tensor:
        """Return the images at ``index`` (int64): (B, C, H, W), float32, channels-last.

        uint8 values are divided by 255, uint16 values by 65,535.
        """
        index = index.to(self._stored.device)
        chosen = self._stored[index if self._rows is None else self._rows[index]]
        chosen = chosen.to(self.device)
        if chosen.dtype == torch.int16:
            chosen = chosen.view(torch.uint16)
        batch = chosen.to(torch.float32, memory_format=torch.channels_last)
        return batch if self._white is None else batch.div_(self._white)

    def targets(self, index: Tensor, images: Tensor) -> Tensor:
        """Return what a model should output for ``images`` at ``index``: the images themselves."""
        return images

    def subset(self, positions: NDArray[np.int64]) -> Self:
        """Return the images at ``positions`` (int64, (M,)) of the split, without copying them."""
        chosen = torch.from_numpy(positions).to(self._stored.device)
        found = copy(self)
        found._rows = chosen if self._rows is None else self._rows[chosen]
        return found

    def in_order(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield all images in order, as many at a time as `indices` says."""
        for index in self.indices(size):
            yield self.batch(index)

    def indices(self, size: int | None = None) -> Iterator[Tensor]:
        """Yield the indices of all images in order.

        Args:
            size: how many at a time; None for `EVALUATION_BATCH`, or fewer if images are large.
        """
        if size is None:
            size = min(EVALUATION_BATCH, max(1, _BATCH_VALUES // self.values_of_image))
        for start in range(0, len(self), size):
            yield torch.arange(start, min(start + size, len(self)), device=self.device)


class LabelledImages(DeviceImages):
    """The images of one split, with the labels that a classifier should predict.

    Args:
        images: as in `DeviceImages`.
        labels: int64, one for each of ``images``.
        device: as in `DeviceImages`.
        rows: as in `DeviceImages`.
    """

    def __init__(
        self,
        images: StoredImages,
        labels: NDArray[np.int64],
        device: torch.device,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        super().__init__(images, device, rows)
        own = labels if rows is None else labels[rows]
        self._labels = torch.from_numpy(np.array(own, np.int64)).to(device)

    def subset(self, positions: NDArray[np.int64]) -> Self:
        """Return the images at ``positions`` (int64, (M,)), with their labels."""
        found = super().subset(positions)
        found._labels = self._labels[torch.from_numpy(positions).to(self._labels.device)]
        return found

    def targets(self, index: Tensor, images: Tensor) -> Tensor:
        """Return the labels (B,) at ``index``."""
        return self._labels[index]


def spread_rows(rows: Index, most: int) -> Index:
    """Return at most ``most`` of ``rows``, evenly spread over all."""
    count = min(most, len(rows))
    return rows[np.arange(count) * len(rows) // max(1, count)]


def epoch_order(n: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    """Return the order of training images in an epoch: int64 (n,).

    The order depends only on seed and epoch and is drawn on the CPU, so it is the same after a
    resume and on any device.
    """
    generator = torch.Generator().manual_seed(stream_seed(seed, "shuffle", epoch))
    return torch.randperm(n, generator=generator).to(device)


def full_batches(order: Tensor, size: int) -> list[Tensor]:
    """Cut an order into batches of ``size``.

    If the last of several batches has a single image, it is left out, because batch normalisation
    cannot train on one image.
    """
    batches = list(torch.split(order, size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches.pop()
    return batches


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


def augmentation_of(training: TrainingOptions) -> Augmentation | None:
    """Return the augmentation of training images, or None; a shift that is ``auto`` is none."""
    shift = training.shift if isinstance(training.shift, int) else 0
    return Augmentation(shift, training.flip) or None


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
    draws = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator)
    return torch.where(draws < 0.5, images.flip(-1), images)


def _shifted(images: Tensor, most: int, generator: Generator) -> Tensor:
    """Pad the images, and cut a window of the original size at a random place in each."""
    n, _, height, width = images.shape
    padded = functional.pad(images, [most] * 4, mode="replicate")
    places = torch.randint(
        2 * most + 1, (2, n, 1), device=images.device, generator=generator, dtype=torch.int64
    )
    rows = places[0] + torch.arange(height, device=images.device)
    columns = places[1] + torch.arange(width, device=images.device)
    item = torch.arange(n, device=images.device)[:, None, None]
    # Advanced indices around a slice come first: (B, H, W, C), so memory is channels-last.
    moved: Tensor = padded[item, :, rows[:, :, None], columns[:, None, :]]
    return moved.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
