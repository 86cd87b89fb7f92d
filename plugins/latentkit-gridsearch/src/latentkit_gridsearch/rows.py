"""The two SQLite tables of studies and trials; values are stored as JSON."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from typing import Any

from latentkit.plugin import SearchChoice, SearchDomain, TrialRecord, TrialState
from latentkit_gridsearch.owners import Owner

STUDIES = """
CREATE TABLE IF NOT EXISTS gridsearch_studies (
  name TEXT PRIMARY KEY, identity TEXT NOT NULL, plan TEXT NOT NULL, directions TEXT NOT NULL
)
"""
TRIALS = """
CREATE TABLE IF NOT EXISTS gridsearch_trials (
  study TEXT NOT NULL, number INTEGER NOT NULL, state TEXT NOT NULL, params TEXT NOT NULL,
  results TEXT NOT NULL DEFAULT '[]', error TEXT NOT NULL DEFAULT '',
  reports TEXT NOT NULL DEFAULT '{}', notes TEXT NOT NULL DEFAULT '{}',
  spent REAL NOT NULL DEFAULT 0, began REAL NOT NULL, beat REAL NOT NULL,
  token TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, created REAL NOT NULL,
  PRIMARY KEY (study, number)
)
"""
"""``spent`` is the time of earlier attempts in seconds, ``beat`` the owner's last sign of life."""


def owner_of(row: sqlite3.Row) -> Owner:
    """Return the worker that last ran the trial."""
    return Owner(row["token"], row["host"], row["pid"], row["created"])


def state_of(row: sqlite3.Row, now: float, grace: float) -> TrialState:
    """Return the trial's state; a running trial whose owner is dead is waiting."""
    state: TrialState = row["state"]
    if state == "running" and not owner_of(row).alive(now - row["beat"], grace):
        return "waiting"
    return state


def seconds_of(row: sqlite3.Row, state: TrialState, now: float) -> float:
    """Return the trial's total running time in seconds."""
    if row["state"] != "running":
        return float(row["spent"])
    return float(
        row["spent"] + max(0.0, (now if state == "running" else row["beat"]) - row["began"])
    )


def record_of(
    row: sqlite3.Row, space: Mapping[str, SearchDomain], now: float, grace: float
) -> TrialRecord:
    """Convert a row to a `TrialRecord`."""
    state = state_of(row, now, grace)
    return TrialRecord(
        number=row["number"],
        state=state,
        params=params_of(row["params"], space),
        values=tuple(json.loads(row["results"])),
        seconds=seconds_of(row, state, now),
        reports={int(epoch): value for epoch, value in json.loads(row["reports"]).items()},
        notes=json.loads(row["notes"]),
        error=row["error"],
    )


def params_of(text: str, space: Mapping[str, SearchDomain]) -> dict[str, Any]:
    """Return stored parameters.

    JSON has no tuples, so choices are found by comparing their JSON.
    """
    return {name: _value(value, space.get(name)) for name, value in json.loads(text).items()}


def _value(stored: Any, domain: SearchDomain | None) -> Any:
    if not isinstance(domain, SearchChoice):
        return stored
    return {json.dumps(value): value for value in domain.values}.get(json.dumps(stored), stored)
