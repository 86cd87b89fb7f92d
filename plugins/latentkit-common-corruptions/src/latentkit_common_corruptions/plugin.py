"""Declares the corruptions."""

from collections.abc import Iterator

from latentkit.plugin import CorruptionSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit_common_corruptions"
_PARTS = {
    "shot-noise": ("noise:build_shot_noise", "Poisson noise of counted photons"),
    "speckle-noise": ("noise:build_speckle_noise", "Gaussian noise proportional to the pixel"),
    "defocus-blur": ("defocus:build", "Blur with a disk, like a lens out of focus"),
    "motion-blur": ("motion:build", "Blur along a line in a random direction"),
    "fog": ("fog:build", "Clouds from the diamond-square algorithm"),
    "brightness": ("light:build_brightness", "Make every colour brighter"),
    "contrast": ("light:build_contrast", "Move pixels towards the mean of their channel"),
    "pixelate": ("pixelate:build", "Fewer and larger pixels"),
    "jpeg-compression": ("jpeg:build", "Compress as JPEG and decompress; on the CPU"),
    "lines": ("lines:build", "Straight lines that cover parts of the image"),
}


@hookimpl
def latentkit_corruptions() -> Iterator[CorruptionSpec]:
    """Offer the corruptions."""
    for name, (target, summary) in _PARTS.items():
        words = "".join(word.capitalize() for word in name.split("-"))
        yield CorruptionSpec(
            name=name,
            summary=summary,
            target=f"{_HERE}.{target}",
            options=f"{_HERE}.options:{words}Options",
        )
