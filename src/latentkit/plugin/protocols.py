"""What the target of each kind must provide.

Images are float32 tensors (B, C, H, W) in [0, 1], latents float32 (B, latent_dim). These are
protocols: inherit from nothing, provide the methods.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
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
    """Return whether an object has all that a protocol names, wherever it has it from.

    ``isinstance`` does not see since Python 3.12 what comes by ``__getattr__``, and the layers of a
    ``torch.nn.Module`` come by it: a model may have an ``nn.Sequential`` as its ``encode``.
    """
    methods = [name for name in vars(protocol) if not name.startswith("_")]
    return all(hasattr(thing, name) for name in protocol.__annotations__) and all(
        getattr(thing, name, None) is not None for name in methods
    )


def is_capturable(model: object) -> bool:
    """Return whether a model says ``capturable = True``, see `Autoencoder`.

    The model itself or its own class must say so: where a class inherits it, the loss may be
    another one, that nobody vouches for.
    """
    return bool(vars(model).get("capturable", vars(type(model)).get("capturable", False)))


@runtime_checkable
class Autoencoder(Protocol):
    """A model: a ``torch.nn.Module`` with these methods beside it.

    It may say ``capturable = True``: that ``loss`` does the same at every step, from its
    ``warm_up_steps`` on where it has any, whatever the values in a batch; that it draws random
    numbers from torch's global state alone, and waits for none of its results on the CPU (no
    ``item()``, no ``if`` on a tensor). A GPU is then given each step as one CUDA graph, which makes
    small networks several times faster.
    """

    latent_dim: int

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to latents (B, latent_dim).

        Deterministic in eval mode: a model with a posterior gives its mean.
        """
        ...

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        ...

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> Mapping[str, Tensor]:
        """Return the loss terms of a batch, each a scalar; ``"loss"`` is what is minimised.

        Args:
            inputs: what the model sees (corrupted, if there is corruption).
            targets: the clean images that it should give.
            step: number of optimiser steps taken so far, from 0.
        """
        ...


@runtime_checkable
class Generative(Protocol):
    """What a model tagged ``"generative"`` has beside `Autoencoder`.

    Where its loss changes over its first steps (a KL warm-up), it states their number as
    ``warm_up_steps``: early stopping and the choice of the best epoch wait for them.
    """

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return mu and log_var of q(z | images), each (B, latent_dim)."""
        ...

    def sample(self, n: int, generator: Generator | None = None) -> Tensor:
        """Draw from the prior and decode: n images (n, C, H, W) in [0, 1]."""
        ...

    def log_likelihood(self, images: Tensor, samples: int) -> Tensor:
        """Return a lower bound of log p(images), (B,), in nats, from importance samples.

        With one sample it is an unbiased estimate of the ELBO.
        """
        ...


@runtime_checkable
class HasFeatures(Protocol):
    """A model that gives a classifier more than its latents.

    ``latentkit transfer`` puts its head on these where a model has them, else on ``encode``.
    """

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) in [0, 1] to features (B, F), such as the last hidden layer."""
        ...


class ModelTarget(Protocol):
    """Target of a `ModelSpec`."""

    def __call__(self, options: Any, image_shape: ImageShape) -> Autoencoder:
        """Build the network for images of ``image_shape``; each side is 8 or more.

        A model tagged ``"vectors"`` also takes vectors, as images of 1 x 1 x D from D = 1 up.
        Initial weights come from torch's global random state, which the core seeds.
        """
        ...


class DatasetTarget(Protocol):
    """Target of a `DatasetSpec`."""

    def __call__(self, options: Any, split: Split, cache: Path) -> ImageData:
        """Load one split.

        Args:
            options: the part's validated options.
            split: ``"train"`` or ``"test"``; the core takes validation images from train.
            cache: folder for downloads, shared by all data sets; may not exist yet.

        Raises:
            latentkit.errors.DataError: a file is missing or damaged.
            latentkit.errors.NetworkError: a download failed.
        """
        ...


class Corruption(Protocol):
    """What the target of a `CorruptionSpec` builds."""

    def __call__(self, images: Tensor, generator: Generator) -> Tensor:
        """Return corrupted images: new memory, same shape and device, in [0, 1].

        Every random number comes from ``generator``, which lives on the device of the images.
        At zero strength it is the identity.
        """
        ...


@dataclass(frozen=True)
class ResourceEstimate:
    """What fitting an embedding will need: peak memory in bytes, time in seconds on two cores."""

    bytes: int
    seconds: float


class Embedding(Protocol):
    """What the target of an `EmbeddingSpec` builds: scikit-learn's estimator conventions.

    May also have ``transform(vectors)`` for new points (then it is not tagged transductive),
    ``inverse_transform(coordinates)`` (tag ``"inverse"``), ``estimate(n, d) ->
    ResourceEstimate``, which the core asks before it starts, and what `ReportsProgress` and
    `HasFacts` say.
    """

    def fit_transform(self, vectors: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Map vectors (N, D) to coordinates (N, n_components), finite, deterministic by seed."""
        ...


@runtime_checkable
class SupportsEstimate(Protocol):
    """An embedding that knows what it will need."""

    def estimate(self, n: int, d: int) -> ResourceEstimate:
        """Return memory and time for ``n`` vectors of ``d`` dimensions."""
        ...


Progress = Callable[[int, int, str], None]
"""Told how far work is: steps done, steps in all (0 where not known), what is being done."""


@runtime_checkable
class ReportsProgress(Protocol):
    """An embedding that tells how far it is.

    Its constructor leaves ``on_progress`` None; the core may set it before ``fit_transform``.
    Call it as often as you like: the core shows about ten calls a second, and always the first
    and the last step of what is being done.
    """

    on_progress: Progress | None


@runtime_checkable
class HasFacts(Protocol):
    """A fitted embedding that has something to say to the map's reader.

    ``facts_`` holds JSON values by name: the method that was chosen, neighbours that were left
    out, how exact the map is. The core writes it into the map's JSON file.
    """

    facts_: Mapping[str, Any]
