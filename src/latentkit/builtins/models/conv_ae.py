"""``conv-ae``: strided convolutions down, their mirror up, squared error between.

With its options it is also the small network of many tutorials:
``channels=[8, 16, 32] hidden=64 latent_dim=3 activation="relu" norm="none"
upsampling="transpose" odd_sizes="down"`` is 28 -> 14 -> 7 -> 3 pixels, 288 -> 64 -> 3 features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from latentkit.builtins.models.options import ConvAutoencoderOptions
from latentkit.errors import UserError
from latentkit.nn.conv import ConvDecoder, ConvEncoder


class ConvAutoencoder(nn.Module):
    """A deterministic convolutional autoencoder.

    Args:
        options: the network.
        image_shape: channels, height, width.
    """

    def __init__(self, options: ConvAutoencoderOptions, image_shape: tuple[int, int, int]) -> None:
        super().__init__()
        self.latent_dim = options.latent_dim
        self.encoder = ConvEncoder(
            image_shape,
            options.channels,
            options.hidden,
            options.latent_dim,
            options.activation,
            options.norm,
            options.odd_sizes,
        )
        self.decoder = ConvDecoder(
            image_shape,
            options.channels,
            options.hidden,
            options.latent_dim,
            options.activation,
            options.norm,
            options.odd_sizes,
            options.upsampling,
        )

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim)."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        return self.decoder(latents).sigmoid()  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W)."""
        return self.decode(self.encode(images))

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the mean squared error a pixel, in float32, under ``"loss"``."""
        return {"loss": functional.mse_loss(self(inputs).float(), targets)}


def build(options: ConvAutoencoderOptions, image_shape: tuple[int, int, int]) -> ConvAutoencoder:
    """Build the model; a network too deep for the images is a `UserError`."""
    try:
        return ConvAutoencoder(options, image_shape)
    except ValueError as error:
        raise UserError(f"model conv-ae: {error}") from error
