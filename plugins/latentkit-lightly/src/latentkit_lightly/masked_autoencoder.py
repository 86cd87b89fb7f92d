"""A masked autoencoder (K. He et al. 2022) of lightly's transformer: only its encoder stays."""

from __future__ import annotations

from lightly.models.modules import MaskedVisionTransformerDecoderTIMM, MaskedVisionTransformerTIMM
from lightly.models.utils import (
    get_at_index,
    patchify,
    random_token_mask,
    repeat_token,
    set_at_index,
)
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn
from torch.nn import functional

from latentkit_lightly.options import ImageShape, MaeOptions

_HEAD_WIDTH = 32


class MaskedAutoencoder(nn.Module):
    """A transformer that learns by predicting squares of the image that it does not see.

    Edge pixels are repeated at the right and below until the image is a square of whole squares.
    The latents are the mean of the transformer's outputs for all squares, standardised in each
    dimension by the mean and the variance of the training images.

    Args:
        options: options, without ``auto``.
        image_shape: C, H, W.
    """

    def __init__(self, options: MaeOptions, image_shape: ImageShape) -> None:
        super().__init__()
        assert options.patch != "auto" and options.latent_dim != "auto"  # noqa: S101, PT018
        channels, height, width = image_shape
        self.latent_dim, self.patch, self.hidden = options.latent_dim, options.patch, options.hidden
        self.side = -(-max(height, width) // self.patch) * self.patch
        self.network = MaskedVisionTransformerTIMM(
            VisionTransformer(
                self.side,
                self.patch,
                channels,
                num_classes=0,
                global_pool="avg",
                embed_dim=self.latent_dim,
                depth=options.depth,
                num_heads=_heads(self.latent_dim),
                fc_norm=False,
            )
        )
        # All images share most of the transformer's mean output, so the latents are standardised.
        self.scale = nn.BatchNorm1d(self.latent_dim, eps=1e-8, affine=False)
        self.narrow = nn.Linear(self.latent_dim, options.decoder_width)
        self.decoder = MaskedVisionTransformerDecoderTIMM(
            (self.side // self.patch) ** 2,
            options.decoder_width,
            options.decoder_depth,
            _heads(options.decoder_width),
        )
        self.predict = nn.Linear(options.decoder_width, channels * self.patch**2)

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to latents (B, latent_dim)."""
        latents: Tensor = self.scale(self.network(self._square(images)).float())
        return latents

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the squared error of predicted squares, whose targets have mean 0 and variance 1.

        torch's global random state decides which squares are hidden.
        """
        length = self.network.sequence_length
        keep, hidden = random_token_mask((len(inputs), length), self.hidden, device=inputs.device)
        outputs = self.network.encode(self._square(inputs), idx_keep=keep)
        if self.training and len(inputs) > 1:  # one image has no deviation
            self.scale(outputs[:, 1:].mean(1).detach().float())
        seen = self.narrow(outputs)
        tokens = repeat_token(self.decoder.mask_token, (len(inputs), length)).to(seen.dtype)
        decoded = self.decoder(set_at_index(tokens, keep, seen))
        predicted = self.predict(get_at_index(decoded, hidden)).float()
        squares = patchify(self._square(targets), self.patch)
        aims = get_at_index(squares, hidden - 1)  # the first token is the class token
        aims = (aims - aims.mean(-1, keepdim=True)) / (
            aims.var(-1, keepdim=True, correction=0) + 1e-6
        ).sqrt()
        return {"loss": functional.mse_loss(predicted, aims)}

    def _square(self, images: Tensor) -> Tensor:
        missing = (self.side - images.shape[3], self.side - images.shape[2])
        if not max(missing):
            return images
        return functional.pad(images, (0, missing[0], 0, missing[1]), mode="replicate")


def _heads(width: int) -> int:
    """Return the largest number of heads that divides a width, each of 32 or more if it can be."""
    return max(n for n in range(1, max(1, width // _HEAD_WIDTH) + 1) if width % n == 0)
