"""Options of the built-in models."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from latentkit.plugin import Options, SearchRange, search_all

Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
Norm = Literal["none", "batch", "group"]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65536)], ...],
    BeforeValidator(lambda value: _listed(value)),
]


def _listed(value: Any) -> Any:
    """Accept a single width as a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class NetworkOptions(Options):
    """Options that all built-in models share."""

    latent_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        16, ge=1, le=4096, description="Number of latent dimensions."
    )
    activation: Annotated[Activation, search_all] = Field(
        "relu", description="Activation of every hidden layer."
    )
    norm: Norm = Field("batch", description="Normalisation before every activation.")


class ConvOptions(NetworkOptions):
    """Options of the convolutional networks in `latentkit.nn`."""

    activation: Annotated[Activation, search_all] = Field(
        "gelu", description="Activation of every hidden layer."
    )
    patch: Literal[1, 2, 4] = Field(
        2,
        description="Side in pixels of the squares that are folded into channels before the first"
        " convolution; 1 folds nothing.",
    )
    channels: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (48,),
        min_length=1,
        max_length=8,
        description="Feature maps after each 3x3 convolution of stride 2.",
    )
    hidden: Widths = Field(
        (352, 128), description="Widths of the dense layers between convolutions and latents."
    )
    upsampling: Literal["transpose", "transpose-4", "resize", "pixel-shuffle"] = Field(
        "pixel-shuffle",
        description="How the decoder doubles the image size; only transpose can leave a"
        " checkerboard pattern.",
    )
    odd_sizes: Literal["up", "down"] = Field(
        "up", description="How odd sizes are halved: 7 becomes 4 (up) or 3 (down)."
    )


class DenseOptions(NetworkOptions):
    """Options of the dense networks in `latentkit.nn`."""

    hidden: Widths = Field(
        (512, 256, 128), description="Widths of the hidden layers, from the image to the latents."
    )


class VaeOptions(NetworkOptions):
    """Options of the loss in `latentkit.builtins.models.vae`."""

    likelihood: Literal["bernoulli", "continuous-bernoulli", "gaussian", "gaussian-learned"] = (
        Field(
            "gaussian-learned",
            description="Distribution of a pixel given the latents; bernoulli is not a density"
            " for grey images.",
        )
    )
    sigma: float = Field(
        0.1,
        ge=1e-6,
        le=10,
        description="Standard deviation of the gaussian likelihood, or the initial value of"
        " gaussian-learned.",
    )
    beta: Annotated[float, SearchRange(0.1, 10.0, log=True)] = Field(
        1.0, ge=0, le=1e4, description="Weight of the KL term; at 1 the loss is the negative ELBO."
    )
    warm_up: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Optimiser steps over which the weight of the KL term rises to beta.",
    )
    free_bits: float = Field(
        0.0, ge=0, le=100, description="Nats of KL that cost nothing, for each latent dimension."
    )


class ConvAutoencoderOptions(ConvOptions):
    """Options of ``conv-ae``."""

    shortcut: bool = Field(
        False,
        description="Add linear maps beside the networks, from pixels to latents and from latents"
        " to pixels.",
    )


class DenseAutoencoderOptions(DenseOptions):
    """Options of ``dense-ae``."""


class ConvVaeOptions(VaeOptions, ConvOptions):
    """Options of ``conv-vae``."""


class DenseVaeOptions(VaeOptions, DenseOptions):
    """Options of ``dense-vae``."""
