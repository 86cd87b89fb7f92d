"""What is worth saying of a study before it begins."""

from __future__ import annotations

from latentkit.plugin.events import Notice
from latentkit.tuning.folder import StudyPlan

_LATENT_DIM = "model.latent_dim"
_BETA = "model.beta"
_RATE = "training.learning_rate"
_RECONSTRUCTION = ("loss", "mse", "psnr", "ssim")


def advice(plan: StudyPlan) -> list[Notice]:
    """Return what a user may not expect of the study that was asked for."""
    notices = []
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
    elif (
        _prunes(plan) and _RATE in plan.space and plan.config["training"]["schedule"] == "one-cycle"
    ):
        notices.append(
            Notice(
                "early-epochs-mislead",
                "a one-cycle schedule ends best with a learning rate that looks bad in its first "
                "epochs, and pruning goes by these: trials of few epochs that are run to their end "
                "(--epochs 3 --tuner-option pruner=none) judge rates by whole schedules; then "
                "train the best options for longer",
                "info",
            )
        )
    return notices


def _prunes(plan: StudyPlan) -> bool:
    """Return whether the tuner gives trials up early: one that does has an option for it."""
    return str(plan.tuner.get("pruner", "none")) != "none"


def _foregone(plan: StudyPlan) -> list[Notice]:
    """Say of options that are searched which end of their range will win in any case."""
    notices = []
    if _LATENT_DIM in plan.space:
        notices.append(
            Notice(
                "latent-dim-searched",
                "more latent dimensions always reconstruct better, so the most of them will win: "
                "fix their number (-o model.latent_dim=16), or add an objective such as knn",
                "info",
            )
        )
    if _BETA in plan.space:
        notices.append(
            Notice(
                "beta-searched",
                "the less the KL weighs, the less the loss is, so the least beta will win: fix it "
                "(-o model.beta=1), or choose an objective such as elbo or knn",
                "info",
            )
        )
    corruptions = {part["name"] for part in plan.config.get("corruption", ())}
    strengths = [key for key in plan.space if key.rpartition(".")[0] in corruptions]
    if strengths:
        notices.append(
            Notice(
                "corruption-searched",
                f"what is less corrupted is better reconstructed, so the weakest corruption will "
                f"win: fix its strength (--fix {strengths[0]}), or choose an objective such as knn",
                "info",
            )
        )
    return notices
