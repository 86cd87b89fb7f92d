"""Declares the built-in models."""

from collections.abc import Iterator

from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_OPTIONS = "latentkit.builtins.models.options"


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the autoencoders."""
    yield ModelSpec(
        name="conv-ae",
        summary="Convolutional autoencoder trained on squared error",
        target="latentkit.builtins.models.conv_ae:build",
        options=f"{_OPTIONS}:ConvAutoencoderOptions",
    )
