"""Composition of a multi-run report into one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from latentkit.errors import UserError, did_you_mean
from latentkit.pipeline.compare import compare_runs, comparison_tables
from latentkit.pipeline.pages.assembly import environment
from latentkit.pipeline.stories.outline import Chapter, Story
from latentkit.pipeline.stories.sources import Source
from latentkit.report.page import Section, Table, render_page
from latentkit.report.parts import Picture
from latentkit.report.record import RECORD
from latentkit.runs.commit import write_bytes
from latentkit.runs.manifest import NAME
from latentkit.tuning.folder import STUDY


def write_story(story: Story, root: Path, path: Path) -> None:
    """Write a multi-run report as one self-contained HTML file.

    Args:
        story: the contents of the report.
        root: the folder that contains the sources.
        path: the file to write.

    Raises:
        UserError: a source, or one of its figures or tables, does not exist.
        IntegrityError: a file of a source is missing or was changed.
        StorageError: the page cannot be written.
    """
    sources = _Sources(root)
    sections = [_section(chapter, sources) for chapter in story.chapters]
    folders = (source.folder for source in sources.known.values())
    first = next((folder for folder in folders if folder is not None), None)
    page = render_page(
        title=story.title,
        subtitle=story.subtitle,
        sections=sections,
        environment=environment(first) if first else (),
    )
    write_bytes(path, page.encode())


class _Sources:
    """The sources below a root folder; each is opened once."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.known: dict[str, Source] = {}

    def __getitem__(self, name: str) -> Source:
        if name not in self.known:
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


def _section(chapter: Chapter, sources: _Sources) -> Section:
    tables: list[Table] = []
    for reference in chapter.tables:
        source, title = sources.named(reference)
        tables += source.tables(title)
    if chapter.compare:
        tables += _comparison(chapter, sources)
    if chapter.rows:
        tables.append(Table("", chapter.header, chapter.rows))
    return Section(
        chapter.title,
        chapter.text,
        tables=tables,
        pictures=_pictures(chapter, sources),
        commands=chapter.commands,
    )


def _comparison(chapter: Chapter, sources: _Sources) -> list[Table]:
    folders = []
    for name in chapter.compare:
        folder = sources[name].folder
        if folder is None:
            raise UserError(
                f"report file: {name} is a study: compare its best run, {name}/runs/trial-N"
            )
        folders.append(folder)
    found = {**compare_runs(folders), "config": {}, "maps": {}}  # maps have their own table
    names = {f"[{number}]": name for number, name in enumerate(chapter.compare, 1)}
    return [_by_name(table, names) for table in comparison_tables(found)[1:]]


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
