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
        A ``torch.nn.Module`` with ``encode``, ``decode`` and ``loss``.

    Raises:
        latentkit.errors.LatentkitError: unknown name or option, or a network that does not fit.
    """
    registry = default_registry()
    part = choose_part(registry, "model", {"name": name, **options})
    return build_model(find_part(registry, "model", part).target(), part, image_shape)


def embedding(name: str, *, random_state: int = 0, **options: Any) -> Any:
    """Build an estimator with scikit-learn's conventions.

    Args:
        name: of the embedding.
        random_state: its seed.
        **options: of the embedding, e.g. ``n_neighbors=10``.

    Returns:
        An object with ``fit_transform(vectors)``: (N, D) to coordinates (N, 2 or 3).

    Raises:
        latentkit.errors.LatentkitError: unknown name or option, or a missing package.
    """
    registry = default_registry()
    part = choose_part(registry, "embedding", {"name": name, **options})
    return find_part(registry, "embedding", part).target()(part.options, random_state)
