"""The stage ``report``, which draws every figure of a run and writes ``report.html``."""

from __future__ import annotations

from latentkit.pipeline.card_tables import card_tables, map_tables
from latentkit.pipeline.context import EVALUATION, RunContext
from latentkit.pipeline.pages.assembly import Outline, write_report
from latentkit.pipeline.pages.of_exploration import exploration_figures
from latentkit.pipeline.pages.of_images import data_figures, reconstruction_figures
from latentkit.pipeline.pages.of_latents import latent_figures
from latentkit.pipeline.pages.of_maps import map_figures
from latentkit.pipeline.pages.of_training import training_figures
from latentkit.pipeline.summary import map_facts, summarise

_OUTLINE: Outline = (
    ("Images", data_figures),
    ("Training", training_figures),
    ("Reconstructions", reconstruction_figures),
    ("Latents", latent_figures),
    ("Maps", map_figures),
    ("Exploration", exploration_figures),
)


def report(context: RunContext, *, svg: bool = False) -> None:
    """Draw every figure of the run and write ``report.html``; ``svg`` adds SVG files."""
    folder = context.folder
    summary = summarise(folder)
    counts = summary["counts"]
    write_report(
        context,
        _OUTLINE,
        title=f"{summary['model']} on {summary['dataset']}",
        subtitle=(
            f"Run {folder.manifest.id}, {counts['train']:,} training, {counts['validation']:,} "
            f"validation and {counts['test']:,} test images"
        ),
        card=[*card_tables(folder.json(EVALUATION)), *map_tables(map_facts(folder))],
        svg=svg,
    )
