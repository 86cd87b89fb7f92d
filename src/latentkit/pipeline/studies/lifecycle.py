"""Notification of plugins when a study starts and ends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from latentkit.errors import describe_error
from latentkit.pipeline.execute import notifier
from latentkit.pipeline.studies.outcome import best_run
from latentkit.pipeline.studies.search import Search
from latentkit.plugin.studies import StudyResult
from latentkit.tuning.folder import StudyFolder
from latentkit.tuning.info import study_info


@contextmanager
def watched(search: Search) -> Iterator[dict[str, Any]]:
    """Notify plugins that a study starts and, after the block, how it ended.

    Yields:
        The summary, which the block fills.
    """
    info, summary = study_info(search.study), dict[str, Any]()
    notify = partial(notifier(search.registry, search.tell), study=info)
    notify("latentkit_study_started")
    status, error = "failed", ""
    try:
        yield summary
        status = "finished"
    except KeyboardInterrupt:
        status = "interrupted"
        raise
    except Exception as failure:
        error = describe_error(failure)
        raise
    finally:
        figures = summary if status == "finished" else {}
        notify("latentkit_study_finished", status=status, summary=figures, error=error)


def summarise_study(study: StudyFolder, result: StudyResult) -> dict[str, Any]:
    """Return the JSON summary that the hook `latentkit_study_finished` receives."""
    states = Counter(trial.state for trial in result.trials)
    summary: dict[str, Any] = {"trials": dict(states)}
    best = result.best
    if best is not None:
        run = best_run(study, result)
        labels = [goal.label for goal in study.plan.goals]
        summary |= {
            "best_trial": best.number,
            "best_values": dict(zip(labels, best.values, strict=True)),
            "best_params": dict(best.params),
            "best_run": None if run is None else str(run),
        }
    return summary
