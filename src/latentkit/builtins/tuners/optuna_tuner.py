"""``optuna``: T. Akiba et al., Optuna, KDD 2019."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import optuna
from optuna.trial import TrialState as State

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_search import make_sampler
from latentkit.builtins.tuners.optuna_stored import result_of, stored_study
from latentkit.builtins.tuners.optuna_worker import Worker
from latentkit.plugin import Budget, Objective, StudyResult, StudyTask, Tuner


class OptunaTuner:
    """See `latentkit.plugin.studies.Tuner`."""

    def __init__(self, options: OptunaOptions) -> None:
        self._options = options

    def optimize(self, objective: Objective, task: StudyTask, budget: Budget) -> StudyResult:
        """Run trials until the study holds ``budget.trials`` finished ones, or time is up."""
        _speak_softly()
        make_sampler(self._options, 0, len(task.directions))  # whether there is one
        worker = Worker(self._options, task)
        worker.work(objective, budget)
        return worker.result()

    def load(self, task: StudyTask) -> StudyResult | None:
        """Return what is stored of a study."""
        _speak_softly()
        with stored_study(task) as study:
            return None if study is None else result_of(study, task)

    def importances(self, task: StudyTask) -> Mapping[str, float]:
        """Return what functional ANOVA (Hutter et al., ICML 2014) gives each parameter."""
        _speak_softly()
        with stored_study(task) as study:
            completed = [] if study is None else study.get_trials(states=(State.COMPLETE,))
            if study is None or len({trial.values[0] for trial in completed}) < len(task.space) + 2:
                return {}
            found = optuna.importance.get_param_importances(
                study,
                evaluator=optuna.importance.FanovaImportanceEvaluator(
                    n_trees=64, max_depth=64, seed=task.seed
                ),
                target=lambda trial: trial.values[0],
            )
        return {name: float(share) for name, share in found.items()}


def build(options: OptunaOptions) -> Tuner:
    """Return the tuner."""
    return OptunaTuner(options)


def _speak_softly() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
