"""The tables of a study: its facts, its search space and every trial."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from latentkit.pipeline.studies.drawings import SearchedStudy
from latentkit.plugin.options import SearchChoice, SearchDomain, option_text
from latentkit.report.parts import Table

_STATES = {
    "complete": "completed",
    "pruned": "pruned",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
}
_NOTHING = "–"


def head_tables(study: SearchedStudy, facts: Sequence[tuple[str, str]]) -> list[Table]:
    """Return the facts of a study and its search space."""
    rows = [*facts, ("Trials", counts_text(study)), *best_rows(study)]
    searched = [(name, _domain_text(domain)) for name, domain in study.space.items()]
    return [Table("", ("", "value"), rows), Table("Searched", ("parameter", "values"), searched)]


def counts_text(study: SearchedStudy) -> str:
    """Return the number of trials in each state, as text."""
    counts = Counter(_STATES[trial.state] for trial in study.result.trials)
    parts = [f"{counts[name]:,} {name}" for name in _STATES.values() if counts[name]]
    return ", ".join(parts) or "none"


def best_rows(study: SearchedStudy) -> list[tuple[str, str]]:
    """Return the best value of each objective, with its trial."""
    found = []
    for goal in study.goals:
        best = goal.best(study.result.trials)
        which = "Least" if goal.direction == "minimize" else "Greatest"
        if best is not None:
            text = f"{number_text(goal.value(best))} (trial {best.number})"
            found.append((f"{which} {goal.name}", text))
    return found


def trial_tables(study: SearchedStudy) -> list[Table]:
    """Return a table with a row for each trial, and one with the errors of failed trials."""
    result = study.result
    alone = len(study.goals) == 1
    chosen = {t.number for t in ([result.best] if alone else result.front) if t is not None}
    mark = "best" if alone else "front"
    header = ("trial", "state", *(goal.name for goal in study.goals), "epochs", "seconds")
    rows = [
        (
            f"{trial.number} ({mark})" if trial.number in chosen else str(trial.number),
            _STATES[trial.state],
            *(number_text(goal.value(trial)) for goal in study.goals),
            str(max(trial.reports)) if trial.reports else _NOTHING,
            f"{trial.seconds:.1f}",
            *_parameter_texts(trial.params, study.space),
        )
        for trial in result.trials
    ]
    tables = [Table("", (*header, *_short_names(study.space)), rows)]
    failed = [(str(trial.number), trial.error) for trial in result.trials if trial.error]
    return [*tables, Table("Failures", ("trial", "why"), failed)] if failed else tables


def _short_names(space: Mapping[str, SearchDomain]) -> list[str]:
    """Return parameter names without their part if the short names are unique."""
    short = [name.rpartition(".")[2] for name in space]
    return short if len(set(short)) == len(short) else list(space)


def _parameter_texts(params: Mapping[str, Any], space: Mapping[str, SearchDomain]) -> list[str]:
    return [option_text(params[name]) if name in params else _NOTHING for name in space]


def number_text(value: float) -> str:
    """Return an objective's value as text; a dash for NaN, which means no value."""
    return _NOTHING if value != value else f"{value:.5g}"


def _domain_text(domain: SearchDomain) -> str:
    if isinstance(domain, SearchChoice):
        return ", ".join(option_text(value) for value in domain.values)
    text = f"{option_text(domain.low)} to {option_text(domain.high)}"
    if domain.step is not None:
        return f"{text} in steps of {option_text(domain.step)}"
    return f"{text}, on a log scale" if domain.log else text
