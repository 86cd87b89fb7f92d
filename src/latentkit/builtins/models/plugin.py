"""The plugin that declares the built-in models."""

from collections.abc import Iterator

from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.models"


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the autoencoders."""
    yield ModelSpec(
        name="conv-ae",
        summary="Convolutional autoencoder trained on squared error",
        target=f"{_HERE}.autoencoder:build_conv",
        options=f"{_HERE}.options:ConvAutoencoderOptions",
        learning_rate=1.6e-2,
    )
    yield ModelSpec(
        name="dense-ae",
        summary="Dense autoencoder trained on squared error",
        target=f"{_HERE}.autoencoder:build_dense",
        options=f"{_HERE}.options:DenseAutoencoderOptions",
        tags=frozenset({"vectors"}),
    )
    yield ModelSpec(
        name="conv-vae",
        summary="Convolutional variational autoencoder",
        target=f"{_HERE}.vae:build_conv",
        options=f"{_HERE}.options:ConvVaeOptions",
        tags=frozenset({"generative"}),
    )
    yield ModelSpec(
        name="dense-vae",
        summary="Dense variational autoencoder",
        target=f"{_HERE}.vae:build_dense",
        options=f"{_HERE}.options:DenseVaeOptions",
        tags=frozenset({"generative", "vectors"}),
    )
    yield ModelSpec(
        name="vq-vae",
        summary="Convolutional autoencoder with a codebook of vectors",
        target=f"{_HERE}.quantised:build_vq",
        options=f"{_HERE}.options:VqVaeOptions",
        learning_rate=1.6e-2,
    )
    yield ModelSpec(
        name="fsq-vae",
        summary="Convolutional autoencoder with latents of a few levels",
        target=f"{_HERE}.quantised:build_fsq",
        options=f"{_HERE}.options:FsqVaeOptions",
        learning_rate=1.6e-2,
    )
