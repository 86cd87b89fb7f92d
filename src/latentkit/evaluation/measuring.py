"""Measuring harness that the parts of an evaluation card share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.errors import leaving_out, unexpected_content
from latentkit.evaluation.baselines import DIRECT, MOST_VALUES, PixelPCA
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.plugin.seeds import stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import RunContext
from latentkit.runs.folder import RunFolder

Json = dict[str, Any]
T = TypeVar("T")

MOST_TRAIN = 60_000
"""Most training images that baselines encode, and that probes and k-means may be fitted on."""
MOST_TEST = 10_000
"""Most test images that probes and k-means are measured on."""

MOST_PROBED = 3_072
"""Most pixels of an image that probes are fitted on; larger images are reduced."""

_MOST_KEPT = 32
_MOST_KEPT_VALUES = 2**20  # largest size of principal components that is still cached
# Least-recently-used cache of results that do not depend on the model, by what they depend on.
_kept: dict[tuple[str | float, ...], Any] = {}


def card_bytes(n_train: int, n_test: int, values: int, latent_dim: int) -> int:
    """Return about how many bytes the card takes: pixels for probes, or principal components.

    Args:
        n_train: number of training images.
        n_test: number of test images.
        values: number of values in an image.
        latent_dim: dimensions of the latents.
    """
    pixels = 4 * (min(n_train, MOST_TRAIN) + min(n_test, MOST_TEST)) * min(values, MOST_PROBED)
    side = min(n_train, values, DIRECT)
    return max(2 * pixels, 8 * (3 * side**2 + 3 * values * latent_dim))


class MeasuringHarness:
    """Measuring harness: a run, the draws for intervals, per-image arrays and parts left out.

    Reconstructions and latents are measured on every test image. What takes memory or time in
    proportion to images times pixels is measured on images drawn here, if there are more than
    `MOST_TRAIN`, `MOST_TEST` or `latentkit.evaluation.baselines.MOST_VALUES` allow, and the card
    says so.

    Args:
        context: the run.
        model: its trained model.
        latents: its latents (N, latent_dim) of ``train`` and ``test`` images.
        emit: receives progress, and notices of parts that are left out.
    """

    def __init__(
        self,
        context: RunContext,
        model: Any,
        latents: Mapping[str, NDArray[np.float32]],
        emit: Listener = ignore,
    ) -> None:
        self.context = context
        self.model = model
        self.latents = latents
        self.emit = emit
        self.train = context.device_images("train")
        self.test = context.device_images("test")
        self.left_out: list[Json] = []
        self.sampled: list[str] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Bootstrap draws of test images, shared by all intervals."""
        return Bootstrap(len(self.test), self.seed("bootstrap"))

    @cached_property
    def pca(self) -> PixelPCA:
        """PCA with as many dimensions as the model has, fitted on training images."""
        dimension, rows = self.model.latent_dim, self.pca_train
        images = self.train if rows is None else self.train.subset(rows)
        if self.train.values_of_image * dimension > _MOST_KEPT_VALUES:
            return PixelPCA.fit(images, dimension)
        return self.once(f"pca of {dimension}", lambda: PixelPCA.fit(images, dimension))

    @cached_property
    def pca_train(self) -> NDArray[np.int64] | None:
        """Positions of the training images that PCA is fitted on; None for all."""
        most = max(MOST_VALUES // self.train.values_of_image, 2 * self.model.latent_dim)
        return self.drawn("PCA is fitted on", "training", len(self.train), most, "pca items")

    @cached_property
    def probed_train(self) -> NDArray[np.int64] | None:
        """Positions of the training images that probes are fitted on; None for all."""
        what = "probes and k-means are fitted on"
        return self.drawn(what, "training", len(self.train), MOST_TRAIN, "training items")

    @cached_property
    def probed_test(self) -> NDArray[np.int64] | None:
        """Rows of the test images that probes are measured on; None for all.

        They do not depend on the run's seed, so that runs can be compared image by image.
        """
        what = "probes and k-means are measured on"
        return self.drawn(what, "test", len(self.test), MOST_TEST, "")

    def drawn(
        self, what: str, split: str, n: int, most: int, name: str
    ) -> NDArray[np.int64] | None:
        """Draw ``most`` of n images without replacement, in ascending order, and record it.

        Args:
            what: the start of the sentence that the card says about it.
            split: which images they are, for that sentence.
            n: number of images.
            most: number of images to draw.
            name: name of the draw's seed; empty for a draw that is the same in every run.

        Returns:
            (most,), or None if there are not more than ``most`` images.
        """
        if n <= most:
            return None
        self.sampled.append(f"{what} {most:,} of {n:,} {split} images, drawn at random")
        seed = self.seed(name) if name else stream_seed(0, "evaluation", "test items")
        return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return the result of ``make``, cached within the process.

        The result must not depend on the model. Runs with the same images, split, seed, device
        and number of threads share it, so only the first of them computes it.
        """
        images = (self.context.images("train").digest(), self.context.images("test").digest())
        split = (self.context.seed, self.context.config.split.validation)
        key = (name, *images, *split, str(self.train.device), torch.get_num_threads())
        made = _kept.pop(key, None)
        _kept[key] = made = make() if made is None else made
        while len(_kept) > _MOST_KEPT:
            _kept.pop(next(iter(_kept)), None)
        return deepcopy(made)

    @cached_property
    def test_labels(self) -> NDArray[np.int64] | None:
        """Labels (N,) of the test images, or None if they have no labels."""
        return self.context.images("test").labels

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return self.context.images("test").class_names

    def seed(self, name: str) -> int:
        """Return the seed for a named part of the card."""
        return stream_seed(self.context.seed, "evaluation", name)

    def mean(self, values: NDArray[Any]) -> Json:
        """Return the mean of values (N,), one for each test image, with its interval."""
        return asdict(self.bootstrap.of_mean(values))

    def leave_out(self, part: str, why: str) -> None:
        """Record that a part of the card cannot be made, and why."""
        self.left_out.append({"part": part, "why": why})

    @contextmanager
    def optional(self, part: str) -> Iterator[None]:
        """Go on without a part of the card if measuring it fails; errors as `leaving_out`."""

        def record(why: str) -> None:
            self.leave_out(part, why)
            self.emit(Notice("left-out", f"{part} is left out of the card: {why}"))

        with leaving_out(record):
            yield


def outside_training(folder: RunFolder, n: int) -> tuple[NDArray[np.bool_], dict[str, int]]:
    """Return which of n test images are not also training images, and the numbers of the others.

    The record of the run's images says which they are. The numbers are ``n_equal`` and ``n_near``.

    Raises:
        IntegrityError: the record has another structure.
    """
    alone = np.ones(n, dtype=bool)
    with unexpected_content(folder.path / run_files.DATA):
        recorded = folder.json(run_files.DATA).get("duplicates", {})
        for rows in recorded.values():
            alone[np.array(rows, np.int64)] = False
        return alone, {f"n_{kind}": len(rows) for kind, rows in recorded.items()}
