"""The same picture twice: images with equal pixels, and near duplicates such as re-saved copies.

A near duplicate is found in two steps. The sign of 64 coefficients of a small grey copy's cosine
transform gives each image 64 bits (as in pHash, C. Zauner 2010), and all pairs that differ in up to
`MOST_BITS` of them are found. Of these, pairs whose brightness changes in the same way from pixel
to pixel are duplicates: the correlation of the differences between neighbouring pixels must be at
least `LEAST_ALIKE`, or `LEAST_ALIKE_SMALL` for images of fewer than `SMALL` pixels a side, in which
different things of one kind look much alike. A mirrored or turned copy is not found.

Images of less than `LEAST_CONTRAST` have nothing that could be compared, and images of fewer than
`LEAST_SIDE` pixels a side are too small for it: only equal pixels make them duplicates.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.fft import dct
from torch.nn.functional import adaptive_avg_pool2d

from latentkit.plugin.images import ImageData, Pixels

SIDE = 32
"""Most pixels on a side of the grey copies that are compared."""
MOST_BITS = 7
LEAST_ALIKE = 0.88
LEAST_ALIKE_SMALL = 0.985
SMALL = 48
LEAST_SIDE = 16
LEAST_CONTRAST = 2.0
"""Standard deviation of a grey copy, of 255."""

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_BAND = 16  # bits of a quarter of a key
_VALUES = 2**22  # at once, to limit the memory
_MOST_CANDIDATES = 5_000_000  # pairs of similar keys; 30 s, and 400 MB

Rows = NDArray[np.int64]
Greys = NDArray[np.uint8]
Done = Callable[[int], None]
"""Receives the number of images that are done."""


@dataclass(frozen=True)
class Looks:
    """What images look like, in a form that can be compared; N images.

    Args:
        sha256: of the pixels of each, bytes (N,) of length 32.
        keys: 64 bits of each, uint64 (N,).
        greys: a small grey copy of each, uint8 (N, h, w).
        constant: whether every pixel of an image is the same, bool (N,). Such images are equal
            without being the same picture.
        flat: whether an image has too little contrast to be compared, bool (N,).
        least_alike: the least correlation of a near duplicate, (N,); above 1 for none.
    """

    sha256: NDArray[np.bytes_]
    keys: NDArray[np.uint64]
    greys: Greys
    constant: NDArray[np.bool_]
    flat: NDArray[np.bool_]
    least_alike: NDArray[np.float32]

    @classmethod
    def of_greys(
        cls, greys: Greys, sha256: NDArray[np.bytes_], constant: NDArray[np.bool_], sides: Rows
    ) -> Looks:
        """Return the looks of images by their grey copies.

        Args:
            greys: uint8 (N, h, w).
            sha256: of their pixels, bytes (N,).
            constant: whether every pixel is the same, bool (N,).
            sides: the shorter side of each image in pixels, (N,).
        """
        alike = np.where(sides < SMALL, LEAST_ALIKE_SMALL, LEAST_ALIKE)
        alike = np.where(sides < LEAST_SIDE, 2.0, alike).astype(np.float32)
        size = max(1, _VALUES // max(1, greys[:1].size))
        parts = [greys[start : start + size] for start in range(0, len(greys), size)]
        keys = [_keys(part) for part in parts]
        flat = [part.std((1, 2)) < LEAST_CONTRAST for part in parts]
        none = np.empty(0)
        return cls(
            sha256,
            np.concatenate([none.astype(np.uint64), *keys]),
            greys,
            constant,
            np.concatenate([none.astype(np.bool_), *flat]),
            alike,
        )

    @classmethod
    def of_images(cls, images: Pixels, done: Done | None = None) -> Looks:
        """Return the looks of images (N, C, H, W), which are read once, a block at a time."""
        n, _, height, width = images.shape
        greys = np.empty((n, min(height, SIDE), min(width, SIDE)), np.uint8)
        constant = np.empty(n, np.bool_)
        hashes = []
        size = max(1, _VALUES // max(1, images[:1].size))
        for start in range(0, n, size):
            block: Pixels = np.ascontiguousarray(images[start : start + size])  # type: ignore[assignment]
            rows = slice(start, start + len(block))
            greys[rows] = grey_copies(block)
            constant[rows] = (block == block[:, :, :1, :1]).all((1, 2, 3))
            hashes += [hashlib.sha256(image.data).digest() for image in block]
            if done is not None:
                done(start + len(block))
        sides = np.full(n, min(height, width))
        return cls.of_greys(greys, np.array(hashes, "S32"), constant, sides)

    def __len__(self) -> int:
        return len(self.keys)

    def joined(self, others: Looks) -> Looks:
        """Return the looks of these images and of others whose grey copies have the same size."""
        pairs = (
            (getattr(self, one.name), getattr(others, one.name)) for one in dataclasses.fields(self)
        )
        return Looks(*(np.concatenate(pair) for pair in pairs))


def grey_copies(images: Pixels) -> Greys:
    """Return images (N, C, H, W) as grey ones of up to `SIDE` pixels a side, uint8 (N, h, w)."""
    _, channels, height, width = images.shape
    values = images.astype(np.float32)
    weights = _LUMA if channels == 3 else np.full(channels, 1 / channels, np.float32)
    grey = values[:, 0] if channels == 1 else np.einsum("nchw,c->nhw", values, weights)
    size = min(height, SIDE), min(width, SIDE)
    if size != (height, width):
        grey = adaptive_avg_pool2d(torch.from_numpy(grey)[:, None], size)[:, 0].numpy()
    scale = 255 / np.iinfo(images.dtype).max
    copies: Greys = np.rint(grey * np.float32(scale)).astype(np.uint8)
    return copies


def _keys(greys: Greys) -> NDArray[np.uint64]:
    """Return which of 64 low frequencies of each image are above their median, as bits (N,)."""
    _, height, width = greys.shape
    rows, columns = (
        dct(np.eye(max(side, 8), dtype=np.float32)[:side], axis=0, norm="ortho").astype(np.float32)
        if side >= 8
        else np.eye(side, dtype=np.float32)
        for side in (height, width)
    )
    found = np.zeros((len(greys), 8, 8), np.float32)
    low = rows[:8] @ greys.astype(np.float32) @ columns[:8].T
    found[:, : low.shape[1], : low.shape[2]] = low
    flat = found.reshape(-1, 64)
    bits = flat > np.median(flat[:, 1:], 1, keepdims=True)  # the first is the mean brightness
    keys: NDArray[np.uint64] = np.packbits(bits, axis=1).view(np.uint64)[:, 0]
    return keys


def equal_groups(codes: NDArray[Any], leave_out: NDArray[np.bool_]) -> list[Rows]:
    """Return the rows of each group of two or more equal codes (N,), without those left out."""
    rows = np.flatnonzero(~leave_out)
    order = rows[np.argsort(codes[rows], kind="stable")]
    ends = np.flatnonzero(codes[order][1:] != codes[order][:-1]) + 1
    return [one for one in np.split(order, ends) if len(one) > 1]


@dataclass(frozen=True)
class Pairs:
    """Pairs of images that are near duplicates, the most alike first; M pairs.

    Args:
        first: rows (M,).
        second: rows (M,), of the other set if there are two.
        alike: the correlation of each pair, (M,).
        complete: False if so many pairs had similar keys that not all were compared.
    """

    first: Rows
    second: Rows
    alike: NDArray[np.float32]
    complete: bool = True


def near_pairs(looks: Looks, others: Looks | None = None) -> Pairs:
    """Return the pairs of near duplicates within a set, or between two sets of equal shape.

    Of images with equal pixels, only the first takes part.
    """
    first = _compared(looks)
    second = first if others is None else _compared(others)
    within = others is None
    others = looks if others is None else others
    found: list[tuple[Rows, Rows]] = []
    total = 0
    for i, j in _similar_keys(looks.keys[first], others.keys[second], within):
        found.append((first[i], second[j]))
        total += len(i)
        if total > _MOST_CANDIDATES:
            break
    empty = np.empty(0, np.int64)
    left = np.concatenate([empty, *(one for one, _ in found)])
    right = np.concatenate([empty, *(one for _, one in found)])
    codes = np.unique(left * len(others) + right)
    left, right = np.divmod(codes, max(1, len(others)))
    alike = _alike(looks.greys, left, others.greys, right)
    kept = alike >= np.maximum(looks.least_alike[left], others.least_alike[right])
    order = np.argsort(-alike[kept], kind="stable")
    return Pairs(
        left[kept][order], right[kept][order], alike[kept][order], total <= _MOST_CANDIDATES
    )


def _compared(looks: Looks) -> Rows:
    """Return the rows that take part in the search for near duplicates."""
    _, first = np.unique(looks.sha256, return_index=True)
    kept: Rows = np.sort(first[~looks.flat[first] & (looks.least_alike[first] <= 1)])
    return kept


def _similar_keys(
    keys: NDArray[np.uint64], others: NDArray[np.uint64], within: bool
) -> Iterator[tuple[Rows, Rows]]:
    """Yield positions of pairs that differ in up to `MOST_BITS` bits, each pair once or more.

    If two keys differ in up to 7 bits, one of their quarters differs in up to one bit. So a quarter
    of a key, and each of its neighbours, is looked up among the sorted quarters of the others.
    """
    changes = [0, *(1 << bit for bit in range(_BAND))]
    for band in range(4):
        shift = np.uint64(_BAND * band)
        own, their = (
            ((one >> shift) & np.uint64(0xFFFF)).astype(np.int64) for one in (keys, others)
        )
        order = np.argsort(their, kind="stable")
        ordered = others[order]
        ends = np.cumsum(np.bincount(their, minlength=1 << _BAND))
        starts = np.concatenate([[0], ends[:-1]])
        for change in changes:
            asked = own ^ change
            counts = ends[asked] - starts[asked]
            for rows in _blocks(counts):
                few = counts[rows]
                i = np.repeat(np.arange(rows.start, rows.stop), few)
                offset = np.arange(len(i)) - np.repeat(np.cumsum(few) - few, few)
                at = np.repeat(starts[asked[rows]], few) + offset
                near = _count_bits(keys[i] ^ ordered[at]) <= MOST_BITS
                i, j = i[near], order[at[near]]
                if within:
                    i, j = i[i < j], j[i < j]
                yield i, j


def _blocks(counts: Rows) -> Iterator[slice]:
    """Yield slices of rows whose counts add up to a bounded number, or of a single row."""
    sums = np.cumsum(counts)
    start = 0
    while start < len(counts):
        before = int(sums[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(sums, before + _VALUES, "right")))
        yield slice(start, stop)
        start = stop


def _count_bits(values: NDArray[np.uint64]) -> NDArray[Any]:
    if hasattr(np, "bitwise_count"):  # from NumPy 2 on
        found: NDArray[Any] = np.bitwise_count(values)
        return found
    counts: NDArray[Any] = np.unpackbits(values.view(np.uint8).reshape(-1, 8), axis=1).sum(1)
    return counts


def _alike(greys: Greys, rows: Rows, others: Greys, other_rows: Rows) -> NDArray[np.float32]:
    """Return the correlation of the differences between neighbouring pixels of pairs, (M,)."""
    size = max(1, _VALUES // max(1, 8 * greys[:1].size))
    found = [np.empty(0, np.float32)]
    for start in range(0, len(rows), size):
        a = _differences(greys[rows[start : start + size]])
        b = _differences(others[other_rows[start : start + size]])
        found.append(np.einsum("nd,nd->n", a, b))
    return np.concatenate(found)


def _differences(greys: Greys) -> NDArray[np.float32]:
    """Return the differences between neighbouring pixels, each image divided by their norm."""
    values = greys.astype(np.float32)
    across, down = np.diff(values, axis=2), np.diff(values, axis=1)
    joined = np.concatenate([one.reshape(len(values), -1) for one in (across, down)], axis=1)
    norm = np.linalg.norm(joined, axis=1, keepdims=True)
    scaled: NDArray[np.float32] = joined / np.maximum(norm, np.float32(1e-6))
    return scaled


_MOST_KEPT = 4
_kept: dict[tuple[str, str], tuple[Rows, Rows, bool]] = {}


def rows_in_training(
    train: ImageData, test: ImageData, done: Done | None = None
) -> tuple[Rows, Rows, bool]:
    """Return the rows of test images that are also training images, and whether they are all.

    Validation images count as training images. All images are read once. The result is kept within
    the process, because it depends on the images alone.

    Returns:
        The rows of equal images, those of near duplicates, and `Pairs.complete`.
    """
    key = train.digest(), test.digest()
    if key not in _kept:
        known = Looks.of_images(train.images, done)
        asked = Looks.of_images(test.images)
        equal = np.isin(asked.sha256, known.sha256) & ~asked.constant
        pairs = near_pairs(asked, known)
        # Of equal test images, only the first was compared.
        near = np.isin(asked.sha256, asked.sha256[pairs.first]) & ~equal
        _kept[key] = np.flatnonzero(equal), np.flatnonzero(near), pairs.complete
        while len(_kept) > _MOST_KEPT:
            del _kept[next(iter(_kept))]
    return _kept[key]
