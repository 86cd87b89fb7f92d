"""Find runs by what a user calls them, and list those of a folder."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from latentkit import errors
from latentkit.folders import contains, folders_with, open_each
from latentkit.plugin.events import Event, Listener, Notice
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import NAME
from latentkit.terminal import printable

_CLOCKS_DIFFER = timedelta(days=1)


def _warn(event: Event) -> None:
    if isinstance(event, Notice):
        warnings.warn(printable(event.message), stacklevel=4)  # where `find_run` was called


def find_run(reference: str, root: Path, emit: Listener = _warn, *, other_than: str = "") -> Path:
    """Return the folder of the run that a user refers to.

    Args:
        reference: a path, the id of a run in ``root``, an unambiguous start or end of an id, or
            ``last``, which is the newest run that can be read.
        root: the folder of runs.
        emit: receives a notice if a run that may be newer than ``last`` cannot be read; by
            default, it is a Python warning.
        other_than: name of a run that ``last`` does not mean, such as the run being made: the
            same command then means the same run when it is repeated.

    Raises:
        UserError: no run matches, or more than one does.
        IntegrityError: ``last`` is asked for, but no run can be read.
    """
    if not reference.strip("./\\ "):  # else every name starts with '', and a hidden one with '.'
        return _of_path(reference)
    if reference == "last" and (runs := run_folders(root)):
        return _last_run([run for run in runs if run.name != other_than] or runs, emit)
    for path in (Path(reference).expanduser(), root / reference):
        if contains(path, NAME):
            return path
    runs = run_folders(root)
    found = [p for p in runs if p.name.startswith(reference) or p.name.endswith(reference)]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(path.name for path in found)
        raise errors.UserError(f"{reference!r} is the start or end of several runs: {names}")
    if not runs:
        raise errors.UserError(
            f"there is no run {reference!r} here, and none below {root}/ yet: 'latentkit run' "
            f"makes one"
        )
    raise errors.UserError(
        f"there is no run {reference!r}, here or in {root}: 'latentkit runs' lists them"
    )


def _of_path(reference: str) -> Path:
    """Return the folder that an empty name, or one of dots, means as a path.

    Raises:
        UserError: it is empty, or the folder is no run.
    """
    if not reference.strip():
        raise errors.UserError("the name of the run is empty: 'latentkit runs' lists the runs")
    path = Path(reference)
    if contains(path, NAME):
        return path
    raise errors.UserError(
        f"folder {reference!r} is not a run: give a name that 'latentkit runs' lists, or the "
        f"folder of a run"
    )


_LONG_AGO = datetime.min.replace(tzinfo=UTC)


def _created(run: RunFolder) -> datetime | None:
    """Return when a run was created; None if its record is no time of the past."""
    try:
        created = datetime.fromisoformat(run.manifest.created)
    except ValueError:
        return None
    created = created if created.tzinfo else created.replace(tzinfo=UTC)
    return created if created < datetime.now(UTC) + _CLOCKS_DIFFER else None


def _last_run(paths: Sequence[Path], emit: Listener) -> Path:
    runs, faults = open_each(paths, RunFolder.open)
    if not runs:
        first, *others = faults.values()
        more = f" ('latentkit runs' lists {len(others)} more)" if others else ""
        raise errors.IntegrityError(f"no run in {paths[0].parent} can be read: {first}{more}")
    known = {run.path: when for run in runs if (when := _created(run)) is not None}
    for run in runs:
        if run.path not in known:
            about = "it has no date, or one in the future, so 'last' does not mean it"
            emit(Notice("undated-run", f"run {run.path.name}: {about}"))
    last = max(runs, key=lambda run: known.get(run.path, _LONG_AGO))
    for path, fault in faults.items():
        with suppress(FileNotFoundError):  # deleted by now
            written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
            if written.isoformat(timespec="microseconds") > last.manifest.created:
                about = f"'last' is {last.path.name}, but a run that may be newer cannot be read"
                emit(Notice("unreadable-run", f"{about}: {fault}"))
    return last.path


def readable_runs(root: Path) -> tuple[list[RunFolder], dict[Path, str]]:
    """Return the runs in ``root`` that can be read, sorted by name, and faults of the others.

    Returns:
        The runs, and one line for the folder of each run that cannot be read: because it is
        damaged or written by a later latentkit, for example.
    """
    return open_each(run_folders(root), RunFolder.open)


def run_folders(root: Path) -> list[Path]:
    """Return the folders in ``root`` that contain a run, readable or not, sorted by name.

    Raises:
        UserError: ``root`` cannot be read, or is a file.
    """
    return folders_with(NAME, root)
