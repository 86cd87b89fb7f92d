"""Measuring harness that the parts of an evaluation card share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.errors import leaving_out
from latentkit.evaluation.baselines import PixelPCA
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.plugin.events import Notice
from latentkit.plugin.seeds import stream_seed
from latentkit.runs import run_files
from latentkit.runs.context import StageContext

Json = dict[str, Any]
T = TypeVar("T")

_MOST_KEPT = 32
_MOST_VALUES = 2**20  # largest size of principal components that is still cached
# Least-recently-used cache of results that do not depend on the model, by what they depend on.
_kept: dict[tuple[str | float, ...], Any] = {}


class MeasuringHarness:
    """Measuring harness: a run, the draws for intervals, per-image arrays and parts left out.

    Args:
        context: context of a run whose latents are committed.
    """

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.train = context.device_images("train")
        self.test = context.device_images("test")
        self.model = context.model
        self.left_out: list[Json] = []
        self.arrays: dict[str, NDArray[Any]] = {}

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Bootstrap draws of test images, shared by all intervals."""
        return Bootstrap(len(self.test), self.seed("bootstrap"))

    @cached_property
    def pca(self) -> PixelPCA:
        """PCA with as many dimensions as the model has, fitted on training images."""
        dimension = self.model.latent_dim
        if self.train.values_of_image * dimension > _MOST_VALUES:
            return PixelPCA.fit(self.train, dimension)
        return self.once(f"pca of {dimension}", lambda: PixelPCA.fit(self.train, dimension))

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

    def latents(self, split: str) -> NDArray[np.float32]:
        """Return the committed latents of a split."""
        latents: NDArray[np.float32] = self.context.folder.arrays(run_files.latents_path(split))[
            "latents"
        ]
        return latents

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
            self.context.emit(Notice("left-out", f"{part} is left out of the card: {why}"))

        with leaving_out(record):
            yield
