"""Sources of a multi-run report: the tables and figures of a run, transfer or study."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from latentkit.errors import IntegrityError, UserError, did_you_mean
from latentkit.pipeline.exploration_figures import TITLES
from latentkit.report.parts import Picture, Table
from latentkit.report.record import RECORD, recorded_figures, recorded_tables
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import NAME

_FIGURES = "figures"
_T = TypeVar("_T")


class Source:
    """The tables and figures of the report of a run, a transfer or a study.

    Args:
        name: the folder's name, as the report file gives it.
        path: the folder.
    """

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self.path = path

    @cached_property
    def folder(self) -> RunFolder | None:
        """The run's folder; None if the source is a study."""
        return RunFolder.open(self.path) if (self.path / NAME).is_file() else None

    @cached_property
    def _record(self) -> Mapping[str, Any]:
        path = self.path / RECORD
        if self.folder is not None and RECORD in self.folder.manifest.artefacts:
            path = self.folder.verified(RECORD)
        try:
            record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            again = "report" if self.folder else "tune --resume"
            raise IntegrityError(
                f"{self.path} has no readable {RECORD}: run 'latentkit {again} {self.path}' to "
                f"write it"
            ) from error
        return record

    @cached_property
    def _figures(self) -> dict[str, tuple[str, str]]:
        """Title and caption of each figure; figures of ``latentkit explore`` contain theirs."""
        told = recorded_figures(self._record)
        there = () if self.folder is None else self.folder.manifest.artefacts
        drawn = (Path(path) for path in there if path.startswith(f"{_FIGURES}/"))
        more = sorted({path.stem for path in drawn if path.suffix == ".png"} - told.keys())
        return {**told, **{name: (_title(name), "") for name in more}}

    def pictures(self, pattern: str) -> list[Picture]:
        """Return the figures whose names match a pattern.

        Raises:
            UserError: no name matches, and the pattern does not end in ``?``.
            IntegrityError: a figure's file is missing or was changed.
        """

        def picture(name: str) -> Picture:
            title, caption = self._figures[name]
            relative = f"{_FIGURES}/{name}.png"
            path = self.path / relative if self.folder is None else self.folder.verified(relative)
            return Picture(title, caption, path.read_bytes(), key=f"{self.name}-{name}")

        return self._chosen("figure", pattern, self._figures, picture)

    def tables(self, pattern: str) -> list[Table]:
        """Return the tables whose titles match a pattern.

        Raises:
            UserError: no title matches, and the pattern does not end in ``?``.
            IntegrityError: the record of the report cannot be read.
        """
        there = recorded_tables(self._record)

        def table(title: str) -> Table:
            return Table(f"{self.name}: {title}", there[title].header, there[title].rows)

        return self._chosen("table", pattern, there, table)

    def _chosen(
        self, kind: str, pattern: str, there: Iterable[str], make: Callable[[str], _T]
    ) -> list[_T]:
        names, may_lack = list(there), pattern.endswith("?")
        wanted = pattern.removesuffix("?")
        found = [name for name in names if fnmatchcase(name, wanted)]
        if not found and not may_lack:
            raise UserError(
                f"{self.path} has no {kind} {wanted!r}{did_you_mean(wanted, names)}; it has "
                f"{', '.join(names) or 'none'}"
            )
        return [make(name) for name in found]


def _title(name: str) -> str:
    """Return the title of a figure of ``latentkit explore``; for any other figure, its name."""
    return TITLES.get(name.removeprefix("explore-"), name)
