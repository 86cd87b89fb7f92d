"""The stage ``report`` of a transfer: its figures, and ``report.html``."""

from __future__ import annotations

from functools import partial

from latentkit.pipeline.card_tables import card_note
from latentkit.pipeline.context import DATA, EVALUATION, REPORT, RunContext
from latentkit.pipeline.pages.drawing import STAGE, drawn
from latentkit.pipeline.pages.report import environment_rows, left_out, write_page
from latentkit.pipeline.summary import summarise, summary_rows
from latentkit.pipeline.transfers.drawings import (
    comparison_figures,
    confusion_figures,
    feature_maps,
    training_figures,
)
from latentkit.pipeline.transfers.tables import transfer_tables
from latentkit.plugin.events import StageProgress
from latentkit.report.page import Section, Table, render_page
from latentkit.runs.folder import CONFIG

_SECTIONS = (
    ("Did pre-training help?", comparison_figures),
    ("Training", training_figures),
    ("Confusions", confusion_figures),
    ("Features, before and after", feature_maps),
)


def report_transfer(context: RunContext, *, svg: bool = False) -> None:
    """Draw every figure of the transfer, if asked as SVG too, and write ``report.html``."""
    folder = context.folder
    missing: dict[str, str] = {}
    sections = []
    for done, (title, figures) in enumerate(_SECTIONS):
        context.tell(StageProgress(STAGE, done, len(_SECTIONS), title.lower()))
        pictures = drawn(context, figures(context), missing, svg=svg)
        if pictures:
            sections.append(Section(title, pictures=pictures))
    summary, card = summarise(folder), folder.json(EVALUATION)
    overview = [
        Section("Summary", tables=[Table("", ("", "value"), summary_rows(summary))]),
        Section("Evaluation card", card_note(card), tables=transfer_tables(card)),
    ]
    counts = folder.json(DATA)["counts"]
    page = render_page(
        title=f"Transfer: {summary['model']} on {summary['dataset']}",
        subtitle=(
            f"Run {folder.manifest.id}, parent {card['parent'] or 'none'}, "
            f"{card['labels']['n']:,} of {counts['train']:,} training labels, "
            f"{counts['validation']:,} validation and {counts['test']:,} test images"
        ),
        sections=[*overview, *sections, *left_out(context, missing)],
        config_toml=folder.config_toml(),
        repeat_command=f"latentkit run --config {CONFIG}",
        environment=environment_rows(context),
    )
    folder.commit(REPORT, STAGE, partial(write_page, page))
