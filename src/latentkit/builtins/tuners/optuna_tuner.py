"""``optuna``: T. Akiba et al., Optuna, KDD 2019.

Every setting of sampler and pruner is written out, for their defaults change with releases. Each
trial's sampler is seeded from the study's seed and the trial's number, so a study that is
continued proposes what it would have proposed without the break.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Literal

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.plugin import (
    Budget,
    Objective,
    SearchRange,
    StudyResult,
    TrialPruned,
    TrialRecord,
    Tuner,
)
from latentkit.plugin.options import SearchDomain
from latentkit.plugin.seeds import short_stream_seed

_FINISHED = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
_State = Literal["complete", "pruned", "failed", "running"]
_STATES: dict[TrialState, _State] = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
}


class OptunaTrial:
    """An Optuna trial as `latentkit.plugin.protocols.Trial`."""

    def __init__(self, trial: optuna.Trial) -> None:
        self._trial = trial
        self.number = trial.number
        self.params: Mapping[str, Any] = trial.params

    def report(self, epoch: int, value: float) -> None:
        """Tell the value after ``epoch``; raises `TrialPruned` where the pruner gives up."""
        self._trial.report(value, epoch)
        if self._trial.should_prune():
            raise TrialPruned(f"given up after epoch {epoch}")


class OptunaTuner:
    """See `latentkit.plugin.protocols.Tuner`."""

    def __init__(self, options: OptunaOptions) -> None:
        self._options = options

    def optimize(
        self,
        objective: Objective,
        *,
        space: Mapping[str, SearchDomain],
        budget: Budget,
        storage: str,
        study: str,
        seed: int,
    ) -> StudyResult:
        """Run trials until the study holds ``budget.trials`` finished ones, or time is up."""
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        found = optuna.create_study(
            storage=storage,
            study_name=study,
            direction="minimize",
            load_if_exists=True,
            pruner=self._pruner(),
        )
        distributions = {name: _distribution(domain) for name, domain in space.items()}
        end = None if budget.seconds is None else time.monotonic() + budget.seconds
        while _count(found) < budget.trials and (end is None or time.monotonic() < end):
            number = len(found.get_trials(deepcopy=False))
            found.sampler = self._sampler(short_stream_seed(seed, "trial", number))
            _run_one(found, found.ask(distributions), objective)
        return StudyResult(study, tuple(map(_record, found.get_trials(deepcopy=False))))

    def _sampler(self, seed: int) -> optuna.samplers.BaseSampler:
        if self._options.sampler == "random":
            return optuna.samplers.RandomSampler(seed=seed)
        return optuna.samplers.TPESampler(
            seed=seed,
            n_startup_trials=self._options.startup_trials,
            n_ei_candidates=24,
            multivariate=True,
            group=False,
            constant_liar=False,
        )

    def _pruner(self) -> optuna.pruners.BasePruner:
        if self._options.pruner == "none":
            return optuna.pruners.NopPruner()
        return optuna.pruners.MedianPruner(
            n_startup_trials=self._options.startup_trials,
            n_warmup_steps=1,
            interval_steps=1,
            n_min_trials=3,
        )


def build(options: OptunaOptions) -> Tuner:
    """Return the tuner."""
    return OptunaTuner(options)


def _run_one(study: optuna.Study, trial: optuna.Trial, objective: Objective) -> None:
    try:
        value = objective(OptunaTrial(trial))
    except TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except Exception as error:
        trial.set_user_attr("error", f"{type(error).__name__}: {error}")
        study.tell(trial, state=TrialState.FAIL)
    except BaseException:
        study.tell(trial, state=TrialState.FAIL)
        raise
    else:
        study.tell(trial, value)


def _count(study: optuna.Study) -> int:
    return len(study.get_trials(deepcopy=False, states=_FINISHED))


def _distribution(domain: SearchDomain) -> BaseDistribution:
    if not isinstance(domain, SearchRange):
        return CategoricalDistribution(domain.values)
    whole = isinstance(domain.low, int) and isinstance(domain.high, int)
    if whole:
        step = 1 if domain.step is None else int(domain.step)
        return IntDistribution(int(domain.low), int(domain.high), log=domain.log, step=step)
    return FloatDistribution(domain.low, domain.high, log=domain.log, step=domain.step)


def _record(trial: FrozenTrial) -> TrialRecord:
    duration = trial.duration
    return TrialRecord(
        number=trial.number,
        state=_STATES.get(trial.state, "running"),
        params=trial.params,
        value=trial.value if trial.state is TrialState.COMPLETE else None,
        seconds=duration.total_seconds() if duration else 0.0,
    )
