"""Images in memory, with their labels and other metadata."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, eq=False)
class ImageData:
    """The images of one split of a data set.

    Args:
        images: uint8, shape (N, C, H, W), N at least 1, C 1 or 3.
        labels: int64, shape (N,), each from 0 to ``len(class_names) - 1``; None if unknown.
        class_names: the name of each label; may be omitted if there are no labels.
        factors: float64, shape (N, F): the ground-truth factors of each image; None if unknown.
        factor_names: the name of each column of ``factors``.
        licence: licence of the images, as an SPDX name or a sentence.
        checksum: SHA-256 of the source files, if there are any.

    Raises:
        ValueError: the arrays do not have these shapes, types and ranges.

    Example:
        >>> import numpy as np
        >>> import latentkit as lk
        >>> pixels = np.zeros((4, 1, 8, 8), np.uint8)
        >>> images = lk.ImageData(pixels, np.array([0, 1, 0, 1]), class_names=("cat", "dog"))
        >>> images
        ImageData(4 images 1x8x8, 2 classes)
        >>> images.subset(np.array([1, 3])).labels
        array([1, 1])
        >>> lk.ImageData(pixels / 255)
        Traceback (most recent call last):
        ValueError: images must be uint8 (N, C, H, W), not float64 (4, 1, 8, 8)
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    factors: NDArray[np.float64] | None = None
    factor_names: tuple[str, ...] = ()
    licence: str = ""
    checksum: str = ""
    _digest: list[str] = field(default_factory=list, repr=False, init=False)

    def __post_init__(self) -> None:
        n = _check_images(self.images)
        object.__setattr__(self, "class_names", tuple(self.class_names))
        object.__setattr__(self, "factor_names", tuple(self.factor_names))
        if self.labels is not None:
            _check_labels(self.labels, n, len(self.class_names))
        if self.factors is not None and self.factors.shape != (n, len(self.factor_names)):
            raise ValueError(
                f"factors have shape {self.factors.shape}, expected ({n}, {len(self.factor_names)})"
            )

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, index: NDArray[np.integer[Any]]) -> ImageData:
        """Return the images at ``index`` (int, shape (M,)), in that order."""
        return ImageData(
            images=self.images[index],
            labels=None if self.labels is None else self.labels[index],
            class_names=self.class_names,
            factors=None if self.factors is None else self.factors[index],
            factor_names=self.factor_names,
            licence=self.licence,
            checksum=self.checksum,
        )

    def digest(self) -> str:
        """Return the SHA-256 of the shapes and contents of images, labels and factors."""
        if not self._digest:
            sha = hashlib.sha256()
            for array in (self.images, self.labels, self.factors):
                if array is None:
                    sha.update(b"none")
                else:
                    sha.update(f"{array.dtype.str}{array.shape}".encode())
                    sha.update(np.ascontiguousarray(array).data)
            self._digest.append(sha.hexdigest())
        return self._digest[0]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        classes = f", {len(self.class_names)} classes" if self.labels is not None else ""
        return f"ImageData({len(self):,} images {shape}{classes})"


def to_uint8(values: ArrayLike) -> NDArray[np.uint8]:
    """Return images as uint8 (N, C, H, W).

    Args:
        values: (N, H, W), (N, C, H, W) or (N, H, W, C); uint8 in 0..255, or float in [0, 1],
            which is rounded to 8 bits.

    Raises:
        ValueError: the values have a different shape, type or range.
    """
    images = channels_first(values)
    if images.dtype == np.uint8:
        return images
    check_float_images(images)
    return np.asarray(np.rint(images * 255), dtype=np.uint8)


def channels_first(values: ArrayLike) -> NDArray[Any]:
    """Return images of any type as (N, C, H, W).

    Args:
        values: (N, H, W), (N, C, H, W) or (N, H, W, C).

    Raises:
        ValueError: the values have a different shape.
    """
    images: NDArray[Any] = np.asarray(values) if not isinstance(values, np.memmap) else values
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or not len(images) or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images have shape {np.shape(values)}, expected (N, H, W) or (N, C, H, W) with 1 or "
            f"3 channels; rows of pixels must be reshaped first"
        )
    return images


def check_float_images(images: NDArray[Any]) -> None:
    """Check that images are float in [0, 1].

    Raises:
        ValueError: the images are not float, not finite, or out of range.
    """
    if not np.issubdtype(images.dtype, np.floating):
        raise ValueError(f"images are {images.dtype}, expected uint8, or float in [0, 1]")
    low, high = float(images.min()), float(images.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        row = int(np.argmin(np.isfinite(images.reshape(len(images), -1)).all(1)))
        raise ValueError(f"image {row} holds NaN or infinity: repair it or leave it out")
    if low < 0 or high > 1:
        raise ValueError(f"images reach from {low:g} to {high:g}, expected [0, 1]: divide by 255?")


def _check_images(images: Any) -> int:
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4:
        kind = f"{getattr(images, 'dtype', type(images).__name__)}"
        raise ValueError(f"images must be uint8 (N, C, H, W), not {kind} {np.shape(images)}")
    if not len(images):
        raise ValueError("there are no images")
    if images.shape[1] not in (1, 3):
        raise ValueError(f"images must have 1 or 3 channels, not {images.shape[1]}")
    return len(images)


def _check_labels(labels: Any, n: int, classes: int) -> None:
    if not isinstance(labels, np.ndarray) or labels.dtype != np.int64 or labels.shape != (n,):
        raise ValueError(f"labels must be int64 ({n},), not {np.asarray(labels).dtype}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be in 0..{classes - 1}: each needs a class name")
