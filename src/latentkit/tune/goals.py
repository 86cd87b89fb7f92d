"""Goals of a study: the validation loss, or a result of the evaluation on validation images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from latentkit.errors import UserError, did_you_mean
from latentkit.plugin.studies import Direction

Need = Literal["", "labels", "factors", "generative", "decoder"]

VALIDATION = "validation."
DEFAULT_GOAL = "loss"


@dataclass(frozen=True)
class Goal:
    """One objective of a study.

    Args:
        name: name with which users choose it.
        label: name in tables and figures.
        direction: whether smaller or larger values are better.
        needs: what the data or the model must provide.
        term: term of the validation loss that equals the goal. If the model has the term, each
            epoch gives its value. Empty if the goal is always measured on the trained model.
    """

    name: str
    label: str
    direction: Direction
    needs: Need = ""
    term: str = ""


_GOALS = (
    Goal("loss", "validation loss", "minimize", term="loss"),
    Goal("mse", "validation MSE", "minimize", "decoder", term="mse"),
    Goal("psnr", "validation PSNR, dB", "maximize", "decoder"),
    Goal("ssim", "validation SSIM", "maximize", "decoder"),
    Goal("knn", "10-NN accuracy", "maximize", "labels"),
    Goal("linear", "linear probe accuracy", "maximize", "labels"),
    Goal("kmeans", "k-means accuracy", "maximize", "labels"),
    Goal("nmi", "k-means NMI", "maximize", "labels"),
    Goal("ari", "k-means ARI", "maximize", "labels"),
    Goal("elbo", "ELBO, nats", "maximize", "generative"),
    Goal("importance-weighted", "importance-weighted bound, nats", "maximize", "generative"),
    Goal("kl", "KL, nats", "minimize", "generative"),
    Goal("active-dimensions", "active dimensions", "maximize", "generative"),
    Goal("mig", "MIG", "maximize", "factors"),
    Goal("disentanglement", "DCI disentanglement", "maximize", "factors"),
    Goal("completeness", "DCI completeness", "maximize", "factors"),
    Goal("informativeness", "DCI informativeness", "maximize", "factors"),
    Goal("sap", "SAP", "maximize", "factors"),
)
GOALS = {goal.name: goal for goal in _GOALS}
_OTHER_NAMES = {"reconstruction": "mse"}


def choose_goals(names: Sequence[str]) -> tuple[Goal, ...]:
    """Return the goals of these names; without names, the validation loss.

    ``validation.TERM`` is a term of the model's loss, which the study minimises.

    Raises:
        UserError: a name is unknown, or is given twice.
    """
    goals = tuple(map(_choose, names or (DEFAULT_GOAL,)))
    for goal in goals:
        if goals.count(goal) > 1:
            raise UserError(f"objective {goal.name!r} is given twice: give it once")
    return goals


def _choose(name: str) -> Goal:
    if name.startswith(VALIDATION) and name != VALIDATION:
        term = name.removeprefix(VALIDATION)
        return Goal(name, f"validation {term}", "minimize", term=term)
    name = _OTHER_NAMES.get(name, name)
    if name not in GOALS:
        known = [*GOALS, *_OTHER_NAMES]
        raise UserError(
            f"there is no objective {name!r}{did_you_mean(name, known)}: choose "
            f"from {', '.join(known)}, and {VALIDATION}TERM for a term of the model's loss"
        )
    return GOALS[name]
