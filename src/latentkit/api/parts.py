"""Single parts in one call: a data set, a model, an embedding."""

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
        name: the data set's name.
        split: ``"train"`` or ``"test"``.
        data: the folder of data sets; by default ``LATENTKIT_DATA`` or the user's cache.
        **options: options of the data set.

    Returns:
        uint8 images (N, C, H, W), with labels if there are any.

    Raises:
        latentkit.errors.LatentkitError: a name or option is unknown, or loading fails.

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
    """Build a network with random weights from torch's global random state.

    Args:
        name: the model's name.
        image_shape: channels, height, width.
        **options: options of the model, e.g. ``latent_dim=3``.

    Returns:
        A ``torch.nn.Module``: ``encode`` maps float32 images (B, C, H, W) in [0, 1] to latents
        (B, latent_dim), ``decode`` maps latents to images, and training minimises ``loss``.

    Raises:
        latentkit.errors.LatentkitError: a name or option is unknown, or the image shape does not
            fit the network.

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
    """Build an embedding: an estimator with scikit-learn's conventions.

    Args:
        name: the embedding's name.
        random_state: its seed, 0 to 2**31 - 1.
        **options: options of the embedding, e.g. ``n_neighbors=10``.

    Returns:
        An object whose ``fit_transform`` maps vectors (N, D) to coordinates (N, 2 or 3).

    Raises:
        latentkit.errors.LatentkitError: a name or option is unknown, or a package is missing.

    Example:
        >>> import latentkit as lk
        >>> pixels = lk.dataset("digits", "test").images.reshape(360, 64) / 255
        >>> lk.embedding("isomap", n_neighbors=10).fit_transform(pixels).shape
        (360, 2)
    """
    registry = default_registry()
    part = choose_part(registry, "embedding", {"name": name, **options})
    return find_part(registry, "embedding", part).target()(part.options, random_state)
