"""From figures and tables to ``report.html``, the same for every kind of run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from latentkit.pipeline.card_tables import card_note
from latentkit.pipeline.context import EVALUATION, REPORT, RunContext
from latentkit.pipeline.pages.drawing import STAGE, Drawing, drawn, left_out
from latentkit.pipeline.summary import summarise, summary_rows
from latentkit.plugin.events import Notice, StageProgress
from latentkit.report.page import Section, Table, render_page
from latentkit.report.record import RECORD, page_record
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG, RunFolder

_MEMORY = "memory_bytes"

Outline = Sequence[tuple[str, Callable[[RunContext], list[Drawing]]]]
"""Titles of sections, and what each of them shows of a run."""


def write_report(
    context: RunContext,
    outline: Outline,
    *,
    title: str,
    subtitle: str,
    card: Sequence[Table],
    svg: bool,
) -> None:
    """Draw every figure of a run, and write its page.

    Args:
        context: of a run that has its evaluation.
        outline: the sections of figures, in order; one without any is left out.
        title: of the page.
        subtitle: below it.
        card: the evaluation card as tables.
        svg: whether figures are drawn as SVG too.
    """
    folder = context.folder
    missing: dict[str, str] = {}

    def commit(path: str, write: Callable[[Path], None]) -> None:
        folder.commit(path, STAGE, write)

    sections = []
    for done, (name, figures) in enumerate(outline):
        context.tell(StageProgress(STAGE, done, len(outline), name.lower()))
        pictures = drawn(folder.path, commit, figures(context), missing, svg=svg)
        if pictures:
            sections.append(Section(name, pictures=pictures))
    summary = [Table("", ("", "value"), _summary(folder))]
    overview = [
        Section("Summary", tables=summary),
        Section("Evaluation card", card_note(folder.json(EVALUATION)), tables=card),
    ]
    _tell_missing(context, missing)
    shown = [*overview, *sections, *left_out(missing)]
    folder.commit_json(RECORD, STAGE, page_record(title, shown))
    page = render_page(
        title=title,
        subtitle=subtitle,
        sections=shown,
        config_toml=folder.config_toml(),
        repeat_command=f"latentkit run --config {CONFIG}",
        environment=environment(context.folder),
    )
    folder.commit(REPORT, STAGE, lambda path: write_bytes(path, page.encode()))


def _summary(folder: RunFolder) -> list[tuple[str, str]]:
    """Return the summary of a run; its time is without the report, which is not done yet."""
    found = summarise(folder)
    found["seconds"].pop(STAGE, None)
    rows = summary_rows(found)
    return [("Time without this report" if name == "Time" else name, text) for name, text in rows]


def _tell_missing(context: RunContext, missing: dict[str, str]) -> None:
    if missing:
        why = next(iter(missing.values()))
        text = f"{len(missing)} figures of the report are left out ({', '.join(missing)}): {why}"
        context.tell(Notice("figures-left-out", text))


def environment(folder: RunFolder) -> list[tuple[str, str]]:
    """Return name and value of what a run ran on."""
    manifest = folder.manifest
    facts = {**manifest.hardware, **manifest.versions, **manifest.plugins}
    rows = [("begun", manifest.created)]
    for key, value in facts.items():
        if key == _MEMORY:
            rows.append(("memory", f"{value / 2**30:.1f} GiB"))
        else:
            rows.append((str(key), str(value)))
    return rows
