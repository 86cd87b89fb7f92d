"""The report of a study: its tables, its figures, and its page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.atomic import write_atomically, write_bytes
from latentkit.errors import LatentkitError, PluginError
from latentkit.evaluation.inference import encode
from latentkit.figures.training_figures import kernels_over_epochs
from latentkit.hashed_json import write_hashed
from latentkit.maps.map_figures import Panel, map_grid
from latentkit.plugin.options import SearchChoice, SearchDomain, option_text
from latentkit.plugin.studies import StudyResult
from latentkit.report.drawing import Drawing, Drawn, drawn, left_out
from latentkit.report.page import RECORD, Section, Table, page_record, render_page
from latentkit.report.sections import first_kernels
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.tune import study_figures
from latentkit.tune.parameter_figures import importance_bars, parallel_coordinates, parameter_slices

_FEWEST = 2  # completed trials that a comparison needs
_OVER_PARAMETERS: tuple[tuple[str, str, Callable[..., Figure]], ...] = (
    ("parallel", "All parameters of all trials", parallel_coordinates),
    ("slices", "Value over each parameter", parameter_slices),
)
_IMPORTANCE = "Importance of parameters"

Missing = dict[str, str]
"""Titles of figures that cannot be drawn, each with the reason."""


@dataclass(frozen=True)
class SearchedStudy:
    """A study, with the facts that its figures need.

    Args:
        name: name of the study.
        result: its trials.
        space: the domains that were searched, by parameter name.
        goals: its objectives, in the order of the directions.
    """

    name: str
    result: StudyResult
    space: Mapping[str, SearchDomain]
    goals: tuple[study_figures.Goal, ...]

    @property
    def title(self) -> str:
        """The heading of every figure."""
        return f"Study {self.name}, {len(self.result.trials):,} trials"

    def of(self, text: str, goal: study_figures.Goal) -> str:
        """Return a title, which names the objective if there are several."""
        return text if len(self.goals) == 1 else f"{text}: {goal.name}"

    @property
    def early_goal(self) -> study_figures.Goal | None:
        """The first objective after the last epoch that all trials reached, if most were pruned."""
        epoch = self.result.early_epoch
        if epoch is None:
            return None
        return replace(self.goals[0], name=f"{self.goals[0].name} after epoch {epoch}", epoch=epoch)

    def enough(self, title: str, missing: Missing) -> bool:
        """Return whether enough trials completed; if not, record why the figure is missing."""
        count = sum(trial.state == "complete" for trial in self.result.trials)
        if count < _FEWEST:
            number = "one trial" if count else "no trial"
            missing[title] = f"{number} completed; a comparison needs {_FEWEST}"
        return count >= _FEWEST


def search_figures(study: SearchedStudy, missing: Missing) -> list[Drawing]:
    """Return the figures of the search: values over trials, and reports over epochs."""
    trials = study.result.trials
    title = "Value over trials"
    if not any(
        trial.state == "complete" or len(study_figures.reports_of(trial)[0]) for trial in trials
    ):
        missing[title] = "no trial has a value"
        return []
    found = [
        _drawing(
            *(f"history{_suffix(study, goal)}", study.of(title, goal)),
            partial(study_figures.optimisation_history, trials, goal, study.title),
        )
        for goal in study.goals
    ]
    title = "Value over epochs"
    if len(study.goals) > 1:
        missing[title] = "trials with several objectives report no values during training"
    elif not any(len(study_figures.reports_of(trial)[0]) for trial in trials):
        missing[title] = "no trial reported a value after an epoch"
    else:
        draw = partial(study_figures.intermediate_curves, trials, study.goals[0], study.title)
        found.append(_drawing("curves", title, draw))
    return found


def parameter_figures(
    study: SearchedStudy, importances: Mapping[str, float], missing: Missing
) -> list[Drawing]:
    """Return figures of each objective over the parameters, and of their importance."""
    found = []
    for name, title, figure in _OVER_PARAMETERS:
        if study.enough(title, missing):
            found += [
                _drawing(
                    *(f"{name}{_suffix(study, goal)}", study.of(title, goal)),
                    partial(figure, study.result.trials, study.space, goal, study.title),
                )
                for goal in study.goals
            ]
    if importances:
        found.append(_importance(study, study.goals[0], importances, "importance", _IMPORTANCE))
    else:
        missing[_IMPORTANCE] = "there are too few trials, or the tuner does not measure importance"
    return found


def early_figures(study: SearchedStudy, importances: Mapping[str, float]) -> list[Drawing]:
    """Return the figures of parameters after the study's early epoch, if most were pruned."""
    goal = study.early_goal
    if goal is None or len(goal.having(study.result.trials)) < _FEWEST:
        return []
    found = [
        _drawing(
            *(f"{name}-early", f"{title}, after epoch {goal.epoch}"),
            partial(figure, study.result.trials, study.space, goal, study.title),
        )
        for name, title, figure in _OVER_PARAMETERS
    ]
    if importances:
        title = f"{_IMPORTANCE}, after epoch {goal.epoch}"
        found.append(_importance(study, goal, importances, "importance-early", title))
    return found


def _importance(
    study: SearchedStudy,
    goal: study_figures.Goal,
    importances: Mapping[str, float],
    name: str,
    title: str,
) -> Drawing:
    caption = f"Share of each parameter in the spread of the {goal.name}."
    return _drawing(name, title, partial(importance_bars, importances, study.title, caption))


def front_figures(study: SearchedStudy, missing: Missing) -> list[Drawing]:
    """Return the Pareto front if there are several objectives, else nothing."""
    title = "Pareto front"
    if len(study.goals) == 1 or not study.enough(title, missing):
        return []
    front = [trial.number for trial in study.result.front]
    draw = partial(study_figures.pareto_front, study.result.trials, front, study.goals, study.title)
    return [_drawing("front", title, draw)]


def _suffix(study: SearchedStudy, goal: study_figures.Goal) -> str:
    return "" if len(study.goals) == 1 else f"-{goal.place + 1}"


def _drawing(name: str, title: str, draw: Callable[[], Figure]) -> Drawing:
    def drawn() -> Drawn:
        return draw(), ""  # these figures contain their caption

    return Drawing(name, title, drawn)


_STATES = {
    "complete": "completed",
    "pruned": "pruned",
    "failed": "failed",
    "running": "running",
    "waiting": "waiting",
}
_NOTHING = "–"


def head_tables(study: SearchedStudy, facts: Sequence[tuple[str, str]]) -> list[Table]:
    """Return the facts of a study and its search space."""
    rows = [*facts, ("Trials", counts_text(study)), *best_rows(study)]
    searched = [(name, _domain_text(domain)) for name, domain in study.space.items()]
    return [Table("", ("", "value"), rows), Table("Searched", ("parameter", "values"), searched)]


def counts_text(study: SearchedStudy) -> str:
    """Return the number of trials in each state, as text."""
    counts = Counter(_STATES[trial.state] for trial in study.result.trials)
    parts = [f"{counts[name]:,} {name}" for name in _STATES.values() if counts[name]]
    return ", ".join(parts) or "none"


def best_rows(study: SearchedStudy) -> list[tuple[str, str]]:
    """Return the best value of each objective, with its trial."""
    found = []
    for goal in study.goals:
        best = goal.best(study.result.trials)
        which = "Least" if goal.direction == "minimize" else "Greatest"
        if best is not None:
            text = f"{number_text(goal.value(best))} (trial {best.number})"
            found.append((f"{which} {goal.name}", text))
    return found


def trial_tables(study: SearchedStudy) -> list[Table]:
    """Return a table with a row for each trial, and one with the errors of failed trials."""
    result = study.result
    alone = len(study.goals) == 1
    chosen = {t.number for t in ([result.best] if alone else result.front) if t is not None}
    mark = "best" if alone else "front"
    header = ("trial", "state", *(goal.name for goal in study.goals), "epochs", "seconds")
    rows = [
        (
            f"{trial.number} ({mark})" if trial.number in chosen else str(trial.number),
            _STATES[trial.state],
            *(number_text(goal.value(trial)) for goal in study.goals),
            str(max(trial.reports)) if trial.reports else _NOTHING,
            f"{trial.seconds:.1f}",
            *_parameter_texts(trial.params, study.space),
        )
        for trial in result.trials
    ]
    tables = [Table("", (*header, *_short_names(study.space)), rows)]
    failed = [(str(trial.number), trial.error) for trial in result.trials if trial.error]
    return [*tables, Table("Failures", ("trial", "why"), failed)] if failed else tables


def _short_names(space: Mapping[str, SearchDomain]) -> list[str]:
    """Return parameter names without their part if the short names are unique."""
    short = [name.rpartition(".")[2] for name in space]
    return short if len(set(short)) == len(short) else list(space)


def _parameter_texts(params: Mapping[str, Any], space: Mapping[str, SearchDomain]) -> list[str]:
    return [option_text(params[name]) if name in params else _NOTHING for name in space]


def number_text(value: float) -> str:
    """Return an objective's value as text; a dash for NaN, which means no value."""
    return _NOTHING if value != value else f"{value:.5g}"


def _domain_text(domain: SearchDomain) -> str:
    if isinstance(domain, SearchChoice):
        return ", ".join(option_text(value) for value in domain.values)
    text = f"{option_text(domain.low)} to {option_text(domain.high)}"
    if domain.step is not None:
        return f"{text} in steps of {option_text(domain.step)}"
    return f"{text}, on a log scale" if domain.log else text


MOST_RUNS = 6
_MAPS = "Latent spaces of the best trials"
_WEIGHTS = "First weights of the best trials"

Best = Mapping[int, StageContext]
"""The runs of the best trials by trial number, best first."""

Kernels = NDArray[np.float32]


def map_figures(study: SearchedStudy, best: Best, missing: Missing) -> list[Drawing]:
    """Return small maps of the validation latents of the best trials."""
    panels: list[Panel] = []
    names: tuple[str, ...] = ()
    for number, context in _readable(best, missing, _MAPS):
        try:
            panels.append(_panel(_trial_text(study, number), context))
            names = context.images("train").class_names
        except LatentkitError as error:
            missing[f"Latent space of trial {number}"] = str(error)
    if not panels:
        return []

    def draw() -> Drawn:
        title = f"{study.title}: latents of validation images"
        return map_grid(panels, names, title, "Best first."), ""

    return [Drawing("latents", _MAPS, draw)]


def weight_figures(study: SearchedStudy, best: Best, missing: Missing) -> list[Drawing]:
    """Return the first layers of the best trials, at each epoch whose weights were kept."""
    rows: list[tuple[str, Mapping[int, Kernels]]] = []
    for number, context in _readable(best, missing, _WEIGHTS):
        title = f"First weights of trial {number}"
        try:
            kernels = _kept_kernels(context)
        except LatentkitError as error:
            missing[title] = str(error)
            continue
        if kernels:
            rows.append((_trial_text(study, number), kernels))
        else:
            missing[title] = "its run kept no weights during training: set training.snapshots"
    if not rows:
        return []

    def draw() -> Drawn:
        return kernels_over_epochs(rows, f"{study.title}: weights of the first layer"), ""

    return [Drawing("weights", _WEIGHTS, draw)]


def _readable(best: Best, missing: Missing, title: str) -> Iterator[tuple[int, StageContext]]:
    """Yield the best few runs; if there are none, record why the figure is missing."""
    if not best:
        missing[title] = "there is no run of a completed trial"
    for number in list(best)[:MOST_RUNS]:
        yield number, best[number]


def _trial_text(study: SearchedStudy, number: int) -> str:
    trial = next((one for one in study.result.trials if one.number == number), None)
    if trial is None or trial.state != "complete":
        return f"trial {number}"
    values = ", ".join(number_text(goal.value(trial)) for goal in study.goals)
    return f"trial {number}: {values}"


def _panel(title: str, context: StageContext) -> Panel:
    """Return the map of a run's validation latents.

    Raises:
        LatentkitError: its model or its images cannot be loaded, or latents are not finite.
    """
    latents = encode(context.model, context.device_images("validation"))
    if not np.isfinite(latents).all():
        raise PluginError("the model's latents of the validation images are not all finite")
    labels = context.images("train").labels
    coordinates, note = in_two_dimensions(latents)
    own = None if labels is None else labels[context.split.validation]
    return Panel(title, note, coordinates, own)


def in_two_dimensions(latents: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """Return latents (N, D) as coordinates (N, 2), and a note that says how they were made.

    One or two latents are used as they are. With more, the coordinates are the first two principal
    components. The sign of each component makes its largest loading positive.
    """
    values = latents.astype(np.float64)
    count = values.shape[1]
    if count <= 2:
        padded = np.zeros((len(values), 2))
        padded[:, :count] = values
        return padded, "the 2 latents themselves" if count == 2 else "the one latent, horizontally"
    centred = values - values.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order
    first = axes[:, :-3:-1]
    first *= np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    kept = variances[-2:].sum() / (variances.sum() or 1.0)
    return centred @ first, f"PCA of {count} latents, {kept:.0%} of their variance"


def _kept_kernels(context: StageContext) -> dict[int, Kernels]:
    """Return the first layer's weights as kernels (K, C, h, w), by epoch.

    Raises:
        LatentkitError: weights cannot be read, or the model has no such layer.
    """
    found = {}
    for epoch, model in context.snapshots().items():
        kernels = first_kernels(model)
        if kernels is None:
            kernels = _first_dense(model, context.image_shape)
        if kernels is None:
            raise PluginError("its model begins with neither a convolution nor a dense layer")
        found[epoch] = kernels
    return found


def _first_dense(model: Any, image_shape: tuple[int, int, int]) -> Kernels | None:
    """Return the first matrix (K, D): as K images if its inputs are pixels, else as one image."""
    for tensor in model.parameters():
        if tensor.ndim == 2:
            matrix: Kernels = tensor.detach().float().cpu().contiguous().numpy()
            pixels = matrix.shape[1] == np.prod(image_shape)
            return matrix.reshape(-1, *image_shape) if pixels else matrix[None, None]
    return None


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
        early_importances: the same, from the values at ``result.early_epoch``.
        best: the runs of the best trials by trial number, best first; six are shown.
        facts: rows at the head of the page.
        svg: whether to save figures as SVG, too.

    Raises:
        StorageError: the folder cannot be written.
    """
    goals = tuple(
        study_figures.Goal(label, direction, place)
        for place, (label, direction) in enumerate(zip(objectives, result.directions, strict=True))
    )
    study = SearchedStudy(name, result, space, goals)
    missing: Missing = {}

    def commit(path: str, write: Callable[[Path], None]) -> None:
        write_atomically(folder / path, write, root=folder)

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
    write_hashed(folder / RECORD, page_record(title, shown))
    page = render_page(title=title, subtitle=_subtitle(study), sections=shown)
    path = folder / run_files.REPORT
    write_bytes(path, page.encode(), root=folder)
    return path


def _subtitle(study: SearchedStudy) -> str:
    best = [f"{which[0].lower()}{which[1:]} {value}" for which, value in best_rows(study)]
    return "; ".join([counts_text(study), *best])
