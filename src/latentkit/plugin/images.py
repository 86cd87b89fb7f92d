"""Images in memory, with their labels and other metadata."""

from __future__ import annotations

import hashlib
import math
import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

MOST_CHANNELS = 64

Pixels = NDArray[np.uint8] | NDArray[np.uint16]
"""Images as they are stored; white is the largest number of the type."""


@dataclass(frozen=True, eq=False)
class ImageData:
    """The images of one split of a data set.

    Args:
        images: uint8 or uint16, shape (N, C, H, W), N at least 1, C from 1 to 64. White is 255 or
            65,535. `to_uint8` makes them from other arrays. A memory-mapped array stays on disk.
        labels: integers of any type, shape (N,), each from 0 to ``len(class_names) - 1``; None if
            unknown. They become int64. `class_codes` makes them from other labels.
        class_names: the name of each label; may be omitted if there are no labels.
        factors: numbers, shape (N, F): the ground-truth factors of each image, finite; None if
            unknown. They become float64.
        factor_names: the name of each column of ``factors``.
        licence: licence of the images, as an SPDX name or a sentence.
        checksum: SHA-256 of the source files, if there are any.
        validation: rows of the training images that the data set has set aside for validation,
            integers (V,), each once; None if there are none, so that runs draw their own.
        images_sha256: a SHA-256 that changes if any pixel does, if one is known. The pixels are
            then not read to tell whether images have changed.
        notes: a sentence for everything that the user should know about how the images were
            read, such as files that were left out, and how numbers became shades.
        display_channels: the channels that pictures show, one or three of them, each from 0;
            empty for the first three, or for the first if there are fewer than three.
        value_range: the numbers of the source that became black and white, so that new files are
            read alike; None if the types of the numbers say so.

    Arrays may be NumPy's or torch's, read-only, mirrored or in any order of bytes; they are only
    copied if torch could not use them as they are.

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
        ValueError: images must be uint8 or uint16 (N, C, H, W), not float64 (4, 1, 8, 8)
    """

    images: Pixels
    labels: NDArray[np.int64] | None = None
    class_names: tuple[str, ...] = ()
    factors: NDArray[np.float64] | None = None
    factor_names: tuple[str, ...] = ()
    licence: str = ""
    checksum: str = ""
    validation: NDArray[np.int64] | None = None
    images_sha256: str = ""
    notes: tuple[str, ...] = ()
    display_channels: tuple[int, ...] = ()
    value_range: tuple[float, float] | None = None
    _digest: list[str] = field(default_factory=list, repr=False, init=False)

    def __post_init__(self) -> None:
        texts = ("class_names", "factor_names", "notes")
        kept = {name: _names(name, getattr(self, name)) for name in texts}
        images = _checked_images(self.images)
        labels, factors = self.labels, self.factors
        if labels is not None:
            labels = _checked_labels(labels, len(images), len(kept["class_names"]))
        if factors is not None:
            factors = _checked_factors(factors, (len(images), len(kept["factor_names"])))
        checked: dict[str, Any] = {**kept, "images": images, "labels": labels, "factors": factors}
        checked["validation"] = _checked_rows(self.validation, len(images))
        checked["display_channels"] = _checked_channels(self.display_channels, images.shape[1])
        checked["value_range"] = _checked_range(self.value_range)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of every image."""
        _, channels, height, width = self.images.shape
        return channels, height, width

    def subset(self, index: NDArray[np.integer[Any]]) -> ImageData:
        """Return the images at ``index`` (int, shape (M,)), in that order.

        Rows that follow each other are not copied.
        """
        rows = _as_slice(index)
        validation = self.validation
        if validation is not None:
            validation = np.flatnonzero(np.isin(index, validation))
        return replace(
            self,
            images=self.images[rows],
            labels=None if self.labels is None else self.labels[rows],
            factors=None if self.factors is None else self.factors[rows],
            validation=validation if validation is not None and len(validation) else None,
            images_sha256=_sha256_of_part(self.images_sha256, index),
        )

    def digest(self) -> str:
        """Return the SHA-256 of the shapes and contents of images, labels and factors.

        ``images_sha256`` stands for the contents of the images, if it is known.
        """
        if not self._digest:
            sha = hashlib.sha256()
            known = self.images_sha256.encode()
            for array in (self.images, self.labels, self.factors):
                if array is None:
                    sha.update(b"none")
                else:
                    sha.update(f"{array.dtype.str}{array.shape}".encode())
                    if array is self.images and known:
                        sha.update(known)
                    else:
                        _update(sha, array)
            if self.validation is not None:
                sha.update(b"validation")
                _update(sha, self.validation)
            self._digest.append(sha.hexdigest())
        return self._digest[0]

    def __repr__(self) -> str:
        shape = "x".join(map(str, self.image_shape))
        classes = f", {len(self.class_names)} classes" if self.labels is not None else ""
        return f"ImageData({len(self):,} images {shape}{classes})"


def _update(sha: Any, array: NDArray[Any]) -> None:
    """Hash an array in the order of its values, a few images at a time."""
    if array.flags.c_contiguous:
        sha.update(array.data)
        return
    for start in range(0, len(array), _HASHED):
        sha.update(np.ascontiguousarray(array[start : start + _HASHED]).data)


_HASHED = 4096  # most images that are copied at once


def _as_slice(index: NDArray[np.integer[Any]]) -> slice | NDArray[np.integer[Any]]:
    """Return ascending rows without gaps as a slice, which copies nothing."""
    index = np.asarray(index)
    follows = index.ndim == 1 and len(index) and index.dtype.kind in "iu" and index[0] >= 0
    if follows and (np.diff(index) == 1).all():
        return slice(int(index[0]), int(index[-1]) + 1)
    return index


def _sha256_of_part(whole: str, index: NDArray[np.integer[Any]]) -> str:
    if not whole:
        return ""
    rows = np.ascontiguousarray(index, dtype=np.int64)
    return hashlib.sha256(whole.encode() + rows.tobytes()).hexdigest()


def as_floats(images: NDArray[Any]) -> NDArray[np.float32]:
    """Return stored images of any shape as float32: uint8 and uint16 in [0, 1], others as they are.

    White is 255 of uint8 and 65,535 of uint16.
    """
    floats = images.astype(np.float32)
    return floats / np.float32(np.iinfo(images.dtype).max) if images.dtype.kind == "u" else floats


def to_uint8(values: ArrayLike) -> NDArray[np.uint8]:
    """Return images as uint8 (N, C, H, W).

    Args:
        values: (N, H, W), (N, C, H, W) or (N, H, W, C), as an array, nested lists or a torch
            tensor. uint8 stays as it is; float in [0, 1] is multiplied by 255 and rounded; of bool,
            False becomes 0 and True 255.

    Raises:
        ValueError: the values have a different shape, type or range. Other integers are refused,
            because only their owner knows which number is white.
    """
    images = channels_first(values)
    if images.dtype == np.uint8:
        return images
    if images.dtype == np.bool_:
        return np.asarray(images, dtype=np.uint8) * np.uint8(255)
    check_float_images(images)
    if images.dtype == np.float16:
        images = images.astype(np.float32)
    return np.asarray(np.rint(images * 255), dtype=np.uint8)


def channels_first(values: ArrayLike) -> NDArray[Any]:
    """Return images of any type as (N, C, H, W).

    Args:
        values: (N, H, W), (N, C, H, W) or (N, H, W, C).

    Raises:
        ValueError: the values have a different shape, or are no array.
    """
    images = plain_array(values)
    shape = images.shape
    if 0 in shape:
        raise ValueError(f"there are no images: the array has shape {shape}")
    if images.ndim == 3:
        images = images[:, None]
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(
            f"images have shape {shape}, expected (N, H, W) or (N, C, H, W) with 1 or 3 channels; "
            f"rows of pixels must be reshaped first"
        )
    return images


def check_float_images(images: NDArray[Any]) -> None:
    """Check that images are float in [0, 1], or bool.

    Raises:
        ValueError: the images have another type, are not finite, or are out of range.
    """
    if images.dtype == np.bool_:
        return
    if not np.issubdtype(images.dtype, np.floating):
        advice = ""
        if images.dtype.kind in "iu":
            least, most = int(images.min()), int(images.max())
            white = "255 if that is white" if least >= 0 and most < 256 else "the value of white"
            advice = f"; they reach from {least} to {most}: divide them by {white}"
        raise ValueError(f"images are {images.dtype}, expected uint8, or float in [0, 1]{advice}")
    low, high = float(images.min()), float(images.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        row = int(np.argmin(np.isfinite(images.reshape(len(images), -1)).all(1)))
        raise ValueError(f"image {row} holds NaN or infinity: repair it or leave it out")
    if low < 0 or high > 1:
        raise ValueError(f"images reach from {low:g} to {high:g}, expected [0, 1]: divide by 255?")


def plain_array(values: Any) -> NDArray[Any]:
    """Return an array, nested lists, a torch tensor or a data frame as a NumPy array.

    A memory-mapped array stays one. Only what is not NumPy's is copied.

    Raises:
        ValueError: it is no array, or values in it are masked.
    """
    if isinstance(values, np.memmap):
        return values
    if isinstance(values, np.ma.MaskedArray):
        masked = int(np.ma.getmaskarray(values).sum())
        if masked:
            raise ValueError(f"{masked:,} values are masked: replace them, e.g. with .filled(0)")
        return np.asarray(values.data)
    try:
        return np.asarray(_without_torch(values))
    # Whatever offers itself as an array may fail in its own way.
    except Exception as error:
        reason = " ".join(str(error).split())
        raise ValueError(f"a {type(values).__name__} that is not an array: {reason}") from error


def _without_torch(values: Any) -> Any:
    """Return a torch tensor on any device as an array, and other values unchanged."""
    torch = sys.modules.get("torch")  # a tensor exists only if torch was imported
    if torch is None or not isinstance(values, torch.Tensor):
        return values
    tensor = values.detach().cpu().resolve_conj().resolve_neg()
    known = (torch.float16, torch.float32, torch.float64)
    other = tensor.is_floating_point() and tensor.dtype not in known  # such as bfloat16
    return (tensor.float() if other else tensor).numpy()


_MOST_NUMBERED = 10_000


def class_codes(
    labels: ArrayLike, n: int, of: str = "images"
) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return labels of any form as codes int64 (N,), and the name of each code.

    - Text, bytes in UTF-8 and bool: the classes are the different values in ascending order.
    - Whole numbers of any type, also as float: numbers from 0 to 9,999 stay as they are, and the
      classes are 0, 1, ... up to the largest; if a number is outside, the classes are the
      different numbers in ascending order.
    - One-hot rows (N, K), each with a single 1: the class is the column of the 1.

    Args:
        labels: (N,), (N, 1) or one-hot (N, K); an array, list, torch tensor or data frame.
        n: how many there must be.
        of: what is labelled, for messages.

    Raises:
        ValueError: there are more or fewer labels, or some are missing, NaN, fractions, or of
            several types.
    """
    column = _one_column(plain_array(labels), n, of)
    values = _objects(column.tolist()) if column.dtype.kind in "OT" else column
    values = _comparable(values)
    found, codes = np.unique(values, return_inverse=True)
    if values.dtype.kind in "iu" and found[0] >= 0 and found[-1] < _MOST_NUMBERED:
        found, codes = np.arange(int(found[-1]) + 1), values
    names = (str(value).encode("utf-8", "backslashreplace").decode() for value in found)
    return codes.astype(np.int64).ravel(), tuple(names)


def _one_column(labels: NDArray[Any], n: int, of: str) -> NDArray[Any]:
    """Return labels (N,), (N, 1) or one-hot (N, K) as (N,)."""
    if n and labels.shape in ((n,), (n, 1)):
        return labels.reshape(n)
    if n and labels.ndim == 2 and len(labels) == n and labels.dtype.kind in "biuf":
        hot = labels == 1
        if (hot.sum(1) == 1).all() and ((labels == 0) | hot).all():
            return np.asarray(hot.argmax(1))
        raise ValueError(
            f"labels {labels.shape} are not one-hot, with a single 1 in each row: give one label "
            f"per {of[:-1]}"
        )
    raise ValueError(f"labels {labels.shape} for {n:,} {of}: give one label per {of[:-1]}")


def _objects(values: list[Any]) -> NDArray[Any]:
    """Return Python objects as an array of one type."""
    for kinds, dtype in (
        ((bool, np.bool_), np.bool_),
        ((int, np.integer), np.int64),
        ((int, float, np.integer, np.floating), np.float64),
        ((str,), np.str_),
        ((bytes,), np.bytes_),
    ):
        # NumPy counts time spans among its integers.
        if all(isinstance(v, kinds) and not isinstance(v, np.timedelta64) for v in values):
            try:
                return np.array(values, dtype=dtype)
            except OverflowError:
                raise ValueError("labels have more than 64 bits: give them as text") from None
    named = ", ".join(sorted({type(value).__name__ for value in values})[:4])
    raise ValueError(f"labels are {named}: make them all text, or all whole numbers")


def _comparable(labels: NDArray[Any]) -> NDArray[Any]:
    """Return labels (N,) as bool, integers or text."""
    kind = labels.dtype.kind
    if kind == "S":
        return np.char.decode(labels, "utf-8")
    if kind == "f":
        labels = labels.astype(np.float64)
        wrong = ~(np.isfinite(labels) & (labels == np.rint(labels)) & (abs(labels) < 2.0**53))
        if wrong.any():
            row = int(wrong.argmax())
            raise ValueError(
                f"label {row} is {labels[row]:g}, which is not a class: labels are whole numbers "
                f"or text, and images without a class must be left out"
            )
        return labels.astype(np.int64)
    if kind not in "biuU":
        raise ValueError(f"labels are {labels.dtype}: make them whole numbers or text")
    if kind == "U" and labels.dtype.itemsize and labels.size:
        number = np.dtype("u4").newbyteorder(labels.dtype.byteorder)
        if np.ascontiguousarray(labels).view(number).max() > sys.maxunicode:
            raise ValueError("labels hold characters that do not exist: the text is damaged")
    return labels


def _checked_images(given: Any) -> Pixels:
    images = plain_array(given)
    if images.dtype.kind != "u" or images.dtype.itemsize > 2 or images.ndim != 4:
        kind = images.dtype if hasattr(given, "dtype") else type(given).__name__
        raise ValueError(f"images must be uint8 or uint16 (N, C, H, W), not {kind} {images.shape}")
    if not len(images):
        raise ValueError("there are no images")
    if not 1 <= images.shape[1] <= MOST_CHANNELS or not images.size:
        raise ValueError(
            f"images must have 1 to {MOST_CHANNELS} channels and pixels, not {images.shape[1:]}"
        )
    if not images.dtype.isnative:
        images = images.astype(images.dtype.newbyteorder("="))
    return with_forward_strides(images)


def with_forward_strides(images: NDArray[Any]) -> NDArray[Any]:
    """Return an array that torch can share: a copy of one that is mirrored or BGR by a view."""
    return np.array(images) if min(images.strides, default=0) < 0 else images


def _checked_labels(given: Any, n: int, classes: int) -> NDArray[np.int64]:
    labels = plain_array(given)
    if labels.dtype.kind not in "iu" or labels.shape not in ((n,), (n, 1)):
        raise ValueError(
            f"labels must be int64 ({n},), not {labels.dtype} {labels.shape}: class_codes of "
            f"latentkit.plugin makes them from text, one-hot rows and others"
        )
    if not classes:
        raise ValueError("labels need class_names: give the name of each class, by its label")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= classes:
        raise ValueError(
            f"labels must be in 0..{classes - 1}, not {low}..{high}: each needs a class name"
        )
    return np.ascontiguousarray(labels.reshape(n), dtype=np.int64)


def _checked_rows(given: Any, n: int) -> NDArray[np.int64] | None:
    if given is None:
        return None
    rows = plain_array(given)
    if rows.ndim != 1 or rows.dtype.kind not in "iu" or not len(rows):
        raise ValueError(f"validation must be rows (V,), not {rows.dtype} {rows.shape}")
    found = np.unique(rows).astype(np.int64)
    if len(found) < len(rows) or found[0] < 0 or found[-1] >= n or len(found) == n:
        raise ValueError(
            f"validation must be rows of the {n:,} images, each once, and must leave some of them "
            f"for training"
        )
    return found


def _checked_channels(given: Any, channels: int) -> tuple[int, ...]:
    chosen = tuple(int(one) for one in given)
    if len(chosen) not in (0, 1, 3) or not all(0 <= one < channels for one in chosen):
        raise ValueError(
            f"display_channels must be one or three numbers from 0 to {channels - 1}, not {chosen}"
        )
    return chosen


def _checked_range(given: Any) -> tuple[float, float] | None:
    if given is None:
        return None
    low, high = map(float, given)
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise ValueError(f"value_range must be two numbers, the smaller first, not {given}")
    return low, high


def _checked_factors(given: Any, shape: tuple[int, int]) -> NDArray[np.float64]:
    factors = plain_array(given)
    if factors.shape != shape or factors.dtype.kind not in "biuf":
        raise ValueError(f"factors are {factors.dtype} {factors.shape}, expected numbers {shape}")
    found = np.ascontiguousarray(factors, dtype=np.float64)
    if not np.isfinite(found).all():
        raise ValueError("factors hold NaN or infinity: repair them or leave the images out")
    return found


def _names(what: str, given: Any) -> tuple[str, ...]:
    if isinstance(given, str | bytes):
        raise ValueError(f"{what} must be a list of names, not the text {given!r}")
    names = tuple(str(name) for name in given)
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:  # of a folder with undecodable bytes in its name
            raise ValueError(f"{what}: {name!r} is not UTF-8 text: rename it") from None
    return names
