"""The stage ``report`` of a transfer, which draws its figures and ``report.html``."""

from __future__ import annotations

from latentkit.pipeline.context import DATA, EVALUATION, RunContext
from latentkit.pipeline.pages.assembly import Outline, write_report
from latentkit.pipeline.summary import summarise
from latentkit.pipeline.transfers.drawings import (
    comparison_figures,
    confusion_figures,
    feature_maps,
    training_figures,
)
from latentkit.pipeline.transfers.tables import transfer_tables

_OUTLINE: Outline = (
    ("Did pre-training help?", comparison_figures),
    ("Training", training_figures),
    ("Confusions", confusion_figures),
    ("Features", feature_maps),
)


def report_transfer(context: RunContext, *, svg: bool = False) -> None:
    """Draw every figure of the transfer and write ``report.html``; ``svg`` adds SVG files."""
    folder = context.folder
    summary, card = summarise(folder), folder.json(EVALUATION)
    counts = folder.json(DATA)["counts"]
    write_report(
        context,
        _OUTLINE,
        title=f"Transfer: {summary['model']} on {summary['dataset']}",
        subtitle=(
            f"Run {folder.manifest.id}, parent {card['parent'] or 'none'}, "
            f"{card['labels']['n']:,} of {counts['train']:,} training labels, "
            f"{counts['validation']:,} validation and {counts['test']:,} test images"
        ),
        card=transfer_tables(card),
        svg=svg,
    )
