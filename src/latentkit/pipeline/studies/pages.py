"""Assembly of a study's ``report.html`` from its trials."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from latentkit.figures.trials import Goal
from latentkit.pipeline.context import REPORT
from latentkit.pipeline.pages.drawing import drawn, left_out
from latentkit.pipeline.studies.best_runs import Best, map_figures, weight_figures
from latentkit.pipeline.studies.drawings import (
    Missing,
    SearchedStudy,
    early_figures,
    front_figures,
    parameter_figures,
    search_figures,
)
from latentkit.pipeline.studies.tables import best_rows, counts_text, head_tables, trial_tables
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.studies import StudyResult
from latentkit.report.page import Section, render_page
from latentkit.report.record import RECORD, page_record
from latentkit.runs.commit import write_atomically, write_bytes, write_json


def write_study_report(
    folder: Path,
    *,
    name: str,
    result: StudyResult,
    space: Mapping[str, SearchDomain],
    objectives: Sequence[str],
    importances: Mapping[str, float],
    early_importances: Mapping[str, float],
    best: Best,
    facts: Sequence[tuple[str, str]],
    svg: bool = False,
) -> Path:
    """Draw the figures of a study below ``figures/``, and write its page; return the page's path.

    Figures that cannot be drawn are left out, and the page says why.

    Args:
        folder: folder of the study.
        name: name of the study.
        result: all its trials.
        space: the domains that were searched, by parameter name.
        objectives: labels of the objectives, in the order of ``result.directions``.
        importances: share of each parameter in the spread of the first objective; may be empty.
        early_importances: the same after ``result.early_epoch``.
        best: the runs of the best trials by trial number, best first; six are shown.
        facts: rows at the head of the page.
        svg: whether to save figures as SVG, too.

    Raises:
        StorageError: the folder cannot be written.
    """
    goals = tuple(
        Goal(label, direction, place)
        for place, (label, direction) in enumerate(zip(objectives, result.directions, strict=True))
    )
    study = SearchedStudy(name, result, space, goals)
    missing: Missing = {}

    def commit(path: str, write: Callable[[Path], None]) -> None:
        write_atomically(folder / path, write)

    sections = []
    for title, drawings in (
        ("Search", search_figures(study, missing)),
        ("Parameters", parameter_figures(study, importances, missing)),
        ("Parameters, early on", early_figures(study, early_importances)),
        ("Objectives against each other", front_figures(study, missing)),
        ("Latent spaces", map_figures(study, best, missing)),
        ("Weights", weight_figures(study, best, missing)),
    ):
        pictures = drawn(folder, commit, drawings, missing, svg=svg)
        if pictures:
            sections.append(Section(title, pictures=pictures))
    overview = [
        Section("Summary", tables=head_tables(study, facts)),
        Section("Trials", tables=trial_tables(study)),
    ]
    title, shown = f"Study {name}", [*overview, *sections, *left_out(missing)]
    write_json(folder / RECORD, page_record(title, shown))
    page = render_page(title=title, subtitle=_subtitle(study), sections=shown)
    path = folder / REPORT
    write_bytes(path, page.encode())
    return path


def _subtitle(study: SearchedStudy) -> str:
    best = [f"{which[0].lower()}{which[1:]} {value}" for which, value in best_rows(study)]
    return "; ".join([counts_text(study), *best])
