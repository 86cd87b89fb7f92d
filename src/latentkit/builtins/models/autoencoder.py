"""``conv-ae`` and ``dense-ae``: an encoder and a mirrored decoder, trained on the squared error.

``conv-ae`` can also reproduce the small network of many tutorials. The options
``channels=[8, 16, 32] hidden=[64] latent_dim=3 patch=1 activation="relu" norm="none"
upsampling="transpose" odd_sizes="down"`` give 28 -> 14 -> 7 -> 3 pixels, 288 -> 64 -> 3 features.
"""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor, nn
from torch.nn import functional

from latentkit.builtins.models.options import (
    ConvAutoencoderOptions,
    ConvOptions,
    DenseAutoencoderOptions,
    DenseOptions,
    LossOptions,
)
from latentkit.builtins.models.perceptual import PerceptualDistance
from latentkit.errors import UserError
from latentkit.nn import (
    ConvDecoder,
    ConvEncoder,
    DenseDecoder,
    DenseEncoder,
    ImageLoss,
    LinearPath,
    at_least_float32,
    clamp_to_images,
    image_loss,
)
from latentkit.plugin import needs_own_weights

ImageShape = tuple[int, int, int]
RESIDUAL_LEARNING_RATE = 3e-3
"""Peak learning rate of networks with residual blocks."""


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
        "blocks": options.blocks,
        "squeeze": options.squeeze,
    }
    try:
        encoder = ConvEncoder(features=features, **shared)  # type: ignore[arg-type]
    except ValueError as error:
        raise UserError(f"model {model}: {error}") from error
    decoder = ConvDecoder(
        latent_dim=int(options.latent_dim),
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


def chosen_loss(options: LossOptions, image_shape: ImageShape) -> ImageLoss | PerceptualDistance:
    """Return the loss of reconstructions, after a check of its weights if it will be trained on.

    Raises:
        UserError: its weights cannot be used, or not for these images.
        DataError: they cannot be read.
    """
    if options.loss != "lpips":
        return options.loss
    distance = PerceptualDistance(options.loss_file, options.loss_file_sha256)
    if needs_own_weights():  # a trained run is used without the file
        distance.check(image_shape)
    return distance


class DeterministicAutoencoder(nn.Module):
    """An autoencoder trained on the mean squared error per pixel.

    Args:
        encoder: images (B, C, H, W) to latents (B, latent_dim).
        decoder: latents to (B, C, H, W): logits, or with a linear path what is added to its images.
        latent_dim: number of latent dimensions.
        linear: a linear path beside encoder and decoder, which starts as PCA; None for no path.
        loss: what training minimises, see `latentkit.nn.image_loss`; or LPIPS, which is added to
            the squared error.
        loss_weight: weight of the term that the loss adds.
    """

    capturable = True
    learning_rate: float | None = None
    """Peak learning rate that suits the network; None for that of the spec."""

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent_dim: int,
        linear: LinearPath | None = None,
        loss: ImageLoss | PerceptualDistance = "mse",
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.encoder = encoder
        self.decoder = decoder
        self.linear = linear
        self.image_loss = loss
        self.loss_weight = loss_weight

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim)."""
        latents: Tensor = self.encoder(images)
        return latents if self.linear is None else latents + self.linear.encoder(images)

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the inputs of the encoder's last layer, (B, F)."""
        return self.encoder.hidden(images)  # type: ignore[operator,no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        decoded: Tensor = self.decoder(latents)
        if self.linear is None:
            return decoded.sigmoid()
        return clamp_to_images(decoded + self.linear.decoder(latents))

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W)."""
        return self.decode(self.encode(images))

    def start_from_images(self, batches: Iterable[Tensor]) -> None:
        """Set the linear path, if there is one, to PCA of images, and the networks to add nothing.

        Args:
            batches: training images (B, C, H, W).
        """
        if self.linear is not None:
            self.linear.start_as_pca(batches)
            self.encoder.start_at_zero()  # type: ignore[operator]
            self.decoder.start_at_zero()  # type: ignore[operator]

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the loss, and the mean squared error per pixel as ``"mse"``, in float32."""
        return self.errors_of(self(inputs), targets)

    def errors_of(self, images: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss for reconstructions (B, C, H, W)."""
        chosen = self.image_loss
        if isinstance(chosen, PerceptualDistance):
            mse = functional.mse_loss(images.float(), targets)
            lpips = chosen(images, targets).mean()
            loss = mse + self.loss_weight * lpips
            return {"loss": loss, "mse": mse.detach(), "lpips": lpips.detach()}
        loss = image_loss(chosen, images, targets, self.loss_weight)
        if chosen == "mse":
            return {"loss": loss, "mse": loss.detach()}
        wide = at_least_float32(images.detach())
        return {"loss": loss, "mse": functional.mse_loss(wide, targets)}


def build_conv(
    options: ConvAutoencoderOptions, image_shape: ImageShape, model: str = "conv-ae"
) -> DeterministicAutoencoder:
    """Build ``conv-ae``, or the networks of another model, whose name is for error messages.

    Raises:
        UserError: the network is too deep for the images.
    """
    options = options.for_images(image_shape)
    dimension = int(options.latent_dim)
    encoder, decoder = conv_pair(
        options, image_shape, dimension, model, shortcut=options.shortcut is True
    )
    linear = LinearPath(image_shape, dimension) if options.shortcut == "pca" else None
    built = DeterministicAutoencoder(
        encoder,
        decoder,
        dimension,
        linear,
        chosen_loss(options, image_shape),
        options.loss_weight,
    )
    if options.blocks:
        built.learning_rate = RESIDUAL_LEARNING_RATE
    return built


def build_dense(
    options: DenseAutoencoderOptions, image_shape: ImageShape
) -> DeterministicAutoencoder:
    """Build ``dense-ae``.

    Raises:
        UserError: the weights of the loss cannot be used.
    """
    options = options.for_images(image_shape)
    encoder, decoder = dense_pair(options, image_shape, options.latent_dim)
    return DeterministicAutoencoder(
        encoder,
        decoder,
        options.latent_dim,
        loss=chosen_loss(options, image_shape),
        loss_weight=options.loss_weight,
    )
