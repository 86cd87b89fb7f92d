"""A trained encoder as a scikit-learn transformer."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted, validate_data

from latentkit._version import __version__
from latentkit.api import encoder_files
from latentkit.config import (
    DEFAULT_MODEL,
    DEFAULT_VECTOR_MODEL,
    RunConfig,
    build_config,
)
from latentkit.data.batches import (
    CorruptionChain,
    DeviceImages,
    augmentation_of,
    split_train_validation,
)
from latentkit.errors import BrokenEnvironmentError, UserError, unexpected_content
from latentkit.evaluation.inference import decode, encode
from latentkit.plugin.events import EpochFinished, Event, Listener, ignore
from latentkit.plugin.machine import Device
from latentkit.plugin.protocols import HasDecoder, HasLoss, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.runs.context import build_model
from latentkit.runs.prepare import suited_learning_rate, with_counts
from latentkit.training.device import repeatable, resolve_device, resolve_precision, resolve_threads
from latentkit.training.loop import Record, TrainingJob, train

LEAST_SAMPLES = 3
"""Two to train on, because batch normalisation needs two, and one to choose the best epoch."""

_TAKES_VECTORS = "vectors"


def choose_model(registry: Registry, name: str, *, vectors: bool) -> str:
    """Return the model's name; ``auto`` is the default for vectors or for images.

    Raises:
        UserError: there is no such model.
        InputError: the inputs are vectors, and the model takes images only.
    """
    if name == "auto":
        return DEFAULT_VECTOR_MODEL if vectors else DEFAULT_MODEL
    if vectors and _TAKES_VECTORS not in registry.get("model", name).spec.tags:
        found = [p.spec.name for p in registry.parts("model") if _TAKES_VECTORS in p.spec.tags]
        raise encoder_files.InputError(
            f"model {name!r} takes images, but X has rows of features: reshape X to (N, H, W) if "
            f"they are pixels, or choose a model that takes vectors ({', '.join(found)})"
        )
    return name


def encoder_config(
    registry: Registry,
    model: Mapping[str, Any],
    training: Mapping[str, Any],
    overrides: Mapping[str, Any],
) -> RunConfig:
    """Return a validated configuration; its data set and embeddings are not used.

    Args:
        registry: where names are looked up.
        model: the model's name and options.
        training: options of training.
        overrides: seed, device and the share of validation samples.

    Raises:
        UserError: an unknown option, or a value of the wrong type or range.
    """
    document = {"model": dict(model), "training": dict(training)}
    return build_config(document, registry, overrides=overrides)


def trainable(config: RunConfig, network: Any) -> RunConfig:
    """Return the configuration, with 0 epochs if the network has no loss and ``epochs`` is auto."""
    if provides(network, HasLoss) or config.training.epochs != "auto":
        return config
    return replace(config, training=config.training.model_copy(update={"epochs": 0}))


def train_network(
    config: RunConfig, images: NDArray[Any], emit: Listener
) -> tuple[Any, tuple[Record, ...]]:
    """Train a network on images (N, C, H, W), N at least `LEAST_SAMPLES`.

    Returns:
        The network on its device, in eval mode, and one record per epoch.

    Raises:
        InputError: too few samples are left to train on.
        LatentkitError: as in the training of a run.
    """
    share, seed = config.split.validation, config.run.seed
    split = split_train_validation(len(images), None, share, stream_seed(seed, "split"))
    if len(split.train) < 2:
        raise encoder_files.InputError(
            f"validation={share:g} leaves 1 of {len(images)} samples to train on: lower it"
        )
    device = resolve_device(config.run.device)
    with repeatable(device, resolve_threads(config.run.threads)):
        torch.manual_seed(stream_seed(seed, "initialisation"))
        shape = images.shape[1:]
        network = build_model(config.model, shape)
        rate = suited_learning_rate(config, network)
        options = with_counts(trainable(config, network), len(split.train), rate, shape).training
        job = TrainingJob(
            model=network.to(device, memory_format=torch.channels_last),
            train=DeviceImages(images, device, split.train),
            validation=DeviceImages(images, device, split.validation),
            corruption=CorruptionChain(),
            options=options,
            precision=resolve_precision(config.training.precision, device, network),
            seed=seed,
            config_sha256="",
            augmentation=augmentation_of(options),
        )
        trained = train(job, None, emit)
    network.load_state_dict(trained.weights)
    return network.eval(), trained.history


def print_epochs(event: Event) -> None:
    """Print one line per epoch, as scikit-learn's verbose estimators do."""
    if isinstance(event, EpochFinished):
        losses = f"train {event.train['loss']:.4g}, validation {event.validation['loss']:.4g}"
        line = f"epoch {event.epoch}/{event.epochs}: {losses}, {event.seconds:.2f} s"
        sys.stdout.write(f"[LatentEncoder] {line}\n")


def seed_of(random_state: Any) -> int:
    """Return the seed of a ``random_state``; an integer is itself the seed, as in a run."""
    if isinstance(random_state, int | np.integer):
        return int(random_state)
    return int(check_random_state(random_state).randint(2**31 - 1))


def plain(value: Any) -> Any:
    """Convert NumPy's numbers and arrays, which a grid search sets, to Python's."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _decodes(encoder: LatentEncoder) -> bool:
    """Return whether the model has a decoder, or is not fitted yet; scikit-learn asks for this.

    Raises:
        UserError: the fitted model has none.
    """
    if "model_" in vars(encoder) and not provides(encoder.model_, HasDecoder):
        raise UserError(
            f"model {encoder.model_config_['name']!r} has no decoder, so it reconstructs nothing: "
            f"fit LatentEncoder with a model that has one, such as {DEFAULT_MODEL!r}"
        )
    return True


_VERSION = "_latentkit_version"


class LatentEncoder(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A scikit-learn transformer that encodes vectors or images with any latentkit model.

    Vectors (N, D) may have any units: `fit` learns the range of each feature and scales it to
    [0, 1] for the model. `transform` does not clip values outside that range; `inverse_transform`
    returns values inside it. Images (N, H, W), (N, C, H, W) or (N, H, W, C) are uint8, bool, or
    float in [0, 1]. Both may be torch tensors. Latents are float32 because networks compute in
    float32.

    Args:
        model: a model's name; ``"auto"`` is ``dense-ae`` for vectors and ``conv-ae`` for images.
        latent_dim: number of latent dimensions.
        epochs: passes over the training samples; ``"auto"`` is 10, and up to 50 for few samples.
        model_options: further options of the model, e.g. ``{"hidden": [64]}``.
        training_options: further options of training, e.g. ``{"learning_rate": 1e-3}``.
        validation: share of the samples used to choose the best epoch; at least one sample.
        device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
        random_state: seed, 0 to 2**31 - 1; or a ``RandomState`` to draw the seed from; or None to
            draw it from NumPy's global random state.
        verbose: print one line per epoch.

    Attributes:
        model_: the trained ``torch.nn.Module``.
        model_config_: the model's name and options, with defaults filled in.
        history_: one record per epoch.
        image_shape_: channels, height and width of the model's input; 1, 1, D for vectors.
        seed_: the seed that was used.
        n_features_in_: number of values per sample.
        feature_names_in_: names of the features, if X was a data frame.

    Example:
        >>> from sklearn.linear_model import LogisticRegression
        >>> from sklearn.pipeline import make_pipeline
        >>> import latentkit as lk
        >>> images = lk.dataset("digits", "test")
        >>> encoder = lk.LatentEncoder(latent_dim=4, epochs=1)
        >>> encoder.fit_transform(images.images).shape
        (360, 4)
        >>> rebuilt = encoder.inverse_transform(encoder.transform(images.images))
        >>> rebuilt.shape, bool(0 <= rebuilt.min() <= rebuilt.max() <= 255)
        ((360, 1, 8, 8), True)
        >>> classifier = make_pipeline(encoder, LogisticRegression())
        >>> classifier.fit(images.images, images.labels).predict(images.images).shape
        (360,)
    """

    def __init__(
        self,
        model: str = "auto",
        latent_dim: int = 16,
        epochs: int | str = "auto",
        model_options: dict[str, Any] | None = None,
        training_options: dict[str, Any] | None = None,
        validation: float = 0.2,
        device: str = "auto",
        random_state: int | np.random.RandomState | None = 0,
        verbose: bool = False,
    ) -> None:
        self.model = model
        self.latent_dim = latent_dim
        self.epochs = epochs
        self.model_options = model_options
        self.training_options = training_options
        self.validation = validation
        self.device = device
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803
        """Train on vectors or images.

        Args:
            X: (N, D), numbers of any range; or (N, H, W), (N, C, H, W) or (N, H, W, C), uint8,
                bool or float in [0, 1]. N is 3 or more.
            y: ignored.

        Returns:
            The encoder itself.

        Raises:
            ValueError: X has a wrong shape or range, or contains NaN or infinity.
            latentkit.errors.UserError: a parameter is not valid.
        """
        values = self._checked(X, fitting=True)
        vectors = values.ndim == 2
        registry = default_registry()
        name = choose_model(registry, self.model, vectors=vectors)
        options = {"name": name, "latent_dim": self.latent_dim, **(self.model_options or {})}
        training = {"epochs": self.epochs, **(self.training_options or {})}
        seed = seed_of(self.random_state)
        others = {"seed": seed, "device": self.device, "split.validation": self.validation}
        config = encoder_config(registry, plain(options), plain(training), plain(others))
        inputs: encoder_files.Inputs = (
            encoder_files.ScaledVectors.fitted(values)
            if vectors
            else encoder_files.ImageLayout.fitted(values)
        )
        emit = print_epochs if self.verbose else ignore
        config = replace(config, model=config.model.for_images(inputs.image_shape))
        network, history = train_network(config, inputs.to_images(values), emit)
        self.model_ = network
        self.model_config_ = config.model.as_dict()
        self.history_ = history
        self.image_shape_ = inputs.image_shape
        self.seed_ = seed
        self._inputs = inputs
        return self

    def transform(self, X: ArrayLike) -> NDArray[np.float32]:  # noqa: N803
        """Return the latents (N, latent_dim) of vectors or images as in `fit`.

        Raises:
            ValueError: X has a wrong shape or range, or contains NaN or infinity.
        """
        images = self._images(X)
        return encode(self.model_, DeviceImages(images, self._device()))

    @available_if(_decodes)  # type: ignore[untyped-decorator]
    def inverse_transform(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        """Decode latents (N, latent_dim) to the layout and units of the data given to `fit`.

        Returns:
            Vectors (N, D) in their original units: float64, or float32 if `fit` received float32.
            Or float32 images in the layout that `fit` received: in [0, 1], or in [0, 255] if `fit`
            received uint8.

        Raises:
            AttributeError: the fitted model has no decoder.
            ValueError: X has a wrong shape, or contains NaN or infinity.
        """
        check_is_fitted(self)
        given = encoder_files.without_torch(X)
        latents = check_array(given, dtype=np.float32, estimator=self, input_name="X")
        if latents.shape[1] != self._n_features_out:
            raise encoder_files.InputError(
                f"X has {latents.shape[1]} latent dimensions, but LatentEncoder has "
                f"{self._n_features_out}"
            )
        return self._inputs.from_images(decode(self.model_, latents, self._device()))

    @available_if(_decodes)  # type: ignore[untyped-decorator]
    def score(self, X: ArrayLike, y: object = None) -> float:  # noqa: N803
        """Return the negative mean squared error of X's reconstruction; higher is better.

        The error is computed on the model's inputs: features scaled by the range that `fit`
        learned, or images in [0, 1].

        Args:
            X: as in `transform`.
            y: ignored.

        Raises:
            AttributeError: the fitted model has no decoder.
        """
        images = self._images(X)
        device = self._device()
        shown = DeviceImages(images, device)
        rebuilt = decode(self.model_, encode(self.model_, shown), device)
        clean = images / np.float32(255) if images.dtype == np.uint8 else images
        return -float(np.mean((rebuilt - clean) ** 2, dtype=np.float64))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the fitted encoder to one safetensors file with a SHA-256, without pickle.

        If ``random_state`` is not a number, the file stores the seed that was drawn from it.

        Raises:
            latentkit.errors.LatentkitError: the file cannot be written.
        """
        check_is_fitted(self)
        facts = {
            "parameters": plain({**self.get_params(deep=False), "random_state": self.seed_}),
            "model": self.model_config_,
            "inputs": self._inputs.as_dict(),
            "seed": self.seed_,
            "history": list(self.history_),
            "n_features_in": self.n_features_in_,
            "feature_names_in": list(getattr(self, "feature_names_in_", ())),
        }
        encoder_files.write_encoder(Path(path).expanduser(), facts, self.model_.state_dict())

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Load a fitted encoder that `save` wrote; no code in the file is executed.

        Raises:
            latentkit.errors.UserError: the file does not exist or is not an encoder, or its model
                is not installed.
            latentkit.errors.IntegrityError: the file was changed after it was saved, or has another
                structure.
        """
        facts, weights = encoder_files.read_encoder(Path(path).expanduser())
        with unexpected_content(path):
            encoder = cls(**facts["parameters"])
            encoder._inputs = encoder_files.inputs_from(facts["inputs"])
            encoder.model_config_ = {**facts["model"], "name": "".join(facts["model"]["name"])}
            encoder.history_ = tuple(facts["history"])
            encoder.image_shape_ = encoder._inputs.image_shape
            encoder.seed_ = int(facts["seed"])
            encoder.n_features_in_ = int(facts["n_features_in"])
            if facts["feature_names_in"]:
                encoder.feature_names_in_ = np.array(facts["feature_names_in"], dtype=object)
            encoder._take_weights(weights)
            return encoder

    @property
    def _n_features_out(self) -> int:
        return int(self.model_.latent_dim)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags

    def __getstate__(self) -> dict[str, Any]:
        """Return the state with the network's weights as arrays, and latentkit's version."""
        state = dict(super().__getstate__())
        if "model_" in state:
            tensors = self.model_.state_dict().items()
            state["model_"] = {name: tensor.cpu().numpy() for name, tensor in tensors}
            state[_VERSION] = __version__
        return state

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        """Rebuild the network; warn if another version made the pickle, as scikit-learn does."""
        rest = {key: value for key, value in state.items() if key not in ("model_", _VERSION)}
        super().__setstate__(rest)
        if "model_" not in state:
            return
        if state[_VERSION] != __version__:
            warnings.warn(
                f"a LatentEncoder pickled by latentkit {state[_VERSION]} is loaded by "
                f"{__version__}: its latents may differ; fit it again to be sure",
                stacklevel=2,
            )
        self._take_weights(state["model_"])

    def _take_weights(self, weights: Mapping[str, Any]) -> None:
        network = encoder_files.rebuilt_network(
            default_registry(), self.model_config_, self._inputs.image_shape, weights
        )
        try:
            device = resolve_device(cast("Device", self.device))
        except BrokenEnvironmentError:  # the encoder was fitted on a machine with that device
            device = torch.device("cpu")
        self.model_ = network.to(device, memory_format=torch.channels_last)

    def _images(self, X: ArrayLike) -> NDArray[Any]:  # noqa: N803
        check_is_fitted(self)
        return self._inputs.to_images(self._checked(X, fitting=False))

    def _checked(self, X: ArrayLike, *, fitting: bool) -> NDArray[Any]:  # noqa: N803
        """Return X as a finite array with enough rows and the number of features seen in `fit`."""
        X = encoder_files.without_torch(X)  # noqa: N806
        images = encoder_files.dimensions(X) > 2
        if not fitting and images != isinstance(self._inputs, encoder_files.ImageLayout):
            was, has = ("vectors", "images") if images else ("images", "vectors")
            raise encoder_files.InputError(f"X holds {has}, but LatentEncoder was fitted to {was}")
        rows = {"ensure_min_samples": LEAST_SAMPLES if fitting else 1}
        if not images:
            dtypes = [np.float64, np.float32]
            return np.asarray(validate_data(self, X, reset=fitting, dtype=dtypes, **rows))
        anything = {"dtype": None, "ensure_2d": False, "allow_nd": True, "input_name": "X"}
        checked = np.asarray(check_array(X, estimator=self, **anything, **rows))
        if fitting:
            self.n_features_in_ = int(np.prod(encoder_files.image_batch(checked[:1]).shape[1:]))
            self.__dict__.pop("feature_names_in_", None)
        # Torch can share a writable uint8 memory map, so its images stay on disk.
        streamed = isinstance(X, np.memmap) and X.dtype == np.uint8 and X.flags.writeable
        return cast("NDArray[Any]", X) if streamed else checked

    def _device(self) -> torch.device:
        first = next(self.model_.parameters(), None)
        return torch.device("cpu") if first is None else first.device
