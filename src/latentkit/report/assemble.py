"""Assembly of figures and tables into ``report.html``, shared by every kind of run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from latentkit.atomic import write_bytes
from latentkit.errors import leaving_out, unexpected_content
from latentkit.evaluation.card_tables import card_note
from latentkit.plugin.events import Notice, StageProgress
from latentkit.report.drawing import STAGE, Drawing, drawn, left_out
from latentkit.report.page import RECORD, Section, Table, page_record, render_page
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.terminal import shell_command

_MEMORY = "memory_bytes"

Outline = Sequence[tuple[str, Callable[[StageContext], list[Drawing]]]]
"""Section titles, each with a function that returns the section's figures for a run."""


def write_report(
    context: StageContext,
    outline: Outline,
    *,
    title: str,
    subtitle: str,
    summary: Sequence[tuple[str, str]],
    card: Sequence[Table],
    svg: bool,
) -> None:
    """Draw every figure of a run and write its report page.

    Args:
        context: the run, whose evaluation card is already written.
        outline: the sections of figures, in order. Sections without figures are left out.
        title: title of the page.
        subtitle: line below the title.
        summary: rows (name, value) of the run's summary.
        card: the evaluation card as tables.
        svg: whether to save figures as SVG, too.
    """
    folder = context.folder
    missing: dict[str, str] = {}

    def commit(path: str, write: Callable[[Path], None]) -> None:
        folder.commit(path, STAGE, write)

    sections: list[Section] = []
    absent: dict[str, str] = {}
    for done, (name, figures) in enumerate(outline):
        context.emit(StageProgress(STAGE, done, len(outline), name.lower()))
        drawings: list[Drawing] = []
        with leaving_out(partial(missing.__setitem__, name)):
            drawings = figures(context)
        absent |= {drawing.title: drawing.absent for drawing in drawings if drawing.absent}
        possible = [drawing for drawing in drawings if not drawing.absent]
        pictures = drawn(folder.path, commit, possible, missing, svg=svg)
        if pictures:
            sections.append(Section(name, pictures=pictures))
    with unexpected_content(folder.path / run_files.EVALUATION):
        note = card_note(folder.json(run_files.EVALUATION))
    overview = [
        Section("Summary", tables=[Table("", ("", "value"), _without_report(summary))]),
        Section("Evaluation card", note, tables=card),
    ]
    _emit_missing(context, missing)
    shown = [*overview, *sections, *left_out({**missing, **absent})]
    folder.commit_json(RECORD, STAGE, page_record(title, shown))
    page = render_page(
        title=title,
        subtitle=subtitle,
        sections=shown,
        config_toml=folder.config_toml(),
        repeat_command=_repeating(folder),
        environment=environment(context.folder),
        explorer=run_files.EXPLORER if run_files.EXPLORER in folder.manifest.artefacts else "",
    )
    folder.commit(run_files.REPORT, STAGE, lambda path: write_bytes(path, page.encode()))


def _repeating(folder: RunFolder) -> str:
    """Return the command that repeats a run, with the plugin files that it needs."""
    files = [part for path in folder.manifest.plugin_files for part in ("--plugin", path)]
    return shell_command("run", "--config", CONFIG, *files)


def _without_report(rows: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Name the time for what it is, because it excludes the report, which is not finished yet."""
    return [("Time without this report" if name == "Time" else name, text) for name, text in rows]


def _emit_missing(context: StageContext, missing: dict[str, str]) -> None:
    if missing:
        why = next(iter(missing.values()))
        count = "1 figure" if len(missing) == 1 else f"{len(missing)} figures"
        are = "is" if len(missing) == 1 else "are"
        text = f"{count} of the report {are} left out ({', '.join(missing)}): {why}"
        context.emit(Notice("figures-left-out", text))


def environment(folder: RunFolder) -> list[tuple[str, str]]:
    """Return rows (name, value) of a run's start time, hardware, versions and plugins."""
    manifest = folder.manifest
    facts = {**manifest.hardware, **manifest.versions, **manifest.plugins}
    rows = [("started", manifest.created)]
    for key, value in facts.items():
        if key == _MEMORY:
            rows.append(("memory", f"{value / 2**30:.1f} GiB"))
        else:
            rows.append((str(key), str(value)))
    return rows
