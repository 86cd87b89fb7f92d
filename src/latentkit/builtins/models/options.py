"""Options of the built-in models."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field

from latentkit.errors import UserError
from latentkit.plugin import Options, SearchChoice, SearchRange, search_all, with_sha256

ImageShape = tuple[int, int, int]
Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
Norm = Literal["none", "batch", "group"]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65536)], ...],
    BeforeValidator(lambda value: _listed(value)),
]


Maps = Annotated[
    tuple[Annotated[int, Field(ge=1, le=2048)], ...], Field(min_length=1, max_length=8)
]


Levels = Annotated[
    tuple[Annotated[int, Field(ge=2, le=256)], ...],
    Field(min_length=1, max_length=16),
    BeforeValidator(lambda value: _listed(value)),
]


def _listed(value: Any) -> Any:
    """Accept a single width as a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


def _latents(image_shape: ImageShape) -> int:
    """Return the power of two below the square root of an image's values, from 16 to 128."""
    return int(min(128, max(16, 2 ** int(math.log2(math.prod(image_shape)) / 2))))


class NetworkOptions(Options):
    """Options that all built-in models share."""

    latent_dim: Annotated[
        Annotated[int, Field(ge=1, le=4096)] | Literal["auto"], SearchRange(2, 64, log=True)
    ] = Field(
        "auto",
        description="Number of latent dimensions; auto takes 16 for small images, up to 128 for"
        " large ones.",
    )
    activation: Annotated[Activation, search_all] = Field(
        "relu", description="Activation of every hidden layer."
    )
    norm: Norm = Field("batch", description="Normalisation before every activation.")


_SMALL = 28
"""Most pixels a side of the images that one convolution and dense layers suit best."""
_COARSEST = 4  # pixels a side after the last convolution of the network for larger images
_WIDTHS = (96, 64, 32, 16, 16)  # feature maps from the last convolution to the first


class ConvOptions(NetworkOptions):
    """Options of the convolutional networks in `latentkit.nn`."""

    activation: Annotated[Activation, search_all] = Field(
        "gelu", description="Activation of every hidden layer."
    )
    patch: Literal[1, 2, 4, 8, "auto"] = Field(
        "auto",
        description="Side in pixels of the squares that are folded into channels before the first"
        " convolution; 1 folds nothing. auto takes 2, and more for large images.",
    )
    channels: Maps | Literal["auto"] = Field(
        "auto",
        description="Feature maps after each 3x3 convolution of stride 2; auto takes one for small"
        " images, and for others as many as lead to about 4x4 pixels.",
    )
    blocks: Annotated[int, Field(ge=0, le=16)] | Literal["auto"] = Field(
        "auto",
        description="Residual blocks after each of these convolutions; auto takes 0 for small"
        " images or if channels are given, else 1.",
    )
    squeeze: Annotated[int, Field(ge=0, le=2048)] | Literal["auto"] = Field(
        "auto",
        description="Feature maps that a 1x1 convolution leaves before the dense layers; 0 leaves"
        " all. auto takes 0 for small images or if channels are given, else 16 or more.",
    )
    hidden: Widths | Literal["auto"] = Field(
        "auto",
        description="Widths of the dense layers between convolutions and latents; auto takes 352"
        " and 128 for small images or if channels are given, else none.",
    )
    upsampling: Literal["transpose", "transpose-4", "resize", "pixel-shuffle"] = Field(
        "pixel-shuffle",
        description="How the decoder doubles the image size; only transpose can leave a"
        " checkerboard pattern.",
    )
    odd_sizes: Literal["up", "down"] = Field(
        "up", description="How odd sizes are halved: 7 becomes 4 (up) or 3 (down)."
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced.

        Images of up to 28 pixels a side get the network that earlier versions had for all images.
        So do other images if ``channels`` are given, so that a description that was complete
        stays so.
        """
        side = max(image_shape[1:])
        former = side <= _SMALL or self.channels != "auto"
        patch = 2 if former or side <= 64 else 4 if side <= 256 or image_shape[0] > 16 else 8
        levels = max(1, round(math.log2(side / patch / _COARSEST)))
        latents = _latents(image_shape) if self.latent_dim == "auto" else self.latent_dim
        chosen = {
            "latent_dim": latents,
            "patch": patch,
            "channels": (48,) if former else _WIDTHS[:levels][::-1],
            "blocks": 0 if former else 1,
            "squeeze": 0 if former else max(16, -(-latents // 8)),  # twice the latents, in 4x4
            "hidden": (352, 128) if former else (),
        }
        return self.model_copy(
            update={name: value for name, value in chosen.items() if getattr(self, name) == "auto"}
        )


DenseLatents = Annotated[
    int,
    SearchRange(2, 64, log=True),
    Field(ge=1, le=4096, description="Number of latent dimensions."),
]


class DenseOptions(NetworkOptions):
    """Options of the dense networks in `latentkit.nn`."""

    latent_dim: DenseLatents = 16
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


class LossOptions(Options):
    """Options of the loss of models without a likelihood."""

    added: ClassVar[frozenset[str]] = frozenset(
        {"loss", "loss_weight", "loss_file", "loss_file_sha256"}
    )

    loss: Literal["mse", "l1", "ms-ssim", "gradient", "focal-frequency", "lpips"] = Field(
        "mse",
        description="What training minimises: squared error; l1, absolute error; or a term for"
        " sharp pictures beside one of these: ms-ssim beside the absolute error, gradient,"
        " focal-frequency or lpips beside the squared error.",
    )
    loss_weight: float = Field(1.0, ge=0, le=1e4, description="Weight of the term that is added.")
    loss_file: str = Field(
        "",
        description="File of the weights that loss=lpips needs: the state dict of lpips.LPIPS, with"
        " net='alex' or net='vgg', as .safetensors.",
    )
    loss_file_sha256: str = Field(
        "", description="SHA-256 of loss_file, filled in when the run starts."
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with the absolute path and the SHA-256 of the loss's weights.

        Raises:
            UserError: a file is needed and not given, or given and not needed.
            DataError: it cannot be read.
            IntegrityError: a run that exists already does not say which SHA-256 it has.
        """
        chosen = super().for_images(image_shape)
        if self.loss != "lpips":
            for name in ("loss_file", "loss_file_sha256"):
                if getattr(self, name):
                    raise UserError(
                        f"{name} is for loss=lpips only, and the loss is {self.loss}: leave it out"
                    )
            return chosen
        if not self.loss_file:
            raise UserError("loss=lpips needs loss_file, a .safetensors file of its weights")
        path, sha256 = with_sha256(self.loss_file, self.loss_file_sha256)
        return chosen.model_copy(update={"loss_file": path, "loss_file_sha256": sha256})


class ConvAutoencoderOptions(LossOptions, ConvOptions):
    """Options of ``conv-ae``."""

    shortcut: bool | Literal["pca", "auto"] = Field(
        "auto",
        description="Linear maps beside the networks, from pixels to latents and from latents to"
        " pixels: true starts them at zero, pca at the principal components of the training images,"
        " which then stay. auto is pca, or false if channels are given.",
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced."""
        chosen = super().for_images(image_shape)
        if self.shortcut != "auto":
            return chosen
        return chosen.model_copy(update={"shortcut": "pca" if self.channels == "auto" else False})


class QuantisedOptions(ConvAutoencoderOptions):
    """Options of autoencoders whose latents are vectors of codes."""

    latent_dim: Annotated[
        Annotated[int, Field(ge=1, le=4096)] | Literal["auto"], SearchChoice((4, 8, 16, 32, 64))
    ] = Field(
        "auto",
        description="Number of latent dimensions: positions times the width of a code's vector;"
        " auto takes about 16 for small images, up to 128 for large ones.",
    )

    def _with_whole_positions(self, given: Self, width: int) -> Self:
        """Return these options with latents for a whole number of vectors if they may change."""
        if given.latent_dim != "auto":
            return self
        return self.model_copy(update={"latent_dim": -(-int(self.latent_dim) // width) * width})


class VqVaeOptions(QuantisedOptions):
    """Options of ``vq-vae``."""

    codes: Annotated[int, SearchRange(64, 1024, log=True)] = Field(
        512, ge=2, le=16384, description="Number of vectors in the codebook."
    )
    code_width: Annotated[int, Field(ge=1, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Dimensions of a code's vector, which divide latent_dim: an image has"
        " latent_dim / code_width codes. auto takes 2, or 1 if latent_dim is odd.",
    )
    commitment: Annotated[float, SearchRange(0.001, 1.0, log=True)] = Field(
        0.02, ge=0, le=1e4, description="Weight of the distance between encoder and codebook."
    )
    decay: float = Field(
        0.99, ge=0, lt=1, description="Share of the codebook's moving means that a step keeps."
    )
    restart: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="A code restarts if it is rarer than this, as a share of what it would be if"
        " all were equally frequent; 0 restarts none.",
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced."""
        chosen = super().for_images(image_shape)
        if self.code_width != "auto":
            return chosen._with_whole_positions(self, self.code_width)
        return chosen.model_copy(update={"code_width": 1 if int(chosen.latent_dim) % 2 else 2})


class FsqVaeOptions(QuantisedOptions):
    """Options of ``fsq-vae``."""

    levels: Levels | Literal["auto"] = Field(
        "auto",
        description="Number of levels of each value of a code's vector. Their product is the number"
        " of codes, and their count divides latent_dim. auto takes [16,16], or [16] if latent_dim"
        " is odd. There may be up to 65536 codes.",
    )

    def for_images(self, image_shape: ImageShape) -> Self:
        """Return these options with every ``auto`` replaced."""
        chosen = super().for_images(image_shape)
        if self.levels != "auto":
            return chosen._with_whole_positions(self, len(self.levels))
        return chosen.model_copy(
            update={"levels": (16,) if int(chosen.latent_dim) % 2 else (16, 16)}
        )


class DenseAutoencoderOptions(LossOptions, DenseOptions):
    """Options of ``dense-ae``."""


class ConvVaeOptions(VaeOptions, ConvOptions):
    """Options of ``conv-vae``."""


class DenseVaeOptions(VaeOptions, DenseOptions):
    """Options of ``dense-vae``."""

    latent_dim: DenseLatents = 16
