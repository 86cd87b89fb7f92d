"""``optuna``: T. Akiba et al., Optuna, KDD 2019."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_search import distribution, make_sampler
from latentkit.builtins.tuners.optuna_study import result_of, stored_study
from latentkit.builtins.tuners.optuna_worker import Worker
from latentkit.plugin import Budget, Objective, StudyResult, StudyTask, Tuner


class OptunaTuner:
    """Optuna as a `latentkit.plugin.studies.Tuner`."""

    def __init__(self, options: OptunaOptions) -> None:
        self._options = options

    def optimize(self, objective: Objective, task: StudyTask, budget: Budget) -> StudyResult:
        """Run trials until the study holds ``budget.trials`` finished ones, or time is up."""
        _speak_softly()
        # Fail before the study is created if the sampler cannot be used.
        make_sampler(self._options, 0, len(task.directions))
        worker = Worker(self._options, task)
        worker.work(objective, budget)
        return worker.result()

    def load(self, task: StudyTask) -> StudyResult | None:
        """Return the trials of a stored study, or None if it does not exist."""
        _speak_softly()
        with stored_study(task) as study:
            return None if study is None else result_of(study, task)

    def importances(self, task: StudyTask, epoch: int | None = None) -> Mapping[str, float]:
        """Return each parameter's importance by functional ANOVA (Hutter et al., ICML 2014).

        The result is empty if too few trials have different values.
        """
        _speak_softly()
        with stored_study(task) as study:
            stored = (
                [] if study is None else study.get_trials(states=(State.COMPLETE, State.PRUNED))
            )
        domains = {name: distribution(domain) for name, domain in task.space.items()}
        known_trials = (_valued(trial, epoch, domains) for trial in stored)
        valued = [trial for trial in known_trials if trial is not None]
        if len({trial.value for trial in valued}) < len(task.space) + 2:
            return {}
        known = optuna.create_study()  # in memory
        known.add_trials(valued)
        evaluator = optuna.importance.FanovaImportanceEvaluator(
            n_trees=64, max_depth=64, seed=task.seed
        )
        found = optuna.importance.get_param_importances(known, evaluator=evaluator)
        return {name: float(share) for name, share in found.items()}


def _valued(
    trial: FrozenTrial, epoch: int | None, domains: Mapping[str, BaseDistribution]
) -> FrozenTrial | None:
    """Return a trial as if it had completed with its value after ``epoch``.

    Without an epoch this is the first of its final values. None if the trial has no finite value.
    Its parameters are in the study's domains, whatever the storage says.
    """
    if epoch is None:
        value = trial.values[0] if trial.state is State.COMPLETE else None
    else:
        value = trial.intermediate_values.get(epoch)
    if value is None or not math.isfinite(value):
        return None
    return optuna.trial.create_trial(
        params={name: trial.params[name] for name in domains if name in trial.params},
        distributions={name: domains[name] for name in domains if name in trial.params},
        value=value,
    )


def build(options: OptunaOptions) -> Tuner:
    """Build ``optuna``."""
    return OptunaTuner(options)


def _speak_softly() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
