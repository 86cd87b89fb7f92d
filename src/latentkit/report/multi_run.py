"""Multi-run reports: one HTML page composed from runs, transfers and studies."""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import numpy as np
from pydantic import Field

from latentkit import reading
from latentkit.atomic import write_bytes
from latentkit.errors import (
    IntegrityError,
    UserError,
    describe_os_error,
    did_you_mean,
    unexpected_content,
)
from latentkit.evaluation.compare_runs import ENCODERS, compare_runs, comparison_tables
from latentkit.evaluation.encoder_rows import PROBES
from latentkit.evaluation.representation import SHARES
from latentkit.explore.exploration_figures import TITLES
from latentkit.hashed_json import read_hashed
from latentkit.plugin.options import Options
from latentkit.registry.options import validate
from latentkit.report.assemble import environment
from latentkit.report.page import (
    RECORD,
    Picture,
    Section,
    Table,
    recorded_figures,
    recorded_tables,
    render_page,
)
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import KindOf
from latentkit.runs.manifest import NAME
from latentkit.terminal import shell_command
from latentkit.tune.study_folder import STUDY

if TYPE_CHECKING:
    from latentkit.figures.encoder_figures import EncoderCurve


class Chapter(Options):
    """A section of the page.

    A figure is given as ``SOURCE/NAME`` and a table as ``SOURCE/TITLE``. The source is the folder
    of a run, a transfer or a study below the root. A ``*`` in the name selects every name that
    matches. With a ``?`` at the end, a missing name is no error. ``Summary`` is a table, too.
    Paths of links and pictures start at the folder of the page, and stay in it.
    """

    title: str = Field("", min_length=1, description="Heading of the section.")
    text: str = Field("", description="Text below the title; an empty line starts a paragraph.")
    commands: tuple[str, ...] = Field((), description="Commands to show.")
    tables: tuple[str, ...] = Field((), description="SOURCE/TITLE of each table.")
    compare: tuple[str, ...] = Field((), description="Sources to compare with the first.")
    header: tuple[str, ...] = Field((), description="Column names of an extra table.")
    rows: tuple[tuple[str, ...], ...] = Field((), description="Rows of the extra table.")
    figures: tuple[str, ...] = Field((), description="SOURCE/NAME of each figure.")
    pictures: dict[str, str] = Field({}, description="PNG files of your own, by title.")
    links: dict[str, str] = Field({}, description="Files to link, by the text of the link.")


class MultiRunReport(Options):
    """A multi-run report: a page composed from several sources."""

    title: str = Field("", min_length=1, description="Title of the page.")
    subtitle: str = Field("", description="Line below the title.")
    chapters: tuple[Chapter, ...] = Field((), min_length=1, description="Sections, in order.")


def read_multi_run_report(document: Mapping[str, Any]) -> MultiRunReport:
    """Validate and return a multi-run report.

    Args:
        document: ``title``, ``subtitle``, and a list of tables ``chapter``.

    Raises:
        UserError: a key is unknown or missing, or a value has the wrong type.
    """
    chapters = document.get("chapter", [])
    if not isinstance(chapters, list) or not all(isinstance(one, Mapping) for one in chapters):
        raise UserError("report file: chapter must be a list of tables, written as [[chapter]]")
    if not chapters:
        raise UserError("report file: there is no [[chapter]]; add one or more")
    head = {key: value for key, value in document.items() if key != "chapter"}
    read = tuple(
        validate(Chapter, one, f"report file: chapter {number} ({one.get('title', 'no title')})")
        for number, one in enumerate(chapters, 1)
    )
    return validate(MultiRunReport, {**head, "chapters": read}, "report file")


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
        if self.folder is not None and RECORD in self.folder.manifest.artefacts:
            content = self.folder.read(RECORD)
        elif (self.path / STUDY).exists():
            return read_hashed(self.path, RECORD, older=frozenset({"title", "sections"}))
        else:
            content = self._read(RECORD, reading.MOST_JSON)
        record = reading.parse_json(content, self.path / RECORD)
        if not isinstance(record, Mapping):
            raise IntegrityError(f"{self.path / RECORD} is damaged: it is not a JSON object")
        return record

    def _read(self, relative: str, most: int | None = None) -> bytes:
        try:
            return reading.read_inside(self.path, relative, most)
        except OSError as error:
            words = ("report",) if self.folder else ("tune", "--resume")
            raise IntegrityError(
                f"{self.path / relative} cannot be read ({describe_os_error(error)}); to write "
                f"it:  {shell_command(*words, self.path)}"
            ) from error

    @cached_property
    def _figures(self) -> dict[str, tuple[str, str, str]]:
        """Title, caption and SHA-256 of each figure; those of ``explore`` contain their caption."""
        with unexpected_content(self.path / RECORD):
            recorded = recorded_figures(self._record)
        there = () if self.folder is None else self.folder.manifest.artefacts
        drawn = (Path(path) for path in there if path.startswith(f"{_FIGURES}/"))
        more = sorted({path.stem for path in drawn if path.suffix == ".png"} - recorded.keys())
        return {**recorded, **{name: (_title(name), "", "") for name in more}}

    def pictures(self, pattern: str) -> list[Picture]:
        """Return the figures whose names match a pattern.

        Raises:
            UserError: no name matches, and the pattern does not end in ``?``.
            IntegrityError: a figure's file is missing or was changed.
        """

        def picture(name: str) -> Picture:
            title, caption, sha256 = self._figures[name]
            relative = f"{_FIGURES}/{name}.png"
            png = self._read(relative) if self.folder is None else self.folder.read(relative)
            if sha256 not in ("", hashlib.sha256(png).hexdigest()):
                raise IntegrityError(f"{self.path / relative} is not what was drawn: draw it again")
            return Picture(title, caption, png, key=f"{self.name}-{name}")

        return self._chosen("figure", pattern, self._figures, picture)

    def tables(self, pattern: str) -> list[Table]:
        """Return the tables whose titles match a pattern.

        Raises:
            UserError: no title matches, and the pattern does not end in ``?``.
            IntegrityError: the record of the report cannot be read.
        """
        with unexpected_content(self.path / RECORD):
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


def write_multi_run_report(report: MultiRunReport, root: Path, path: Path, kind_of: KindOf) -> None:
    """Write a multi-run report as one self-contained HTML file.

    Args:
        report: the contents of the report.
        root: the folder that contains the sources.
        path: the file to write.
        kind_of: returns the kind of a run (autoencoder, transfer or trial), because transfers
            can only be compared with each other.

    Raises:
        UserError: a source, one of its figures or tables, or a file beside the page does not exist.
        IntegrityError: a file of a source is missing or was changed.
        StorageError: the page cannot be written.
    """
    sources = _Sources(root, kind_of)
    sections = [_section(chapter, sources, path.parent) for chapter in report.chapters]
    folders = (source.folder for source in sources.known.values())
    first = next((folder for folder in folders if folder is not None), None)
    rows: list[tuple[str, str]] = []
    if first:
        with unexpected_content(first.path):
            rows = environment(first)
    page = render_page(
        title=report.title, subtitle=report.subtitle, sections=sections, environment=rows
    )
    write_bytes(path, page.encode())


class _Sources:
    """The sources below a root folder; each is opened once."""

    def __init__(self, root: Path, kind_of: KindOf) -> None:
        self.root = root
        self.kind_of = kind_of
        self.known: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        if name not in self.known:
            reading.check_relative(self.root, name)
            path = self.root / name
            if not any((path / file).is_file() for file in (NAME, STUDY, RECORD)):
                there = [one.parent.name for one in self.root.glob(f"*/{RECORD}")]
                raise UserError(
                    f"{self.root} has no run or study {name!r}{did_you_mean(name, there)}; it has "
                    f"{', '.join(sorted(there)) or 'none'}"
                )
            self.known[name] = Source(name, path)
        return self.known[name]

    def named(self, reference: str) -> tuple[Source, str]:
        """Return the source and the rest of ``SOURCE/NAME``."""
        source, slash, name = reference.rpartition("/")
        if not slash or not name:
            raise UserError(
                f"report file: {reference!r} should be SOURCE/NAME, such as my-run/loss"
            )
        return self[source], name


def write_comparison(folders: Sequence[RunFolder], path: Path, kind_of: KindOf) -> dict[str, Any]:
    """Write a page that compares runs, and return the comparison.

    Args:
        folders: two or more runs, as in `compare_runs`.
        path: the file to write.
        kind_of: returns the kind of a run.

    Raises:
        UserError: the runs cannot be compared.
        IntegrityError: a file of a run was changed.
        StorageError: the page cannot be written.
    """
    found = compare_runs(folders, kind_of)
    runs, *tables = comparison_tables(found)
    encoders = [table for table in tables if table.title.startswith(ENCODERS)]
    sections = [Section("Runs", tables=[runs, *tables[len(encoders) :]])]
    if encoders:
        text = found["answer"]["text"]
        pictures = _encoder_pictures(found, "comparison")
        sections.insert(0, Section(ENCODERS, text, tables=encoders, pictures=pictures))
    with unexpected_content(folders[0].path):
        rows = environment(folders[0])
        dataset = folders[0].manifest.config["dataset"]["name"]
    page = render_page(
        title="Encoders side by side" if encoders else "Transfers side by side",
        subtitle=f"{len(folders)} runs, on {dataset}"
        if found["paired"]
        else f"{len(folders)} runs",
        sections=sections,
        environment=rows,
    )
    write_bytes(path, page.encode())
    return found


def _curves(rows: Sequence[Mapping[str, Any]]) -> list[EncoderCurve]:
    """Return the accuracies of each row that has some, and its time of training."""
    from latentkit.figures.encoder_figures import EncoderCurve

    def ends(figure: Mapping[str, Any]) -> tuple[float, float, float]:
        low, high = (math.nan if figure[key] is None else figure[key] for key in ("low", "high"))
        return figure["value"], low, high

    curves = []
    for row in rows:
        figures = row["figures"]
        # The random encoders are in the tables; here they would hide the others.
        if row["space"] != "random_encoder" and all(key in figures for key in PROBES):
            found = {
                name: np.array([ends(figures[key]) for key in PROBES if key.startswith(start)])
                for name, start in _PROBES.items()
            }
            seconds = figures.get("training_seconds")
            time = ends(seconds) if seconds and seconds["value"] else None
            curves.append(EncoderCurve(row["name"], found, time, row["kind"] == "baseline"))
    return curves


_PROBES = {"10-NN": "knn ", "linear": "linear "}


def _encoder_pictures(found: Mapping[str, Any], key: str) -> list[Picture]:
    """Draw accuracies over labels and over time; nothing if there are no labels."""
    # Imported here, because matplotlib is slow to import.
    from latentkit.figures.encoder_figures import accuracy_over_labels, accuracy_over_seconds
    from latentkit.figures.style import save_png

    curves = _curves(found["encoders"])
    if not curves:
        return []
    intervals = "Bars are 95 % intervals over test images, and over seeds where there are several."
    over_labels = f"{intervals} What is not trained is dashed."
    over_time = f"{intervals} What is not trained is a line."
    titles = "Accuracy of probes over labels", "Accuracy over the time of training"
    figures = (
        accuracy_over_labels(SHARES, curves, titles[0], over_labels),
        accuracy_over_seconds(curves, "10-NN", titles[1], over_time),
    )
    pictures = []
    captions, names = (over_labels, over_time), ("labels", "seconds")
    for title, caption, figure, name in zip(titles, captions, figures, names, strict=True):
        buffer = io.BytesIO()
        save_png(figure, buffer)
        pictures.append(Picture(title, caption, buffer.getvalue(), key=f"{key}-{name}"))
    return pictures


def _section(chapter: Chapter, sources: _Sources, beside: Path) -> Section:
    tables: list[Table] = []
    for reference in chapter.tables:
        source, title = sources.named(reference)
        tables += source.tables(title)
    own = [_own_picture(title, beside, name) for title, name in chapter.pictures.items()]
    text, pictures = chapter.text, [*own, *_pictures(chapter, sources)]
    if chapter.compare:
        found, compared = _comparison(chapter, sources)
        tables += compared
        if found["answer"]:
            text = f"{text}\n\n{found['answer']['text']}"
            pictures = [*_encoder_pictures(found, chapter.title), *pictures]
    if chapter.rows:
        tables.append(Table("", chapter.header, chapter.rows))
    links = [(label, _address(beside, name)) for label, name in chapter.links.items()]
    return Section(chapter.title, text, tables, pictures, chapter.commands, links)


def _check_beside(beside: Path, name: str) -> None:
    """Refuse a path that leads out of the folder of the page, or an address of the web."""
    try:
        reading.check_relative(beside, name)
    except IntegrityError as error:
        raise UserError(
            f"report file: {name!r} is not a path in the folder of the page: put the file there, "
            f"and name it from there"
        ) from error


def _own_picture(title: str, beside: Path, name: str) -> Picture:
    _check_beside(beside, name)
    try:
        return Picture(title, "", reading.read_inside(beside, name))
    except OSError as error:
        raise UserError(
            f"report file: picture {beside / name} cannot be read ({describe_os_error(error)})"
        ) from error


def _address(beside: Path, name: str) -> str:
    """Return the address of a link from the page to a file in its folder."""
    _check_beside(beside, name)
    if not (beside / name).exists():
        raise UserError(f"report file: a link leads to {beside / name}, which does not exist")
    return quote(name)


def _comparison(chapter: Chapter, sources: _Sources) -> tuple[dict[str, Any], list[Table]]:
    """Return the comparison of a chapter, and its tables with the names of the sources."""
    folders = {}
    for name in chapter.compare:
        folder = sources[name].folder
        if folder is None:
            raise UserError(
                f"report file: {name} is a study: compare its best run, {name}/runs/trial-N"
            )
        folders[name] = folder
    found = compare_runs([folders[name] for name in chapter.compare], sources.kind_of)
    found |= {"config": {}, "maps": {}}  # maps have their own table
    beside = {*found["transfers"]}
    shown = [name for name in chapter.compare if folders[name].manifest.id not in beside]
    names = {f"[{number}]": name for number, name in enumerate(shown, 1)}
    return found, [_by_name(table, names) for table in comparison_tables(found)[1:]]


def _by_name(table: Table, names: Mapping[str, str]) -> Table:
    """Replace the numbers of runs in a table of a comparison by their names."""
    title = table.title.replace("[1]", names["[1]"])
    return Table(title, [names.get(cell, cell) for cell in table.header], table.rows)


def _pictures(chapter: Chapter, sources: _Sources) -> list[Picture]:
    """Return the figures of a chapter; with several sources, titles name the source."""
    chosen = [sources.named(reference) for reference in chapter.figures]
    alone = len({source.name for source, _ in chosen}) == 1
    return [
        picture if alone else _of(source, picture)
        for source, name in chosen
        for picture in source.pictures(name)
    ]


def _of(source: Source, picture: Picture) -> Picture:
    title = f"{source.name}: {picture.title[:1].lower()}{picture.title[1:]}"
    return replace(picture, title=title)
