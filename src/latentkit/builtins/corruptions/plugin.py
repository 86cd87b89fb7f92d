"""The plugin that declares the built-in corruptions."""

from collections.abc import Iterator

from latentkit.plugin import CorruptionSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.corruptions"


@hookimpl
def latentkit_corruptions() -> Iterator[CorruptionSpec]:
    """Offer the corruptions."""
    yield CorruptionSpec(
        name="gaussian-noise",
        summary="Additive Gaussian noise, clipped to [0, 1] or reflected",
        target=f"{_HERE}.gaussian_noise:build",
        options=f"{_HERE}.options:GaussianNoiseOptions",
    )
    yield CorruptionSpec(
        name="salt-and-pepper",
        summary="Some pixels become black or white",
        target=f"{_HERE}.salt_and_pepper:build",
        options=f"{_HERE}.options:SaltAndPepperOptions",
    )
    yield CorruptionSpec(
        name="masking",
        summary="Some pixels or blocks become black",
        target=f"{_HERE}.masking:build",
        options=f"{_HERE}.options:MaskingOptions",
    )
    yield CorruptionSpec(
        name="blur",
        summary="Gaussian blur",
        target=f"{_HERE}.blur:build",
        options=f"{_HERE}.options:BlurOptions",
    )
