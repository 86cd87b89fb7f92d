"""``conv-ae`` and ``dense-ae``: an encoder and a mirrored decoder, trained on the squared error.

``conv-ae`` can also reproduce the small network of many tutorials. The options
``channels=[8, 16, 32] hidden=[64] latent_dim=3 patch=1 activation="relu" norm="none"
upsampling="transpose" odd_sizes="down"`` give 28 -> 14 -> 7 -> 3 pixels, 288 -> 64 -> 3 features.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from latentkit.builtins.models.networks import ImageShape, conv_pair, dense_pair
from latentkit.builtins.models.options import ConvAutoencoderOptions, DenseAutoencoderOptions


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
