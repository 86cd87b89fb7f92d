"""Notices about a study, shown before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentkit.plugin.events import Notice
from latentkit.tune.study_folder import StudyPlan

_LATENT_DIM = "model.latent_dim"
_BETA = "model.beta"
_RATE = "training.learning_rate"
_RECONSTRUCTION = ("loss", "mse", "psnr", "ssim")


def advice(plan: StudyPlan) -> list[Notice]:
    """Return notices about the images, and about effects that a user may not expect."""
    notices = [Notice("images", note, "info") for note in plan.notes]
    if set(plan.objectives) <= {*_RECONSTRUCTION}:
        notices += _foregone(plan)
    if len(plan.objectives) > 1:
        notices.append(
            Notice("not-pruned", "with several objectives every trial is run to its end", "info")
        )
    elif not plan.goals[0].term:
        notices.append(
            Notice(
                "not-pruned",
                f"objective {plan.objectives[0]!r} is measured at the end of a trial, so every "
                f"trial is run to its end",
                "info",
            )
        )
    elif _prunes(plan) and _RATE in plan.space and _schedule(plan) == "one-cycle":
        notices.append(
            Notice(
                "early-epochs-mislead",
                "with a one-cycle schedule, the best learning rates look bad in the first epochs, "
                "so pruning stops them: compare rates with short trials that run to their end "
                "(--epochs 3 --tuner-option pruner=none), then train the best options for longer",
                "info",
            )
        )
    return notices


def _prunes(plan: StudyPlan) -> bool:
    """Return whether the tuner stops trials early; such a tuner has an option ``pruner``."""
    return str(plan.tuner.get("pruner", "none")) != "none"


def _schedule(plan: StudyPlan) -> Any:
    training = plan.config.get("training")
    return training.get("schedule") if isinstance(training, Mapping) else None


def _foregone(plan: StudyPlan) -> list[Notice]:
    """Return a notice for each searched option whose best value is known in advance."""
    notices = []
    if _LATENT_DIM in plan.space:
        notices.append(
            Notice(
                "latent-dim-searched",
                "more latent dimensions always reconstruct better, so the largest number wins: "
                "fix their number (-o model.latent_dim=16), or add an objective such as knn",
                "info",
            )
        )
    if _BETA in plan.space:
        notices.append(
            Notice(
                "beta-searched",
                "a smaller beta always gives a smaller loss, so the smallest beta wins: fix it "
                "(-o model.beta=1), or choose an objective such as elbo or knn",
                "info",
            )
        )
    corruptions = {part.get("name") for part in plan.config.get("corruption", ())}
    strengths = [key for key in plan.space if key.rpartition(".")[0] in corruptions]
    if strengths:
        notices.append(
            Notice(
                "corruption-searched",
                f"less corrupted images are always reconstructed better, so the weakest corruption "
                f"wins: fix its strength (--fix {strengths[0]}) or choose an objective such as knn",
                "info",
            )
        )
    return notices
