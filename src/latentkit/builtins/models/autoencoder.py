"""``conv-ae`` and ``dense-ae``: an encoder and a mirrored decoder, trained on the squared error.

``conv-ae`` can also reproduce the small network of many tutorials. The options
``channels=[8, 16, 32] hidden=[64] latent_dim=3 patch=1 activation="relu" norm="none"
upsampling="transpose" odd_sizes="down"`` give 28 -> 14 -> 7 -> 3 pixels, 288 -> 64 -> 3 features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from latentkit.builtins.models.options import (
    ConvAutoencoderOptions,
    ConvOptions,
    DenseAutoencoderOptions,
    DenseOptions,
)
from latentkit.errors import UserError
from latentkit.nn import ConvDecoder, ConvEncoder, DenseDecoder, DenseEncoder

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


class DeterministicAutoencoder(nn.Module):
    """An autoencoder trained on the mean squared error per pixel.

    Args:
        encoder: images (B, C, H, W) to latents (B, latent_dim).
        decoder: latents to logits (B, C, H, W).
        latent_dim: number of latent dimensions.
    """

    capturable = True

    def __init__(self, encoder: nn.Module, decoder: nn.Module, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.decoder = decoder

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim)."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the inputs of the encoder's last layer, (B, F)."""
        return self.encoder.hidden(images)  # type: ignore[operator,no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        return self.decoder(latents).sigmoid()  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W)."""
        return self.decode(self.encode(images))

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the mean squared error per pixel, in float32, as ``"loss"`` and ``"mse"``."""
        mse = functional.mse_loss(self(inputs).float(), targets)
        return {"loss": mse, "mse": mse.detach()}


def build_conv(
    options: ConvAutoencoderOptions, image_shape: ImageShape
) -> DeterministicAutoencoder:
    """Build ``conv-ae``.

    Raises:
        UserError: the network is too deep for the images.
    """
    encoder, decoder = conv_pair(
        options, image_shape, options.latent_dim, "conv-ae", shortcut=options.shortcut
    )
    return DeterministicAutoencoder(encoder, decoder, options.latent_dim)


def build_dense(
    options: DenseAutoencoderOptions, image_shape: ImageShape
) -> DeterministicAutoencoder:
    """Build ``dense-ae``."""
    encoder, decoder = dense_pair(options, image_shape, options.latent_dim)
    return DeterministicAutoencoder(encoder, decoder, options.latent_dim)
