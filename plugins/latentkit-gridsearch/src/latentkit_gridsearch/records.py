"""The record of one study: trials are claimed, told of, finished, and given back."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any, Literal

from latentkit.errors import UserError
from latentkit.plugin import StudyResult, StudyTask
from latentkit.plugin.studies import TrialState
from latentkit_gridsearch import rows
from latentkit_gridsearch.database import Database
from latentkit_gridsearch.owners import Owner

_FINISHED: tuple[TrialState, ...] = ("complete", "pruned", "failed")
_OF_OWNER = "study = ? AND number = ? AND token = ? AND state = 'running'"


@dataclass(frozen=True)
class Claim:
    """A trial that a worker may run, and no other.

    Args:
        number: of the trial.
        params: its parameters.
        reports: what was reported before it was interrupted.
        notes: what was noted before.
    """

    number: int
    params: Mapping[str, Any]
    reports: dict[int, float] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)


class Records:
    """The record of one study.

    Args:
        database: where it lies.
        task: the study.
        plan: how its parameters are made; a study has one plan for all its trials.
        grace: seconds of silence after which a worker on another machine counts as dead.
    """

    def __init__(self, database: Database, task: StudyTask, plan: str, grace: float) -> None:
        self._database = database
        self._task = task
        self._plan = plan
        self._grace = grace

    def begin(self) -> None:
        """Make the study, or find it.

        Raises:
            UserError: a study of that name is stored that is not this one.
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
        """Take the trial that is to be run next.

        Args:
            owner: who takes it.
            params: gives the parameters of a trial that was never begun.
            trials: that the study shall hold.

        Returns:
            The trial; ``"wait"`` where others run all that remain, for they may die; ``"over"``
            where none remains.
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
        """Store what a claim's trial reported and noted."""
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
        """Store how a trial ended, unless another worker has it by now."""
        now = time.time()
        self._update(
            f"state = ?, results = ?, error = ?, spent = spent + max(0, ? - began), beat = ? "
            f"WHERE {_OF_OWNER}",
            *(state, json.dumps(list(values)), error, now, now),
            *self._key(owner, claim),
        )

    def beat(self, owner: Owner) -> None:
        """Give a sign of life for the trial that the owner runs."""
        self._update("beat = ? WHERE token = ? AND state = 'running'", time.time(), owner.token)

    def release(self, owner: Owner) -> None:
        """Let a trial that the owner has not finished wait for another worker."""
        self._update(
            "state = 'waiting', spent = spent + max(0, ? - began) "
            "WHERE token = ? AND state = 'running'",
            *(time.time(), owner.token),
        )

    def load(self) -> StudyResult | None:
        """Return what is stored, or None."""
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
        """Go on with a trial that waits."""
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
        """Begin a trial that never was."""
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
            f"study {name!r} is stored with other settings than these: "
            f"take another name, or the settings that it was begun with"
        )
    if plan != given[2]:
        raise UserError(
            f"study {name!r} was begun with {plan}, not with {given[2]}: "
            f"take another name, or the tuner and options that it was begun with"
        )
