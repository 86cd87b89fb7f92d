"""The stage ``objective``, which measures a trial's model on the validation images.

A study does not use the test images, because they measure the model that it ends with.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.evaluation.clusters import (
    adjusted_rand_index,
    indicators,
    k_means,
    matched_accuracy,
    normalised_mutual_information,
)
from latentkit.evaluation.disentanglement import Disentanglement, measure_disentanglement
from latentkit.evaluation.fidelity import Fidelity, fidelity
from latentkit.evaluation.inference import encode, reconstruction
from latentkit.evaluation.likelihood import LikelihoodCard, likelihood_card
from latentkit.evaluation.probes import knn_probe, linear_probe
from latentkit.pipeline.context import DATA, HISTORY, MODEL, OBJECTIVE, RunContext, Workshop
from latentkit.pipeline.stages import Stage
from latentkit.plugin.protocols import Generative
from latentkit.plugin.seeds import stream_seed
from latentkit.tuning.goals import Goal

_STAGE = "objective"


def objective_stage(goals: Sequence[Goal]) -> Stage:
    """Return the stage that measures a trial's model and commits the value of each goal."""

    def measure(context: RunContext) -> None:
        history = context.folder.json(HISTORY)
        terms = history["epochs"][history["weights_epoch"] - 1]["validation"]
        figures = _Figures(context)
        values = {goal.name: _value(goal, terms, figures) for goal in goals}
        context.folder.commit_json(OBJECTIVE, _STAGE, {"split": "validation", "values": values})

    names = ",".join(goal.name for goal in goals)
    return Stage(_STAGE, measure, reads=(DATA, MODEL, HISTORY), settings=names)


def check_goals(goals: Sequence[Goal], workshop: Workshop) -> None:
    """Refuse goals that the data or the model cannot provide.

    Raises:
        UserError: names the goal and what is missing; or trials have no epochs.
    """
    if workshop.config.training.epochs == 0:
        raise UserError("a study compares trained models: set --epochs to 1 or more")
    images = workshop.images("train")
    has = {
        "": True,
        "labels": images.labels is not None,
        "factors": images.factors is not None,
        "generative": isinstance(workshop.new_model(), Generative),
    }
    for goal in goals:
        if not has[goal.needs]:
            whose = "model" if goal.needs == "generative" else "data set"
            part = workshop.config.model if whose == "model" else workshop.config.dataset
            what = {"generative": "is not generative"}.get(goal.needs, f"has no {goal.needs}")
            raise UserError(
                f"objective {goal.name!r} cannot be measured: {whose} {part.name!r} {what}; choose "
                f"another, such as --objective mse"
            )


def _value(goal: Goal, terms: Mapping[str, float], figures: _Figures) -> float:
    if goal.term and goal.term in terms:
        return float(terms[goal.term])
    if goal.name not in _MEASURES:
        raise UserError(
            f"objective {goal.name!r} is no term of the model's loss, which has {', '.join(terms)}"
        )
    return float(_MEASURES[goal.name](figures))


class _Figures:
    """Measurements for the goals, each made on first use, in eval mode and float32."""

    def __init__(self, context: RunContext) -> None:
        self._context = context
        self._validation = context.device_images("validation")

    @cached_property
    def fidelity(self) -> Fidelity:
        """Fidelity of reconstructions, from corrupted input if the run has a corruption."""
        context = self._context
        noise = context.evaluation_noise() if context.corruption else None
        return fidelity(self._validation, reconstruction(context.model), noise)

    @cached_property
    def likelihood(self) -> LikelihoodCard:
        return likelihood_card(self._context.model, self._validation, self._seed("likelihood"))

    @cached_property
    def disentanglement(self) -> Disentanglement:
        factors, split = self._context.images("train").factors, self._context.split
        assert factors is not None  # noqa: S101  # ensured by `check_goals`
        train, validation = self.latents
        seed = self._seed("disentanglement")
        return measure_disentanglement(
            train, factors[split.train], validation, factors[split.validation], seed
        )

    @cached_property
    def clusters(self) -> NDArray[np.float64]:
        """Number of validation images by cluster and class, (clusters, classes)."""
        train, validation = self.latents
        _, truth = self.labels
        classes = len(np.unique(truth))
        found = k_means(train, validation, classes, self._seed("k-means"))
        shape = (int(found.max()) + 1, int(truth.max()) + 1)
        counts: NDArray[np.float64] = indicators(found, truth).sum(0).reshape(shape)
        return counts

    @cached_property
    def latents(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Latents of the training and of the validation images."""
        model = self._context.model
        return encode(model, self._context.device_images("train")), encode(model, self._validation)

    @cached_property
    def labels(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        labels, split = self._context.images("train").labels, self._context.split
        assert labels is not None  # noqa: S101  # ensured by `check_goals`
        return labels[split.train], labels[split.validation]

    def accuracy(self, probe: Callable[..., NDArray[np.int64]]) -> float:
        train, validation = self.latents
        labels, truth = self.labels
        return float((probe(train, labels, validation) == truth).mean())

    def _seed(self, name: str) -> int:
        return stream_seed(self._context.seed, "objective", name)


_MEASURES: dict[str, Callable[[_Figures], Any]] = {
    "mse": lambda figures: figures.fidelity.mse.mean(),
    "psnr": lambda figures: figures.fidelity.psnr.mean(),
    "ssim": lambda figures: figures.fidelity.ssim.mean(),
    "knn": lambda figures: figures.accuracy(knn_probe),
    "linear": lambda figures: figures.accuracy(linear_probe),
    "kmeans": lambda figures: matched_accuracy(figures.clusters),
    "nmi": lambda figures: normalised_mutual_information(figures.clusters),
    "ari": lambda figures: adjusted_rand_index(figures.clusters),
    "elbo": lambda figures: figures.likelihood.elbo.mean(),
    "importance-weighted": lambda figures: figures.likelihood.importance_weighted.mean(),
    "kl": lambda figures: figures.likelihood.kl.mean(),
    "active-dimensions": lambda figures: figures.likelihood.active.sum(),
    "mig": lambda figures: figures.disentanglement.mig,
    "disentanglement": lambda figures: figures.disentanglement.disentanglement,
    "completeness": lambda figures: figures.disentanglement.completeness,
    "informativeness": lambda figures: figures.disentanglement.informativeness.mean(),
    "sap": lambda figures: figures.disentanglement.sap,
}
