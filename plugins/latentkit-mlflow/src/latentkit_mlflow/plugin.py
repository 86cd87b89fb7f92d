"""Hooks that log runs and studies to MLflow; ``LATENTKIT_MLFLOW=off`` disables them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from latentkit.plugin import hookimpl

if TYPE_CHECKING:
    from latentkit.plugin import EpochFinished, RunInfo, StudyInfo

LATENTKIT_HOOKSPEC_VERSION = 1


def _is_on() -> bool:
    return os.environ.get("LATENTKIT_MLFLOW", "").lower() not in ("0", "off", "no", "false")


# MLflow takes seconds to import, so it is imported at the first run and not by every command.


@hookimpl
def latentkit_run_started(run: RunInfo) -> None:
    """Start an MLflow run, or resume that of a resumed run."""
    if _is_on():
        from latentkit_mlflow.following import FOLLOWING

        FOLLOWING.run_started(run)


@hookimpl
def latentkit_epoch_finished(run: RunInfo, epoch: EpochFinished) -> None:
    """Log the losses of an epoch."""
    if _is_on():
        from latentkit_mlflow.following import FOLLOWING

        FOLLOWING.epoch_finished(run, epoch)


@hookimpl
def latentkit_run_finished(
    run: RunInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Log the evaluation card, and end the MLflow run."""
    if _is_on():
        from latentkit_mlflow.following import FOLLOWING

        FOLLOWING.run_finished(run, status, summary, error)


@hookimpl
def latentkit_study_started(study: StudyInfo) -> None:
    """Start the MLflow run that is the parent of the study's trials."""
    if _is_on():
        from latentkit_mlflow.following import FOLLOWING

        FOLLOWING.study_started(study)


@hookimpl
def latentkit_study_finished(
    study: StudyInfo, status: str, summary: Mapping[str, Any], error: str
) -> None:
    """Log the best trial, and end the parent run."""
    if _is_on():
        from latentkit_mlflow.following import FOLLOWING

        FOLLOWING.study_finished(study, status, summary, error)
