"""``vq-vae`` and ``fsq-vae``: autoencoders whose latents are vectors of a finite set.

The latents are cut into positions of equal width, and the vector at each position is replaced by
one of a codebook (A. van den Oord, O. Vinyals, K. Kavukcuoglu, NeurIPS 2017) or by one with values
of a few levels (F. Mentzer et al., ICLR 2024). They have no prior and no posterior: their names are
those of the papers, whose prior is another network, trained later on the codes.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.builtins.models.autoencoder import (
    DeterministicAutoencoder,
    ImageShape,
    build_conv,
)
from latentkit.builtins.models.options import FsqVaeOptions, VqVaeOptions
from latentkit.errors import UserError
from latentkit.nn import (
    Quantised,
    ScalarQuantiser,
    VectorQuantiser,
    at_least_float32,
    code_shares,
    perplexity,
    whole_batch,
)


class QuantisedAutoencoder(DeterministicAutoencoder):
    """An autoencoder whose latents are cut into positions and quantised.

    Args:
        plain: the autoencoder whose networks it takes.
        quantiser: applied to the vector at each position.
    """

    capturable = True

    def __init__(
        self, plain: DeterministicAutoencoder, quantiser: ScalarQuantiser | VectorQuantiser
    ) -> None:
        super().__init__(
            plain.encoder,
            plain.decoder,
            plain.latent_dim,
            plain.linear,
            plain.image_loss,
            plain.loss_weight,
        )
        self.learning_rate = plain.learning_rate
        self.quantiser = quantiser
        self.codebook_size = quantiser.n_codes

    def vectors(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to vectors (B, positions, width) that are not quantised."""
        width = self.quantiser.width
        return super().encode(images).reshape(-1, self.latent_dim // width, width)

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the vectors of their codes."""
        latents: Tensor = self.quantiser(self.vectors(images)).vectors
        return latents.flatten(1)

    def codes(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to codes (B, positions), int64 below ``codebook_size``."""
        codes: Tensor = self.quantiser(self.vectors(images)).codes
        return codes

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the loss of the reconstructions, their ``mse``, and the batch's ``perplexity``."""
        return self.terms_of(self.quantiser(self.vectors(inputs)), targets)

    def terms_of(self, found: Quantised, targets: Tensor) -> dict[str, Tensor]:
        """Return the terms of the loss for quantised vectors (B, positions, width)."""
        terms = self.errors_of(self.decode(found.vectors.flatten(1)), targets)
        codes = whole_batch(found.codes)
        return {**terms, "perplexity": perplexity(code_shares(codes, self.codebook_size))}


_MOST_VECTORS = 2**15  # that the codebook starts from
_MOST_VALUES = 2**26  # of the images that have them, to limit the memory
_AT_ONCE = 256


def _keeping(batches: Iterable[Tensor], kept: list[Tensor], positions: int) -> Iterator[Tensor]:
    """Yield batches of images, and keep every n-th image, with the least n that fits.

    Args:
        batches: (B, C, H, W).
        kept: the images that are kept, (C, H, W).
        positions: number of vectors of an image.
    """
    stride, seen = 1, 0
    for batch in batches:
        most = max(1, min(_MOST_VECTORS // positions, _MOST_VALUES // batch[0].numel()))
        kept += [image.clone() for image in batch[-seen % stride :: stride]]
        seen += len(batch)
        while len(kept) > most:
            del kept[1::2]
            stride *= 2
        yield batch


class VectorQuantisedAutoencoder(QuantisedAutoencoder):
    """An autoencoder whose latents are vectors of a codebook, one for each position.

    Args:
        plain: the autoencoder whose networks it takes.
        quantiser: the codebook.
        commitment: weight of the distance between encoder and codebook.
    """

    capturable = True
    quantiser: VectorQuantiser

    def __init__(
        self, plain: DeterministicAutoencoder, quantiser: VectorQuantiser, commitment: float
    ) -> None:
        super().__init__(plain, quantiser)
        self.commitment = commitment

    def start_from_images(self, batches: Iterable[Tensor]) -> None:
        """Start the linear path as PCA, and the codebook as k-means of the encoder's vectors."""
        positions = self.latent_dim // self.quantiser.width
        kept: list[Tensor] = []
        rest = _keeping(batches, kept, positions)
        super().start_from_images(rest)
        for _ in rest:  # without a linear path, nothing has read them
            pass
        images = torch.stack(kept)
        parts = images.tensor_split(-(-len(images) // _AT_ONCE))  # of equal size, for batch norm
        self.quantiser.start(self.vectors(part) for part in parts)

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return the loss and its terms.

        Returns:
            ``loss``: that of the reconstructions + weight x commitment; ``mse``: mean squared error
            per pixel; ``commitment``: mean squared distance between the encoder's values and the
            codebook's, which are fixed here; ``perplexity``: of the batch's codes.
        """
        vectors = self.vectors(inputs)
        found = self.quantiser(vectors)
        commitment = functional.mse_loss(at_least_float32(vectors), found.vectors.detach())
        terms = self.terms_of(found, targets)
        loss = terms["loss"] + self.commitment * commitment
        return {**terms, "loss": loss, "commitment": commitment.detach()}

    def after_step(self, step: int, steps: int) -> None:
        """Move the codebook towards the vectors of the last batch."""
        self.quantiser.update()


def build_vq(options: VqVaeOptions, image_shape: ImageShape) -> VectorQuantisedAutoencoder:
    """Build ``vq-vae``.

    Raises:
        UserError: the network is too deep for the images, or code_width does not divide latent_dim.
    """
    options = options.for_images(image_shape)
    width = int(options.code_width)
    _check_width("vq-vae", int(options.latent_dim), width, "model.code_width")
    quantiser = VectorQuantiser(options.codes, width, options.decay, options.restart)
    plain = build_conv(options, image_shape, "vq-vae")
    return VectorQuantisedAutoencoder(plain, quantiser, options.commitment)


_MOST_CODES = 2**16


def build_fsq(options: FsqVaeOptions, image_shape: ImageShape) -> QuantisedAutoencoder:
    """Build ``fsq-vae``.

    Raises:
        UserError: the network is too deep for the images, there are too many codes, or the number
            of levels does not divide latent_dim.
    """
    options = options.for_images(image_shape)
    levels = tuple(map(int, options.levels))
    if math.prod(levels) > _MOST_CODES:
        raise UserError(
            f"model fsq-vae: model.levels has {math.prod(levels):,} combinations, more than "
            f"{_MOST_CODES:,}: give fewer levels or fewer entries"
        )
    _check_width("fsq-vae", int(options.latent_dim), len(levels), "entries of model.levels")
    plain = build_conv(options, image_shape, "fsq-vae")
    return QuantisedAutoencoder(plain, ScalarQuantiser(levels))


def _check_width(model: str, latent_dim: int, width: int, option: str) -> None:
    if latent_dim % width:
        raise UserError(
            f"model {model}: model.latent_dim={latent_dim} cannot be cut into vectors of {width} "
            f"values ({option}): choose one that divides it"
        )
