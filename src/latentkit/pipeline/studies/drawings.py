"""The figures of a study; each is drawn only if the trials provide its values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial

from matplotlib.figure import Figure

from latentkit.figures.fronts import pareto_front
from latentkit.figures.parameters import parallel_coordinates
from latentkit.figures.slices import importance_bars, parameter_slices
from latentkit.figures.studies import intermediate_curves, optimisation_history
from latentkit.figures.trials import Goal, reports_of
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.studies import StudyResult

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
    goals: tuple[Goal, ...]

    @property
    def title(self) -> str:
        """The heading of every figure."""
        return f"Study {self.name}, {len(self.result.trials):,} trials"

    def of(self, text: str, goal: Goal) -> str:
        """Return a title, which names the objective if there are several."""
        return text if len(self.goals) == 1 else f"{text}: {goal.name}"

    @property
    def early_goal(self) -> Goal | None:
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
    if not any(trial.state == "complete" or len(reports_of(trial)[0]) for trial in trials):
        missing[title] = "no trial has a value"
        return []
    found = [
        _drawing(
            *(f"history{_suffix(study, goal)}", study.of(title, goal)),
            partial(optimisation_history, trials, goal, study.title),
        )
        for goal in study.goals
    ]
    title = "Value over epochs"
    if len(study.goals) > 1:
        missing[title] = "trials with several objectives report no values after epochs"
    elif not any(len(reports_of(trial)[0]) for trial in trials):
        missing[title] = "no trial reported a value after an epoch"
    else:
        draw = partial(intermediate_curves, trials, study.goals[0], study.title)
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
    study: SearchedStudy, goal: Goal, importances: Mapping[str, float], name: str, title: str
) -> Drawing:
    caption = f"Share of each parameter in the spread of the {goal.name}."
    return _drawing(name, title, partial(importance_bars, importances, study.title, caption))


def front_figures(study: SearchedStudy, missing: Missing) -> list[Drawing]:
    """Return the Pareto front if there are several objectives, else nothing."""
    title = "Pareto front"
    if len(study.goals) == 1 or not study.enough(title, missing):
        return []
    front = [trial.number for trial in study.result.front]
    draw = partial(pareto_front, study.result.trials, front, study.goals, study.title)
    return [_drawing("front", title, draw)]


def _suffix(study: SearchedStudy, goal: Goal) -> str:
    return "" if len(study.goals) == 1 else f"-{goal.place + 1}"


def _drawing(name: str, title: str, draw: Callable[[], Figure]) -> Drawing:
    def drawn() -> Drawn:
        return draw(), ""  # these figures contain their caption

    return Drawing(name, title, drawn)
