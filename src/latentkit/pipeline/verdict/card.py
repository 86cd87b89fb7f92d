"""The evaluation card: a model's figures on the test images, beside baselines, with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from latentkit.evaluation.bootstrap import CONFIDENCE
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.verdict.bounds import likelihood
from latentkit.pipeline.verdict.factors import disentanglement
from latentkit.pipeline.verdict.fidelities import reconstructions
from latentkit.pipeline.verdict.judge import Json, Judge
from latentkit.pipeline.verdict.knowledge import representation
from latentkit.pipeline.verdict.robustness import robustness
from latentkit.plugin.events import StageProgress
from latentkit.plugin.protocols import Generative, provides

PROTOCOL = 2
"""Version of the evaluation protocol; figures of different versions are not comparable."""


@dataclass(frozen=True)
class Card:
    """The evaluation card of a run.

    Args:
        document: every figure, as JSON.
        arrays: figures of each test image, (N,), to compare runs and to find the worst images.
    """

    document: Json
    arrays: dict[str, NDArray[Any]]


def make_card(context: RunContext) -> Card:
    """Evaluate a run's model in eval mode and float32, and return its card."""
    judge = Judge(context)
    document: Json = {
        "protocol": PROTOCOL,
        "split": "test",
        "n_images": len(judge.test),
        "latent_dim": judge.model.latent_dim,
        "seed": context.seed,
        "intervals": {
            "confidence": CONFIDENCE,
            "method": "bootstrap over test images",
            "resamples": judge.bootstrap.resamples,
        },
        "baselines": {},
    }
    parts = _parts(judge)
    for done, (name, make) in enumerate(parts):
        context.tell(StageProgress("evaluate", done, len(parts), name))
        found = make(judge)
        document["baselines"] |= found.pop("baselines", {})
        document |= found
    context.tell(StageProgress("evaluate", len(parts), len(parts), "done"))
    document["left_out"] = judge.left_out
    return Card(document, judge.arrays)


def _parts(judge: Judge) -> list[tuple[str, Callable[[Judge], Json]]]:
    """Return the parts of the card that apply to the run, with their names."""
    parts: list[tuple[str, Callable[[Judge], Json]]] = [("reconstruction", reconstructions)]
    if judge.context.corruption:
        parts.append(("robustness", robustness))
    parts.append(("representation", representation))
    if provides(judge.model, Generative):
        parts.append(("likelihood", likelihood))
    if judge.context.images("test").factors is not None:
        parts.append(("disentanglement", disentanglement))
    return parts
