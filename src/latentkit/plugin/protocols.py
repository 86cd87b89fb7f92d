"""What the target of each kind of part must provide.

Images are float32 tensors (B, C, H, W) in [0, 1], latents float32 (B, latent_dim). These are
protocols: provide the methods; no inheritance is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeGuard, TypeVar, runtime_checkable

from latentkit.plugin.images import ImageData

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Generator, Tensor

P = TypeVar("P")
Split = Literal["train", "test"]
ImageShape = tuple[int, int, int]
"""Channels, height, width."""


def provides(thing: object, protocol: type[P]) -> TypeGuard[P]:
    """Return whether an object has every attribute and method that a protocol names.

    Since Python 3.12, ``isinstance`` ignores attributes that ``__getattr__`` provides. The layers
    of a ``torch.nn.Module`` are such attributes, for instance an ``nn.Sequential`` called
    ``encode``. This function sees them.
    """
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    return all(hasattr(thing, name) for name in protocol.__annotations__) and all(
        getattr(thing, name, None) is not None for name in methods
    )


def is_capturable(model: object) -> bool:
    """Return whether a model sets ``capturable = True``, see `Autoencoder`.

    The model itself or its own class must set it. An inherited value does not count, because the
    subclass may have a different loss that does not keep the promise.
    """
    return bool(vars(model).get("capturable", vars(type(model)).get("capturable", False)))


def lacking(model: object, tags: Collection[str]) -> list[str]:
    """Return what a built model lacks of `Autoencoder`, except what its tags say that it lacks.

    Args:
        model: what the target of a `latentkit.plugin.ModelSpec` built.
        tags: the tags of the spec. A model tagged ``"encoder"`` needs no ``decode``, and one tagged
            ``"frozen"`` needs no ``loss``.
    """
    excused = {"decode": "encoder", "loss": "frozen"}
    needed = ("latent_dim", "encode", "decode", "loss")
    return [
        name
        for name in needed
        if getattr(model, name, None) is None and excused.get(name, "") not in tags
    ]


@runtime_checkable
class Encoder(Protocol):
    """What every model provides: a ``torch.nn.Module`` that also has these members.

    A model with a decoder is an `Autoencoder`. One without is called an encoder, and its spec is
    tagged ``"encoder"``. A model that cannot be trained has no ``loss``, and its spec is tagged
    ``"frozen"``.

    A model whose initial weights were trained elsewhere sets ``pretrained = True``, so that a run
    of 0 epochs is not reported as untrained. It loads them only if
    `latentkit.plugin.needs_own_weights` says so.
    """

    latent_dim: int

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to latents (B, latent_dim).

        Deterministic in eval mode: a model with a posterior returns the posterior's mean. The
        latents of an image do not depend on the other images of the batch.
        """
        ...


@runtime_checkable
class HasDecoder(Protocol):
    """A model that turns latents into images; see `Autoencoder`."""

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        ...


@runtime_checkable
class HasLoss(Protocol):
    """A model that can be trained.

    If all training images are not enough for one batch, or few are left for the last one,
    ``loss`` gets fewer images than the batch size. A training batch has two or more images unless
    the user asks for batches of one, and a validation batch may have a single one. Its terms have
    to be finite all the same.
    """

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> Mapping[str, Tensor]:
        """Return the loss terms of a batch, each a scalar; ``"loss"`` is what is minimised.

        A loss without a decoder makes its own views of the images, usually of ``targets``. Draw
        their random numbers from torch's global state. latentkit seeds it before each epoch and
        each validation, so that a resumed training repeats them and validation losses of different
        epochs are of the same views. Terms may have any names.

        Args:
            inputs: what the model sees, (B, C, H, W): corrupted, if there is corruption.
            targets: the clean images, (B, C, H, W), augmented if there is augmentation.
            step: number of optimiser steps taken so far, from 0.
        """
        ...


@runtime_checkable
class HasAfterStep(Protocol):
    """A model that updates something of its own after each step of the optimiser.

    An example is a teacher whose weights are a moving average of the student's (BYOL, DINO). Keep
    what it updates in parameters without gradient or in buffers of the state dict, and change them
    in place. Then checkpoints contain it, and training that was resumed is exact.
    """

    def after_step(self, step: int, steps: int) -> None:
        """Update the model, without gradients; called after each step of the optimiser.

        It is not part of the captured step of a ``capturable`` model, so it may depend on ``step``.

        Args:
            step: number of the step that was taken, from 0.
            steps: number of steps of the whole training, on which a schedule may depend.
        """
        ...


@runtime_checkable
class Autoencoder(Protocol):
    """A model with a decoder: a ``torch.nn.Module`` that also has these methods.

    See `Encoder` for models without ``decode`` or ``loss``, and `HasAfterStep` for what a model may
    do after each step.

    A model may set ``capturable = True``. It then promises three things about ``loss``. It performs
    the same operations at every step (after the ``warm_up_steps``, if it has any), whatever the
    values in a batch. It draws random numbers only from torch's global state. It never waits for a
    result on the CPU (no ``item()``, no ``if`` on a tensor). latentkit then runs each training step
    on a GPU as one CUDA graph, which makes small networks several times faster.

    A model may have ``learning_rate``, a float: the peak learning rate that suits it with batches
    of 256, instead of that of its `ModelSpec`.
    """

    latent_dim: int

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to latents (B, latent_dim).

        Deterministic in eval mode: a model with a posterior returns the posterior's mean.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        ...

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> Mapping[str, Tensor]:
        """Return the loss terms of a batch, each a scalar; ``"loss"`` is what is minimised.

        Args:
            inputs: what the model sees (corrupted, if there is corruption).
            targets: the clean images that it should reconstruct.
            step: number of optimiser steps taken so far, from 0.
        """
        ...


@runtime_checkable
class Generative(Protocol):
    """What a model tagged ``"generative"`` provides in addition to `Autoencoder`.

    If its loss changes form over the first steps (a KL warm-up), the model states their number as
    ``warm_up_steps``. Early stopping and the choice of the best epoch start after these steps.
    """

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var of q(z | images), each (B, latent_dim)."""
        ...

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw from the prior and decode: n images (n, C, H, W) in [0, 1]."""
        ...

    def log_likelihood(self, images: Tensor, samples: int) -> Tensor:
        """Return a lower bound on log p(images), (B,), in nats, from importance samples.

        With one sample, it is an unbiased estimate of the ELBO.
        """
        ...


@runtime_checkable
class HasCodes(Protocol):
    """A model with quantised latents, whose vectors are taken from a finite set.

    Its evaluation card says how many of the set are used, and how many bits an image has. The
    latents of an image follow from its codes: equal codes have equal latents. A codebook that no
    gradient trains is kept in buffers, and changes in ``after_step`` (`HasAfterStep`).
    """

    codebook_size: int
    """Number of different codes."""

    def codes(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to int64 (B, positions), from 0 to codebook_size - 1.

        Deterministic in eval mode. Each image has the same number of positions, and its codes do
        not depend on the other images of the batch.
        """
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """A model that offers a classifier richer features than its latents.

    ``latentkit transfer`` puts its head on ``features`` if the model has it, otherwise on
    ``encode``.
    """

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to features (B, F), such as the last hidden layer."""
        ...


@runtime_checkable
class StartsFromImages(Protocol):
    """A model whose first weights depend on the training images, for example on their PCA."""

    def start_from_images(self, batches: Iterable[Tensor]) -> None:
        """Set weights and buffers in place, before the first step and without gradients.

        latentkit calls it for new, random weights only: not for saved ones, and not when training
        resumes. The result must depend on nothing but the images and the present weights.

        Args:
            batches: training images (B, C, H, W) without corruption, at most 10,000 in total.
        """
        ...


class ModelTarget(Protocol):
    """Signature of the target of a `ModelSpec`."""

    def __call__(self, options: Any, image_shape: ImageShape) -> Encoder:
        """Build the network for images of ``image_shape``; each side is 8 pixels or more.

        The result is an `Autoencoder`, or without a decoder an `Encoder`.

        A model tagged ``"vectors"`` also takes vectors, as images of 1 x 1 x D with D from 1 up.
        Initial weights come from torch's global random state, which latentkit seeds.
        """
        ...


class DatasetTarget(Protocol):
    """Signature of the target of a `DatasetSpec`."""

    def __call__(self, options: Any, split: Split, cache: Path) -> ImageData:
        """Load one split.

        Args:
            options: the part's validated options.
            split: ``"train"`` or ``"test"``; latentkit takes validation images from train.
            cache: folder for downloads, shared by all data sets; it may not exist yet.

        Raises:
            latentkit.errors.DataError: a file is missing or damaged.
            latentkit.errors.NetworkError: a download failed.
        """
        ...


class Corruption(Protocol):
    """What the target of a `CorruptionSpec` builds."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return corrupted images: new memory, same shape and device, in [0, 1].

        Every random number comes from ``generator``, which is on the same device as the images.
        If it has a strength, the corruption is the identity at zero strength.
        """
        ...


@dataclass(frozen=True)
class ResourceEstimate:
    """What fitting an embedding needs: peak memory in bytes, and seconds on two cores."""

    bytes: int
    seconds: float


class Embedding(Protocol):
    """What the target of an `EmbeddingSpec` builds: scikit-learn's estimator conventions.

    It may also have:

    - ``transform(vectors)`` for new points; without it, tag the spec ``"transductive"``.
    - ``inverse_transform(coordinates)``; tag the spec ``"inverse"``.
    - ``estimate(n, d) -> ResourceEstimate``, which latentkit calls before it starts, also
      before training.
    - the attributes of `ReportsProgress`, `HasFacts` and `ReadsLabels`.
    """

    def fit_transform(self, vectors: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Map vectors (N, D) to finite coordinates (N, n_components).

        The same seed gives the same coordinates.
        """
        ...


@runtime_checkable
class SupportsEstimate(Protocol):
    """An embedding that estimates its memory and time before it starts."""

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return the memory and time needed for ``n`` vectors of ``d`` dimensions.

        It is also called before training starts. Raise `latentkit.errors.UserError` if no vectors
        of this number and dimension can be mapped, so that the run is refused, not trained first.
        """
        ...


Progress = Callable[[int, int, str], None]
"""Progress callback: steps done, steps in total (0 if not known), and the current activity."""


@runtime_checkable
class ReportsProgress(Protocol):
    """An embedding that reports its progress.

    Its constructor sets ``on_progress`` to None; latentkit may replace it before ``fit_transform``.
    Call it as often as you like. latentkit shows about ten calls a second, and always the first
    and the last step of each activity.
    """

    on_progress: Progress | None


@runtime_checkable
class ReadsLabels(Protocol):
    """An embedding that can be told the classes of its points.

    If ``reads_labels`` is true, latentkit calls ``fit_transform(vectors, labels)`` with integer
    labels (N,), -1 where one is missing, and says under the map that labels were used. It refuses
    to map points without labels.
    """

    reads_labels: bool


@runtime_checkable
class HasFacts(Protocol):
    """A fitted embedding that provides facts about its map.

    ``facts_`` holds JSON values by name, for instance the method that was chosen, the neighbours
    that were left out, or how exact the map is. latentkit writes them to the map's JSON file.
    """

    facts_: Mapping[str, Any]
