"""Declares the encoders without importing them."""

from collections.abc import Iterator

from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_REQUIRES = ("lightly>=1.6,<1.7", "timm>=1.0")

# Name, options class, summary, learning rate for batches of 256.
_MODELS = (
    ("simclr", "SimclrOptions", "Two views of an image are nearest to each other", 2e-3),
    ("vicreg", "VicregOptions", "Views agree; each dimension varies, and by itself", 2e-3),
    ("byol", "ByolOptions", "Predicts what a slower teacher gives for another view", 2e-3),
    ("barlow-twins", "BarlowTwinsOptions", "Views correlate dimension by dimension only", 2e-3),
    ("dino", "DinoOptions", "Sorts views into the same prototypes as a slower teacher", 1e-3),
    ("mae", "MaeOptions", "A transformer that predicts hidden squares of the image", 2e-3),
)


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the encoders."""
    for name, options, summary, rate in _MODELS:
        yield ModelSpec(
            name=name,
            summary=f"{summary} (self-supervised encoder, lightly)",
            target="latentkit_lightly.build:build",
            options=f"latentkit_lightly.options:{options}",
            tags=frozenset({"encoder"}),
            requires=_REQUIRES,
            learning_rate=rate,
        )
