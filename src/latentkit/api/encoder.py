"""A trained encoder as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from latentkit.config import build_config, choose_part, find_part
from latentkit.data.batches import DeviceImages
from latentkit.data.corruption import CorruptionChain
from latentkit.data.split import split_train_validation
from latentkit.errors import UserError
from latentkit.evaluation.inference import decode, encode
from latentkit.pipeline.context import build_model
from latentkit.pipeline.prepare import suited_learning_rate, with_counts
from latentkit.plugin.events import ignore
from latentkit.plugin.images import to_uint8
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.catalogue import default_registry
from latentkit.training.device import repeatable, resolve_device, resolve_precision, resolve_threads
from latentkit.training.loop import TrainingJob, train


class LatentEncoder(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Images in, latents out: any latentkit model in a scikit-learn pipeline.

    Args:
        model: a model's name.
        latent_dim: number of latent dimensions.
        epochs: passes over the training images, or ``"auto"``.
        model_options: further options of the model.
        validation: share of the images that only the history is measured on.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        random_state: seed, 0 to 2**31 - 1.

    Attributes:
        model_: the trained ``torch.nn.Module``.
        history_: one record an epoch.
        image_shape_: channels, height, width.

    Raises:
        UserError: from `fit` and `transform`, where images have another shape or range, or an
            option is unknown.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> import latentkit as lk
        >>> images = lk.dataset("digits", "test")
        >>> encoder = lk.LatentEncoder(latent_dim=4, epochs=1)
        >>> encoder.fit_transform(images.images).shape
        (360, 4)
        >>> rebuilt = encoder.inverse_transform(encoder.transform(images.images))
        >>> rebuilt.shape, bool(0 <= rebuilt.min() <= rebuilt.max() <= 1)
        ((360, 1, 8, 8), True)
        >>> classifier = make_pipeline(encoder, LogisticRegression())
        >>> classifier.fit(images.images, images.labels).predict(images.images).shape
        (360,)
    """

    def __init__(
        self,
        model: str = "conv-ae",
        latent_dim: int = 16,
        epochs: int | str = "auto",
        model_options: dict[str, Any] | None = None,
        validation: float = 0.2,
        device: str = "auto",
        random_state: int = 0,
    ) -> None:
        self.model = model
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.model_options = model_options
        self.validation = validation
        self.device = device
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> LatentEncoder:  # noqa: N803
        """Train on images.

        Args:
            X: (N, H, W) or (N, C, H, W); uint8, or float in [0, 1], which is kept in 8 bits.
            y: ignored.

        Returns:
            The encoder itself.

        Raises:
            UserError: the images have another shape or range.
        """
        images = as_images(X)
        registry = default_registry()
        config = build_config(
            {},
            registry,
            model=self.model,
            overrides={
                "seed": self.random_state,
                "device": self.device,
                "training.epochs": self.epochs,
                "split.validation": self.validation,
            },
        )
        part = choose_part(
            registry,
            "model",
            {"name": self.model, "latent_dim": self.latent_dim, **(self.model_options or {})},
        )
        seed = config.run.seed
        split = split_train_validation(
            len(images), None, config.split.validation, stream_seed(seed, "split")
        )
        device = resolve_device(config.run.device)
        with repeatable(device, resolve_threads(config.run.threads)):
            torch.manual_seed(stream_seed(seed, "initialisation"))
            target = find_part(registry, "model", part).target()
            network = build_model(target, part, images.shape[1:])
            job = TrainingJob(
                model=network.to(device, memory_format=torch.channels_last),
                train=DeviceImages(images[split.train], device),
                validation=DeviceImages(images[split.validation], device),
                corruption=CorruptionChain(),
                options=with_counts(
                    config, len(split.train), suited_learning_rate(config, registry)
                ).training,
                precision=resolve_precision(config.training.precision, device),
                seed=seed,
                config_sha256="",
            )
            trained = train(job, None, ignore)
        network.load_state_dict(trained.weights)
        self.history_ = trained.history
        self.model_ = network.eval()
        self.image_shape_ = images.shape[1:]
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return the latents (N, latent_dim) of images as in `fit`.

        Raises:
            UserError: the images have another shape or range than those of `fit`.
            sklearn.exceptions.NotFittedError: `fit` was not called.
        """
        check_is_fitted(self)
        images = as_images(X)
        if images.shape[1:] != self.image_shape_:
            raise UserError(
                f"images have shape {images.shape[1:]}, the encoder was fitted to "
                f"{self.image_shape_}"
            )
        return encode(self.model_, DeviceImages(images, self._device()))

    def inverse_transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return the images (N, C, H, W) in [0, 1] of latents (N, latent_dim).

        Raises:
            sklearn.exceptions.NotFittedError: `fit` was not called.
        """
        check_is_fitted(self)
        return decode(self.model_, np.asarray(X, dtype=np.float32), self._device())

    def get_feature_names_out(self, input_features: object = None) -> NDArray[np.object_]:
        """Return ``latent0``, ``latent1``, ..."""
        return np.array([f"latent{i}" for i in range(self.latent_dim)], dtype=object)

    def _device(self) -> torch.device:
        device: torch.device = next(self.model_.parameters()).device
        return device


def as_images(values: ArrayLike) -> NDArray[np.uint8]:
    """Return images as uint8 (N, C, H, W); see `latentkit.plugin.images.to_uint8`.

    Raises:
        UserError: they have another shape, type or range.
    """
    try:
        return to_uint8(values)
    except ValueError as error:
        raise UserError(str(error)) from error
