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
        target=f"{_HERE}.pixel_corruptions:gaussian_noise",
        options=f"{_HERE}.options:GaussianNoiseOptions",
    )
    yield CorruptionSpec(
        name="salt-and-pepper",
        summary="Some pixels become black or white",
        target=f"{_HERE}.pixel_corruptions:salt_and_pepper",
        options=f"{_HERE}.options:SaltAndPepperOptions",
    )
    yield CorruptionSpec(
        name="masking",
        summary="Some pixels or blocks become black",
        target=f"{_HERE}.pixel_corruptions:masking",
        options=f"{_HERE}.options:MaskingOptions",
    )
    yield CorruptionSpec(
        name="blur",
        summary="Gaussian blur",
        target=f"{_HERE}.pixel_corruptions:gaussian_blur",
        options=f"{_HERE}.options:BlurOptions",
    )
