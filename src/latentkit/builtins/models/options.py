"""Options of the built-in models."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from latentkit.plugin import Options, SearchRange, search_all

LatentDim = Annotated[int, SearchRange(2, 64, log=True)]
Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]


class ConvAutoencoderOptions(Options):
    """The network of `latentkit.builtins.models.conv_ae`."""

    latent_dim: LatentDim = Field(16, ge=1, le=4096, description="Number of latent dimensions.")
    channels: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (16, 32, 64),
        min_length=1,
        max_length=8,
        description="Feature maps after each 3x3 convolution of stride 2.",
    )
    hidden: Annotated[int, SearchRange(64, 512, log=True)] = Field(
        256, ge=0, le=65536, description="Width of the dense layer next to the latents; 0: none."
    )
    activation: Annotated[Activation, search_all] = Field(
        "silu", description="Activation of every hidden layer."
    )
    norm: Literal["none", "batch", "group"] = Field(
        "batch", description="Normalisation before every activation."
    )
    upsampling: Literal["transpose", "resize", "pixel-shuffle"] = Field(
        "pixel-shuffle",
        description="How the decoder doubles an image; only transpose can leave a checkerboard.",
    )
    odd_sizes: Literal["up", "down"] = Field(
        "up", description="How odd sizes are halved: 7 to 4 (up) or 7 to 3 (down)."
    )
