"""The stored record of one study: workers claim, update, finish and release its trials."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from latentkit.errors import UserError
from latentkit.plugin import StudyResult, StudyTask, TrialState
from latentkit_gridsearch import rows
from latentkit_gridsearch.database import Database
from latentkit_gridsearch.owners import Owner

_FINISHED: tuple[TrialState, ...] = ("complete", "pruned", "failed")
_OF_OWNER = "study = ? AND number = ? AND token = ? AND state = 'running'"


@dataclass(frozen=True)
class Claim:
    """A trial that exactly one worker may run.

    Args:
        number: number of the trial.
        params: its parameters.
        reports: values reported before it was interrupted, by epoch.
        notes: notes from before it was interrupted.
    """

    number: int
    params: Mapping[str, Any]
    reports: dict[int, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class Records:
    """The record of one study.

    Args:
        database: file with the study.
        task: the study.
        plan: how parameters are made, in words; all trials of a study share one plan.
        grace: seconds of silence after which a worker on another machine counts as dead.
    """

    def __init__(self, database: Database, task: StudyTask, plan: str, grace: float) -> None:
        self._database = database
        self._task = task
        self._plan = plan
        self._grace = grace

    def begin(self) -> None:
        """Create the study if it does not exist.

        Raises:
            UserError: a different study of this name is stored.
            RecordsError: the file cannot be written.
        """

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(rows.STUDIES)
            connection.execute(rows.TRIALS)
            task = self._task
            given = (task.name, task.identity, self._plan, json.dumps(task.directions))
            connection.execute(
                "INSERT OR IGNORE INTO gridsearch_studies VALUES (?, ?, ?, ?)", given
            )
            (stored,) = connection.execute(
                "SELECT * FROM gridsearch_studies WHERE name = ?", (task.name,)
            )
            _refuse_another(tuple(stored), given)

        self._database.write(work)

    def claim(
        self, owner: Owner, params: Callable[[int], Mapping[str, Any]], trials: int
    ) -> Claim | Literal["wait", "over"]:
        """Claim the trial to run next.

        Args:
            owner: the worker that claims it.
            params: function that returns the parameters of a new trial by its number.
            trials: number of trials that the study should have.

        Returns:
            The trial; ``"wait"`` if other workers run all remaining trials, because these workers
            may die; ``"over"`` if no trial remains.
        """

        def work(connection: sqlite3.Connection) -> Claim | Literal["wait", "over"]:
            now = time.time()
            found = self._rows(connection)
            states = [rows.state_of(row, now, self._grace) for row in found]
            running = states.count("running")
            if running + sum(map(states.count, _FINISHED)) >= trials:
                return "wait" if running else "over"
            if "waiting" in states:
                return self._take(connection, found[states.index("waiting")], owner, now)
            if len(found) < trials:
                return self._add(connection, len(found), params(len(found)), owner, now)
            return "wait" if running else "over"

        return self._database.write(work)

    def tell(self, owner: Owner, claim: Claim) -> None:
        """Store the reports and notes of a claimed trial."""
        told = (json.dumps(claim.reports), json.dumps(claim.notes))
        self._update(f"reports = ?, notes = ? WHERE {_OF_OWNER}", *told, *self._key(owner, claim))

    def finish(
        self,
        owner: Owner,
        claim: Claim,
        state: TrialState,
        values: Sequence[float] = (),
        error: str = "",
    ) -> None:
        """Store the outcome of a trial, unless another worker has claimed it meanwhile."""
        now = time.time()
        self._update(
            f"state = ?, results = ?, error = ?, spent = spent + max(0, ? - began), beat = ? "
            f"WHERE {_OF_OWNER}",
            *(state, json.dumps(list(values)), error, now, now),
            *self._key(owner, claim),
        )

    def beat(self, owner: Owner) -> None:
        """Update the last sign of life of the trial that the owner runs."""
        self._update("beat = ? WHERE token = ? AND state = 'running'", time.time(), owner.token)

    def release(self, owner: Owner) -> None:
        """Release the owner's unfinished trial, so that another worker can run it."""
        self._update(
            "state = 'waiting', spent = spent + max(0, ? - began) "
            "WHERE token = ? AND state = 'running'",
            *(time.time(), owner.token),
        )

    def load(self) -> StudyResult | None:
        """Return the stored study, or None if there is none."""
        if not self._database.path.exists():
            return None

        def work(connection: sqlite3.Connection) -> StudyResult | None:
            tables = "SELECT 1 FROM sqlite_master WHERE name = 'gridsearch_trials'"
            if connection.execute(tables).fetchone() is None:
                return None
            study = connection.execute(
                "SELECT directions FROM gridsearch_studies WHERE name = ?", (self._task.name,)
            ).fetchone()
            if study is None:
                return None
            now, space = time.time(), self._task.space
            found = self._rows(connection)
            return StudyResult(
                self._task.name,
                tuple(json.loads(study["directions"])),
                tuple(rows.record_of(row, space, now, self._grace) for row in found),
            )

        return self._database.read(work)

    def _rows(self, connection: sqlite3.Connection) -> list[sqlite3.Row]:
        query = "SELECT * FROM gridsearch_trials WHERE study = ? ORDER BY number"
        return connection.execute(query, (self._task.name,)).fetchall()

    def _key(self, owner: Owner, claim: Claim) -> tuple[Any, ...]:
        return (self._task.name, claim.number, owner.token)

    def _update(self, change: str, *values: Any) -> None:
        statement = f"UPDATE gridsearch_trials SET {change}"  # noqa: S608
        self._database.write(lambda connection: connection.execute(statement, values).rowcount)

    def _take(
        self, connection: sqlite3.Connection, row: sqlite3.Row, owner: Owner, now: float
    ) -> Claim:
        """Claim a trial that waits for a worker."""
        key = (self._task.name, row["number"])
        connection.execute(
            "UPDATE gridsearch_trials SET state = 'running', spent = ?, began = ?, beat = ?, "
            "token = ?, host = ?, pid = ?, created = ? WHERE study = ? AND number = ?",
            (rows.seconds_of(row, "waiting", now), now, now, *astuple(owner), *key),
        )
        record = rows.record_of(row, self._task.space, now, self._grace)
        return Claim(record.number, record.params, dict(record.reports), dict(record.notes))

    def _add(
        self,
        connection: sqlite3.Connection,
        number: int,
        params: Mapping[str, Any],
        owner: Owner,
        now: float,
    ) -> Claim:
        """Add a new trial."""
        connection.execute(
            "INSERT INTO gridsearch_trials "
            "(study, number, state, params, began, beat, token, host, pid, created) "
            "VALUES (?, ?, 'running', ?, ?, ?, ?, ?, ?, ?)",
            (self._task.name, number, json.dumps(dict(params)), now, now, *astuple(owner)),
        )
        return Claim(number, params)


def _refuse_another(stored: tuple[str, ...], given: tuple[str, ...]) -> None:
    name, identity, plan, directions = stored
    if identity != given[1] or directions != given[3]:
        raise UserError(
            f"study {name!r} is already stored with other settings: "
            f"choose another name, or use the settings that it was started with"
        )
    if plan != given[2]:
        raise UserError(
            f"study {name!r} was started with {plan}, not with {given[2]}: "
            f"choose another name, or use the tuner and options that it was started with"
        )
