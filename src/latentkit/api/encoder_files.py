"""An encoder's inputs, converted to a model's images and back, and its file format.

Reading executes no code from the file: the installed model of the stored name builds the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from safetensors.torch import save_file
from torch import Tensor, uint8

from latentkit import reading
from latentkit._version import __version__
from latentkit.atomic import write_atomically
from latentkit.config import PartConfig, canonical_sha256, choose_part
from latentkit.errors import IntegrityError, LatentkitError, UserError, describe_os_error
from latentkit.plugin.array_files import read_safetensors
from latentkit.plugin.downloads import saved_weights_follow
from latentkit.plugin.images import channels_first, check_float_images, plain_array
from latentkit.plugin.protocols import ImageShape
from latentkit.registry.catalogue import Registry
from latentkit.runs.context import build_model

_LEAST_SIDE = 8
_FLOATS = ("float32", "float64")


class InputError(UserError, ValueError):
    """An invalid input array; also a `ValueError`, as users of scikit-learn expect."""


@dataclass(frozen=True)
class ScaledVectors:
    """Vectors (N, D) as images of 1 x 1 x D, with each feature scaled by its fitted range.

    Args:
        low: float64 (D,), the smallest value of each feature.
        extent: float64 (D,), the largest minus the smallest value; 0 if a feature is constant.
        dtype: type of the vectors that go in and come out.
    """

    low: NDArray[np.float64]
    extent: NDArray[np.float64]
    dtype: str

    @classmethod
    def fitted(cls, vectors: NDArray[Any]) -> ScaledVectors:
        """Learn the range of each feature.

        Raises:
            InputError: the range of a feature overflows.
        """
        low, high = vectors.min(0).astype(np.float64), vectors.max(0).astype(np.float64)
        with np.errstate(over="ignore"):
            extent = high - low
        if not np.isfinite(extent).all():
            column = int(np.argmin(np.isfinite(extent)))
            raise InputError(
                f"feature {column} ranges from {low[column]:g} to {high[column]:g}, which is too "
                f"wide to scale: divide it by a constant, or clip it"
            )
        return cls(low, extent, vectors.dtype.name)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ScaledVectors:
        """Build the object from the output of `as_dict`; raises `ValueError` for anything else."""
        low, extent = (np.array(facts[key], dtype=np.float64) for key in ("low", "extent"))
        if low.ndim != 1 or low.shape != extent.shape or facts["dtype"] not in _FLOATS:
            raise ValueError(f"ranges {low.shape} and {extent.shape} of {facts['dtype']!r}")
        return cls(low, extent, facts["dtype"])

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON object."""
        return {"low": self.low.tolist(), "extent": self.extent.tolist(), "dtype": self.dtype}

    @property
    def image_shape(self) -> ImageShape:
        """Channels, height and width of the model's input."""
        return 1, 1, len(self.low)

    def to_images(self, vectors: NDArray[Any]) -> NDArray[np.float32]:
        """Scale vectors (N, D) to images (N, 1, 1, D).

        The fitted range becomes [0, 1]; values outside it are not clipped. A feature that was
        constant becomes its difference from that constant.
        """
        divisor = np.where(self.extent == 0, 1.0, self.extent)
        scaled = (vectors.astype(np.float64) - self.low) / divisor
        return scaled.astype(np.float32)[:, None, None]

    def from_images(self, images: NDArray[np.float32]) -> NDArray[Any]:
        """Return images (N, 1, 1, D) in [0, 1] as vectors (N, D) in the original units."""
        return (self.low + images[:, 0, 0].astype(np.float64) * self.extent).astype(self.dtype)


@dataclass(frozen=True)
class ImageLayout:
    """The layout and units of the user's images.

    Args:
        shape: shape of one image as the user gives it: (H, W), (C, H, W) or (H, W, C).
        image_shape: channels, height and width of the model's input.
        in_bytes: whether white is 255 instead of 1.
    """

    shape: tuple[int, ...]
    image_shape: ImageShape
    in_bytes: bool

    @classmethod
    def fitted(cls, images: NDArray[Any]) -> ImageLayout:
        """Learn the layout of images.

        Raises:
            InputError: a model cannot take images of this shape or type.
        """
        _, *image_shape = image_batch(images[:1]).shape
        channels, height, width = image_shape
        if min(height, width) < _LEAST_SIDE:
            raise InputError(
                f"images of {height}x{width} pixels are too small for a model, which needs "
                f"{_LEAST_SIDE} or more a side: reshape X to vectors (N, {np.prod(image_shape)})"
            )
        return cls(images.shape[1:], (channels, height, width), images.dtype == np.uint8)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> ImageLayout:
        """Build the object from the output of `as_dict`; raises `ValueError` for anything else."""
        channels, height, width = (int(side) for side in facts["image_shape"])
        shape = tuple(int(side) for side in facts["shape"])
        orders = ((height, width), (channels, height, width), (height, width, channels))
        if shape not in orders or channels not in (1, 3) or min(height, width) < _LEAST_SIDE:
            raise ValueError(f"images {shape} as {facts['image_shape']}")
        return cls(shape, (channels, height, width), bool(facts["in_bytes"]))

    def as_dict(self) -> dict[str, Any]:
        """Return all fields as a JSON object."""
        shape, image_shape = list(self.shape), list(self.image_shape)
        return {"shape": shape, "image_shape": image_shape, "in_bytes": self.in_bytes}

    def to_images(self, images: NDArray[Any]) -> NDArray[Any]:
        """Return images as (N, C, H, W), uint8, or float32 in [0, 1].

        Raises:
            InputError: their shape differs from that of the fitted images.
        """
        batch = image_batch(images)
        if batch.shape[1:] != self.image_shape:
            raise InputError(
                f"X has images of shape {batch.shape[1:]}, but LatentEncoder was fitted to "
                f"{self.image_shape}"
            )
        return batch

    def from_images(self, images: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return images (N, C, H, W) in [0, 1] in the user's layout and units."""
        last = len(self.shape) == 3 and self.shape != self.image_shape
        laid_out = images.transpose(0, 2, 3, 1) if last else images
        white = np.float32(255 if self.in_bytes else 1)
        return np.asarray(laid_out.reshape(-1, *self.shape) * white, dtype=np.float32)


Inputs = ScaledVectors | ImageLayout


def dimensions(values: ArrayLike) -> int:
    """Return the number of axes of an array or of nested sequences."""
    return int(values.ndim if hasattr(values, "ndim") else np.asarray(values).ndim)


def without_torch(values: Any) -> Any:
    """Return a torch tensor or a masked array as a NumPy array, and other values unchanged.

    Raises:
        InputError: some values are masked, or the tensor is no plain array.
    """
    foreign = isinstance(values, Tensor | np.ma.MaskedArray)
    try:
        return plain_array(values) if foreign else values
    except ValueError as error:
        raise InputError(f"X: {error}") from error


def image_batch(values: ArrayLike) -> NDArray[Any]:
    """Return images as (N, C, H, W): uint8 unchanged, bool and others as float32.

    Raises:
        InputError: their shape, type or range is not valid.
    """
    try:
        images = channels_first(values)
        if images.dtype == np.uint8:
            return images
        check_float_images(images)
    except ValueError as error:
        raise InputError(str(error)) from error
    return np.ascontiguousarray(images, dtype=np.float32)


def inputs_from(facts: Mapping[str, Any]) -> Inputs:
    """Build the inputs from the output of `ScaledVectors.as_dict` or `ImageLayout.as_dict`."""
    return ScaledVectors.from_dict(facts) if "low" in facts else ImageLayout.from_dict(facts)


def rebuilt_network(
    registry: Registry,
    model: Mapping[str, Any],
    image_shape: ImageShape,
    weights: Mapping[str, Any],
) -> Any:
    """Build a network on the CPU with trained weights, in eval mode.

    Args:
        registry: where the model is looked up.
        model: the model's name and options.
        image_shape: channels, height, width.
        weights: tensors or arrays by name; they are copied.

    Raises:
        UserError: the model is not installed, or its weights have other names or shapes.
    """
    part = choose_part(registry, "model", model)
    tensors = {
        name: value if isinstance(value, Tensor) else torch.from_numpy(np.array(value))
        for name, value in weights.items()
    }
    _check_sizes(part, image_shape, tensors)
    with torch.random.fork_rng(devices=[]):
        network = _blank(part, image_shape)
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise InputError(
            f"the weights do not fit the installed version of model {part.name!r}: {first}"
        ) from error
    return network.eval()


def _blank(part: PartConfig, image_shape: ImageShape) -> Any:
    """Build a network whose weights follow."""
    with saved_weights_follow():
        return build_model(part, image_shape)


def _check_sizes(part: PartConfig, image_shape: ImageShape, tensors: Mapping[str, Tensor]) -> None:
    """Refuse a network that is larger than its weights, before it takes any memory.

    A file of a few bytes may name a network of terabytes.

    Raises:
        InputError: the weights have other shapes.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            expected = _blank(part, image_shape).state_dict()
    except LatentkitError:  # a model that cannot be built without memory, or not at all
        return
    for name, tensor in expected.items():
        if name in tensors and tensors[name].shape != tensor.shape:
            raise InputError(
                f"the weights do not fit the installed version of model {part.name!r}: {name} has "
                f"shape {tuple(tensors[name].shape)}, expected {tuple(tensor.shape)}"
            )
    if missing := expected.keys() - tensors.keys():
        raise InputError(
            f"the weights do not fit the installed version of model {part.name!r}: "
            f"{min(missing)} is missing"
        )


FORMAT = 1
_KEY = "latentkit-encoder"


def write_encoder(path: Path, facts: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
    """Write facts (JSON without NaN) and weights to ``path``.

    Raises:
        UserError: a fact cannot be written as JSON.
        StorageError: the folder cannot be written; an existing file is unchanged.
    """
    tensors = {name: t.detach().cpu().contiguous().clone() for name, t in weights.items()}
    document: dict[str, Any] = {"format": FORMAT, "latentkit": __version__, **facts}
    try:
        document["sha256"] = _digest(document, tensors)
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"cannot save the encoder: a parameter cannot be written as JSON ({error})"
        ) from error
    write_atomically(path, lambda temporary: save_file(tensors, temporary, {_KEY: text}))


def read_encoder(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Return the facts and weights that `write_encoder` wrote.

    Raises:
        UserError: the file does not exist, or is not an encoder of this format.
        IntegrityError: the file was changed after it was saved.
    """
    try:
        tensors, metadata = read_safetensors(path)
    except OSError as error:
        reason = describe_os_error(error)
        raise UserError(f"cannot read the encoder {path}: {reason}") from error
    except ValueError as error:
        raise UserError(f"{path} is not a complete encoder file: {error}") from error
    text = metadata.get(_KEY)
    if text is None:
        raise UserError(f"{path} is not an encoder: name a file that LatentEncoder.save wrote")
    try:
        facts = reading.parse_json(text.encode(), path)
        stated, version = facts.pop("sha256"), facts["format"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise IntegrityError(f"{path} was changed since it was saved: save it again") from error
    if version != FORMAT:
        raise UserError(
            f"{path} has format {version}, but latentkit {__version__} reads format {FORMAT}: "
            f"install latentkit {facts.get('latentkit')}, which saved it"
        )
    # Different digits can denote the same number, so the text itself must match as well.
    same_text = json.dumps({**facts, "sha256": stated}) == text
    if not same_text or stated != _digest(facts, tensors):
        raise IntegrityError(
            f"{path} was changed since it was saved (its SHA-256 differs): save it again"
        )
    return facts, tensors


def _digest(document: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> str:
    sha = hashlib.sha256(canonical_sha256(document).encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        sha.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        sha.update(tensor.contiguous().view(-1).view(uint8).numpy().data)
    return sha.hexdigest()
