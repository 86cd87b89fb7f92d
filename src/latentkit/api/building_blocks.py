"""Single parts in one call: a data set, a model, an embedding."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from latentkit.api.inputs import data_dir
from latentkit.config import choose_part
from latentkit.errors import UserError
from latentkit.plugin import ImageData, Split
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
    from latentkit.runs.context import load_images  # imports torch, which `embedding` does not need

    registry = default_registry()
    part = choose_part(registry, "dataset", {"name": name, **options})
    return load_images(part, split, data_dir(data))


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
    from latentkit.runs.context import build_model

    registry = default_registry()
    part = choose_part(registry, "model", {"name": name, **options})
    return build_model(part, image_shape)


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
    return part.build(random_state)


def images_of(
    name: str, split: str = "test", *, data: str | os.PathLike[str] | None = None, **options: Any
) -> ImageData:
    """Return the images of a data set's ``train`` or ``test`` split, or of both (``all``).

    Args:
        name: the data set's name.
        split: which images to return.
        data: the folder of data sets.
        **options: options of the data set.

    Raises:
        latentkit.errors.LatentkitError: as in `latentkit.dataset`; `UserError` for other splits.
    """
    if split not in ("train", "test", "all"):
        raise UserError(f"a data set has no split {split!r}: choose train, test or all")
    splits: tuple[Split, ...] = ("train", "test") if split == "all" else (split,)  # type: ignore[assignment]
    found = [dataset(name, each, data=data, **options) for each in splits]
    if len(found) == 1:
        return found[0]
    labels = [images.labels for images in found if images.labels is not None]
    return ImageData(
        images=np.concatenate([images.images for images in found]),
        labels=np.concatenate(labels) if len(labels) == len(found) else None,
        class_names=found[0].class_names,
        licence=found[0].licence,
    )
