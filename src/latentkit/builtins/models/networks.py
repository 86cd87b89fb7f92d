"""Builders of encoders and decoders from the options of the built-in models."""

from __future__ import annotations

from torch import nn

from latentkit.builtins.models.options import ConvOptions, DenseOptions
from latentkit.errors import UserError
from latentkit.nn.conv import ConvDecoder, ConvEncoder
from latentkit.nn.dense import DenseDecoder, DenseEncoder

ImageShape = tuple[int, int, int]


def conv_pair(
    options: ConvOptions,
    image_shape: ImageShape,
    features: int,
    model: str,
    *,
    shortcut: bool = False,
) -> tuple[nn.Module, nn.Module]:
    """Return a convolutional encoder to ``features`` values, and a decoder from the latents.

    Args:
        options: options of both networks.
        image_shape: C, H, W.
        features: number of values that the encoder returns.
        model: name of the model, for error messages.
        shortcut: add a linear map beside each network.

    Raises:
        UserError: the images are too small for this many convolutions.
    """
    shared = {
        "image_shape": image_shape,
        "channels": options.channels,
        "hidden": options.hidden,
        "act": options.activation,
        "norm": options.norm,
        "odd_sizes": options.odd_sizes,
        "patch": options.patch,
        "shortcut": shortcut,
    }
    try:
        encoder = ConvEncoder(features=features, **shared)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"model {model}: {error}") from error
    decoder = ConvDecoder(
        latent_dim=options.latent_dim,
        upsampling=options.upsampling,
        **shared,  # type: ignore[arg-type]
    )
    return encoder, decoder


def dense_pair(
    options: DenseOptions, image_shape: ImageShape, features: int
) -> tuple[nn.Module, nn.Module]:
    """Return a dense encoder to ``features`` values, and a decoder from the latents."""
    act, norm = options.activation, options.norm
    return (
        DenseEncoder(image_shape, options.hidden, features, act, norm),
        DenseDecoder(image_shape, options.hidden, options.latent_dim, act, norm),
    )
