"""Single parts in one call: images, a network, an estimator."""

from __future__ import annotations

import os
from typing import Any

from latentkit.api.places import data_dir
from latentkit.config import choose_part, find_part
from latentkit.pipeline.context import build_model, load_images
from latentkit.plugin.images import ImageData
from latentkit.plugin.protocols import Split
from latentkit.registry.catalogue import default_registry


def dataset(
    name: str, split: Split = "train", *, data: str | os.PathLike[str] | None = None, **options: Any
) -> ImageData:
    """Load the images of a data set.

    Args:
        name: of the data set.
        split: ``"train"`` or ``"test"``.
        data: the folder of data sets; ``LATENTKIT_DATA`` or the user's cache where None.
        **options: of the data set.

    Returns:
        uint8 images (N, C, H, W), with labels where there are any.

    Raises:
        latentkit.errors.LatentkitError: unknown name or option, or images that cannot be had.

    Example:
        >>> import latentkit as lk
        >>> images = lk.dataset("digits", "test")
        >>> images
        ImageData(360 images 1x8x8, 10 classes)
        >>> images.images.dtype, images.images.shape, images.labels.shape
        (dtype('uint8'), (360, 1, 8, 8), (360,))
    """
    registry = default_registry()
    part = choose_part(registry, "dataset", {"name": name, **options})
    return load_images(registry, part, split, data_dir(data))


def model(name: str, image_shape: tuple[int, int, int], **options: Any) -> Any:
    """Build a network with fresh weights, drawn from torch's global random state.

    Args:
        name: of the model.
        image_shape: channels, height, width.
        **options: of the model, e.g. ``latent_dim=3``.

    Returns:
        A ``torch.nn.Module``: ``encode`` takes float32 images (B, C, H, W) in [0, 1] to latents
        (B, latent_dim), ``decode`` back again, and ``loss`` is what training minimises.

    Raises:
        latentkit.errors.LatentkitError: unknown name or option, or a network that does not fit.

    Example:
        >>> import torch
        >>> import latentkit as lk
        >>> network = lk.model("conv-ae", image_shape=(1, 28, 28), latent_dim=3)
        >>> latents = network.encode(torch.rand(2, 1, 28, 28))
        >>> latents.shape, network.decode(latents).shape
        (torch.Size([2, 3]), torch.Size([2, 1, 28, 28]))
        >>> lk.model("conv-ea", image_shape=(1, 28, 28))
        Traceback (most recent call last):
        latentkit.errors.UserError: there is no model 'conv-ea' (did you mean 'conv-ae'?)...
    """
    registry = default_registry()
    part = choose_part(registry, "model", {"name": name, **options})
    return build_model(find_part(registry, "model", part).target(), part, image_shape)


def embedding(name: str, *, random_state: int = 0, **options: Any) -> Any:
    """Build an estimator with scikit-learn's conventions.

    Args:
        name: of the embedding.
        random_state: its seed, 0 to 2**31 - 1.
        **options: of the embedding, e.g. ``n_neighbors=10``.

    Returns:
        An object with ``fit_transform(vectors)``: (N, D) to coordinates (N, 2 or 3).

    Raises:
        latentkit.errors.LatentkitError: unknown name or option, or a missing package.

    Example:
        >>> import latentkit as lk
        >>> pixels = lk.dataset("digits", "test").images.reshape(360, 64) / 255
        >>> lk.embedding("isomap", n_neighbors=10).fit_transform(pixels).shape
        (360, 2)
    """
    registry = default_registry()
    part = choose_part(registry, "embedding", {"name": name, **options})
    return find_part(registry, "embedding", part).target()(part.options, random_state)
