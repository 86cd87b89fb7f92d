"""Declares the built-in corruptions."""

from collections.abc import Iterator

from latentkit.plugin import CorruptionSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.corruptions"


@hookimpl
def latentkit_corruptions() -> Iterator[CorruptionSpec]:
    """Offer the corruptions."""
    yield CorruptionSpec(
        name="gaussian-noise",
        summary="Additive Gaussian noise, clipped to [0, 1]",
        target=f"{_HERE}.gaussian_noise:build",
        options=f"{_HERE}.options:GaussianNoiseOptions",
    )
