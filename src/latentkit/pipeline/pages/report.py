"""The stage ``report``: every figure of the run, and ``report.html``."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from latentkit.pipeline.card_tables import card_note, card_tables
from latentkit.pipeline.context import EVALUATION, REPORT, RunContext
from latentkit.pipeline.pages.drawing import STAGE, drawn
from latentkit.pipeline.pages.of_exploration import exploration_figures
from latentkit.pipeline.pages.of_images import data_figures, reconstruction_figures
from latentkit.pipeline.pages.of_latents import latent_figures
from latentkit.pipeline.pages.of_maps import map_figures
from latentkit.pipeline.pages.of_training import training_figures
from latentkit.pipeline.summary import summarise, summary_rows
from latentkit.plugin.events import Notice, StageProgress
from latentkit.report.page import Section, Table, render_page
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG

_SECTIONS = (
    ("Images", data_figures),
    ("Training", training_figures),
    ("Reconstructions", reconstruction_figures),
    ("Latents", latent_figures),
    ("Maps", map_figures),
    ("Exploration", exploration_figures),
)


def report(context: RunContext, *, svg: bool = False) -> None:
    """Draw every figure of the run, if asked as SVG too, and write ``report.html``."""
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
        Section("Evaluation card", card_note(card), tables=card_tables(card)),
    ]
    counts = summary["counts"]
    page = render_page(
        title=f"{summary['model']} on {summary['dataset']}",
        subtitle=(
            f"Run {folder.manifest.id}, {counts['train']:,} training, {counts['validation']:,} "
            f"validation and {counts['test']:,} test images"
        ),
        sections=[*overview, *sections, *left_out(context, missing)],
        config_toml=folder.config_toml(),
        repeat_command=f"latentkit run --config {CONFIG}",
        environment=environment_rows(context),
    )
    folder.commit(REPORT, STAGE, partial(write_page, page))


def left_out(context: RunContext, missing: dict[str, str]) -> list[Section]:
    """Return the section that names figures that could not be drawn, and tell of them."""
    if not missing:
        return []
    context.tell(_notice(missing))
    return [Section("Left out", tables=[Table("", ("figure", "why"), [*missing.items()])])]


def write_page(page: str, path: Path) -> None:
    """Write a page to a path."""
    write_bytes(path, page.encode())


def _notice(missing: dict[str, str]) -> Notice:
    why = next(iter(missing.values()))
    text = f"{len(missing)} figures of the report are left out ({', '.join(missing)}): {why}"
    return Notice("figures-left-out", text)


def environment_rows(context: RunContext) -> list[tuple[str, str]]:
    """Return name and value of what the run ran on."""
    manifest = context.folder.manifest
    facts = {**manifest.hardware, **manifest.versions, **manifest.plugins}
    return [("begun", manifest.created), *((str(key), str(value)) for key, value in facts.items())]
