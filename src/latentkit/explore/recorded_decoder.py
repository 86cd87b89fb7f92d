"""A model's decoder as a small program that a page runs by itself."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from latentkit.errors import LatentkitError

# Imported for the operations that they register.
from latentkit.explore import (
    decoder_indexing,
    decoder_layers,
    decoder_maps,
    decoder_resizing,
)
from latentkit.explore.decoder_passes import simplified
from latentkit.explore.decoder_program import written
from latentkit.explore.decoder_recording import Mode, Recorder, UnknownOperationError

MOST_FLOAT32 = 2**20
"""Most weights that are stored as float32 (4 MB); more are stored as float16."""

MOST_ROUNDING = 0.5 / 255
"""Largest change of a pixel that is accepted from weights stored as float16."""

_LARGEST_HALF = 65504

Decode = Callable[[Tensor], Tensor]

__all__ = ["MOST_FLOAT32", "RecordedDecoder", "UnknownOperationError", "record_decoder"]
_OPERATIONS = (decoder_maps, decoder_layers, decoder_resizing, decoder_indexing)


@dataclass(frozen=True)
class RecordedDecoder:
    """A decoder as a program.

    Args:
        program: JSON document; its layout is described in `latentkit.explore.decoder_program`.
        weights: its constants, (N,), float32 or float16.
    """

    program: dict[str, Any]
    weights: NDArray[np.float32] | NDArray[np.float16]


def record_decoder(
    decode: Decode, latent_dim: int, *, most_float32: int = MOST_FLOAT32
) -> RecordedDecoder:
    """Record a decoder.

    Args:
        decode: function from latents (B, D), float32 on the CPU, to images (B, C, H, W) in [0, 1];
            the model is in evaluation mode.
        latent_dim: D.
        most_float32: with more weights, they are stored as float16, unless this changes a pixel by
            more than half a grey level of 255.

    Raises:
        UnknownOperationError: the decoder does something that a page cannot; the message says what.
    """
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn(2, 1, latent_dim, generator=generator)
    with _plain():
        recorder, _ = _recorded(decode, first)
        other, image = _recorded(decode, second)
        _check_same(recorder, other)
        program = recorder.program
        simplified(program)
        document, weights = written(program, half=False)
        if len(weights) > most_float32 and _bears_rounding(decode, second, image, weights):
            weights = weights.astype(np.float16)
    return RecordedDecoder(document, weights)


@contextmanager
def _plain() -> Iterator[None]:
    """Keep PyTorch from joining operations into ones that only it knows."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a decoder that warns did so in training
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)


def _recorded(decode: Decode, latent: Tensor) -> tuple[Recorder, Tensor]:
    """Return the recording of one decode, and the image (1, C, H, W)."""
    latent = latent.clone()
    recorder = Recorder(latent)
    try:
        with recorder:
            image = decode(latent)
    except LatentkitError:
        raise
    except Exception as error:
        reason = (str(error).strip().splitlines() or [""])[0][:300]
        raise UnknownOperationError(
            f"its decoder could not be recorded ({type(error).__name__}: {reason})"
        ) from error
    if not isinstance(image, Tensor) or image.dim() != 4 or image.shape[0] != 1:
        raise UnknownOperationError("its decoder gives no image (1, C, H, W) for one latent")
    recorder.finish(image)
    return recorder, image


def _check_same(first: Recorder, second: Recorder) -> None:
    """Check that two latents led to the same operations on the same constants."""
    documents = [written(one.program, half=False) for one in (first, second)]
    (program, weights), (other, others) = documents
    if program != other or not np.array_equal(weights, others, equal_nan=True):
        raise UnknownOperationError(
            "what its decoder does depends on the latent's values in a way that cannot be recorded"
        )


class _Rounded(Mode):  # type: ignore[no-untyped-call]
    """Dispatch mode in which tensors that no operation made are rounded to float16.

    Args:
        latent: what the decoder is given, which is not rounded.
    """

    def __init__(self, latent: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._made: dict[int, Tensor] = {id(latent): latent}

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        def rounded(one: Any) -> Any:
            if not isinstance(one, Tensor) or id(one) in self._made or one.numel() < 2:
                return one
            return one.half().to(one.dtype) if one.is_floating_point() else one

        if not any(one.alias_info for one in func._schema.arguments):
            args, kwargs = pytree.tree_map(rounded, (args, kwargs or {}))
            found = func(*args, **kwargs)
        else:  # views of weights stay weights
            given = [one for one in pytree.tree_leaves(args) if isinstance(one, Tensor)]
            found = func(*args, **(kwargs or {}))
            if not any(id(one) in self._made for one in given):
                return found
        for one in pytree.tree_leaves(found):
            if isinstance(one, Tensor):
                self._made[id(one)] = one
        return found


def _bears_rounding(
    decode: Decode, latent: Tensor, image: Tensor, weights: NDArray[np.float32]
) -> bool:
    """Return whether weights rounded to float16 give nearly the same image."""
    finite = weights[np.isfinite(weights)]
    if np.abs(finite).max(initial=0) >= _LARGEST_HALF:
        return False
    latent = latent.clone()
    with _Rounded(latent):
        found = decode(latent)
    return bool((found - image).abs().max() <= MOST_ROUNDING)
