"""The same items reconstructed by several models, named by the options that differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.explore.scale import Decode, Floats
from latentkit.runs.context import StageContext
from latentkit.runs.manifest import as_trained

Encode = Decode
"""Images (N, C, H, W) in [0, 1] to latents (N, D)."""


@dataclass(frozen=True)
class Settings:
    """Items, and their reconstructions by each of several models.

    Args:
        names: (M,), names of the models.
        originals: (N, C, H, W), in [0, 1].
        latents: one array (N, D) for each model; D may differ.
        images: (M, N, C, H, W), reconstructions in [0, 1].
        errors: (M, N), mean squared error per pixel.
    """

    names: tuple[str, ...]
    originals: Floats
    latents: tuple[Floats, ...]
    images: Floats
    errors: NDArray[np.float64]


def compare_settings(models: Mapping[str, tuple[Encode, Decode]], originals: Floats) -> Settings:
    """Reconstruct images (N, C, H, W) with each of several models.

    Args:
        models: encoder and decoder by name, in the order in which they are shown. The models can
            differ in epochs of one training, in the size of the latents, or in anything else.
        originals: the images, in [0, 1].

    Raises:
        UserError: there is no model.
    """
    if not models:
        raise UserError("there is no model to reconstruct with")
    latents = tuple(encode(originals) for encode, _ in models.values())
    decoders = (decode for _, decode in models.values())
    images = np.stack([decode(codes) for decode, codes in zip(decoders, latents, strict=True)])
    squares = (images.astype(np.float64) - originals) ** 2
    errors = squares.mean(axis=(2, 3, 4))
    return Settings(tuple(models), originals, latents, images, errors)


_SHOWN = 3


class Configured(Protocol):
    """A run whose options name it."""

    @property
    def id(self) -> str:
        """The run's name."""

    @property
    def context(self) -> StageContext:
        """The run's context."""

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""


def settings_names(runs: Sequence[Configured]) -> list[str]:
    """Return a unique name for each run, made from the options that differ.

    Raises:
        UserError: their images have different shapes, or a run is named twice.
    """
    first = runs[0]
    for run in runs[1:]:
        if run.image_shape != first.image_shape:
            raise UserError(
                f"run {run.id} is on images {run.image_shape}, run {first.id} on "
                f"{first.image_shape}: choose runs on images of the same shape"
            )
    ids = [run.id for run in runs]
    for name in ids:
        if ids.count(name) > 1:
            raise UserError(f"run {name} is named twice: name each run once")
    found = [(run.context.config.identity(), run.context.folder.manifest) for run in runs]
    names = _differences([as_trained(config, manifest) for config, manifest in found])
    return [
        f"{name} ({run.id[-4:]})" if names.count(name) > 1 else name
        for name, run in zip(names, runs, strict=True)
    ]


def _differences(configs: Sequence[Mapping[str, Any]]) -> list[str]:
    flat = [_flat(config) for config in configs]
    keys = list(dict.fromkeys(key for options in flat for key in options))
    differing = [key for key in keys if len({str(options.get(key)) for options in flat}) > 1]
    named = [key for key in differing if key.endswith(".name")]
    shown = [*named, *(key for key in differing if key not in named)][:_SHOWN]
    if not shown:
        return [str(options["model.name"]) for options in flat]
    return [
        ", ".join(
            f"{_short(key)} {options[key]}" if not key.endswith(".name") else str(options[key])
            for key in shown
            if key in options
        )
        for options in flat
    ]


def _short(key: str) -> str:
    return key.rpartition(".")[2].replace("_", " ")


def _flat(table: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested options as a flat dictionary with keys such as ``part.key``."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, Mapping):
            found |= _flat(value, f"{prefix}{key}.")
        elif isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value):
            found[f"{prefix}{key}"] = " + ".join(str(part.get("name")) for part in value)
        else:
            found[f"{prefix}{key}"] = value
    return found
