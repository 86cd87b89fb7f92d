"""One worker of a study: it claims trials, runs them and stores their outcome.

The sampler of each trial is seeded from the study's seed and the trial's number, and an interrupted
trial is resumed under its number. So a resumed study proposes the parameters that it would have
proposed without the interruption.
"""

from __future__ import annotations

import math
import time
from contextlib import suppress
from typing import Any

import optuna
from optuna.exceptions import UpdateFinishedTrialError
from optuna.trial import FrozenTrial
from optuna.trial import TrialState as State

from latentkit.builtins.tuners import optuna_search
from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.builtins.tuners.optuna_storage import Storage
from latentkit.builtins.tuners.optuna_study import ERROR, OptunaTrial, StopRule, result_of
from latentkit.builtins.tuners.optuna_watch import WORKER, Pulse, Watch
from latentkit.errors import UserError, describe_error
from latentkit.plugin import (
    BLAMELESS,
    Budget,
    Objective,
    StudyResult,
    StudyStopped,
    StudyTask,
    TrialPruned,
    short_stream_seed,
)

_FINISHED = (State.COMPLETE, State.PRUNED, State.FAIL)
_SECONDS_BETWEEN_LOOKS = 0.5
_IDENTITY = "identity"


class Worker:
    """One of any number of workers on a study.

    Args:
        options: options of the tuner.
        task: what is searched, and in which storage.

    Raises:
        UserError: the stored study of that name searches something else.
        StorageError: the storage cannot be reached.
    """

    def __init__(self, options: OptunaOptions, task: StudyTask) -> None:
        self._options = options
        self._task = task
        self._storage = Storage(task.storage, options.patience)
        self._study = self._storage.patiently(self._open)
        self._watch = Watch(self._storage, self._study, options.heartbeat)
        self._distributions = {
            name: optuna_search.distribution(d) for name, d in task.space.items()
        }
        self._first_name = next(iter(task.space), "")

    def work(self, objective: Objective, budget: Budget) -> None:
        """Claim and run trials until the study holds enough finished ones, or time is up."""
        end = math.inf if budget.seconds is None else time.monotonic() + budget.seconds
        while time.monotonic() < end and not self._is_over(budget):
            trial = self._storage.patiently(lambda: self._claim(budget))
            if trial is None:
                time.sleep(_SECONDS_BETWEEN_LOOKS)
            else:
                self._run(trial, objective)

    def result(self) -> StudyResult:
        """Return the records of all trials, this worker's and others'."""
        return self._storage.patiently(lambda: result_of(self._study, self._task))

    def _open(self) -> optuna.Study:
        task = self._task
        study = optuna.create_study(
            storage=self._storage.engine,
            study_name=task.name,
            directions=list(task.directions),
            load_if_exists=True,
            pruner=optuna_search.make_pruner(self._options),
        )
        if self._options.sampler == "cma-es" and study.trials and not task.trusted:
            raise UserError(
                f"sampler cma-es executes code that is stored in {self._storage}, which was not "
                f"made here: if you trust whoever made it, name it with --storage"
            )
        known = study.user_attrs.get(_IDENTITY)
        if known is None and not study.get_trials(deepcopy=False):
            study.set_user_attr(_IDENTITY, task.identity)
        elif known != task.identity or len(study.directions) != len(task.directions):
            raise UserError(
                f"study {task.name!r} in {self._storage} already exists with other settings, "
                f"another search space or other objectives: choose another --name"
            )
        return study

    def _sampler(self, number: int, parameter: str = "") -> optuna.samplers.BaseSampler:
        """Return the sampler of a trial. In the first trial it fixes the parameters of the task.

        Each parameter that is drawn independently has its own random stream, so an interruption
        between two draws does not change them.
        """
        seed = short_stream_seed(self._task.seed, "trial", number, parameter)
        sampler = optuna_search.make_sampler(self._options, seed, len(self._task.directions))
        if number or not self._task.first:
            return sampler
        first = {name: optuna_search.stored(value) for name, value in self._task.first.items()}
        return optuna.samplers.PartialFixedSampler(first, sampler)

    def _is_over(self, budget: Budget) -> bool:
        return self._storage.patiently(lambda: self._count(*_FINISHED)) >= budget.trials

    def _count(self, *states: State, below: float = math.inf) -> int:
        trials = self._study.get_trials(deepcopy=False, states=states)
        return sum(trial.number < below for trial in trials)

    def _claim(self, budget: Budget) -> optuna.Trial | None:
        """Return a waiting trial, or a new one; None while other workers run all that are left.

        If the claim is interrupted at any point, the next claim, or the next worker, picks the
        trial up.
        """
        self._watch.sweep()
        trials = self._study.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.state is State.WAITING]
        if len(trials) - len(waiting) >= budget.trials:
            return None
        trial = self._taken(waiting[0]) if waiting else self._started()
        # If several workers asked at the same moment, the lower numbers win the places left.
        if self._count(*_FINISHED, State.RUNNING, below=trial.number) >= budget.trials:
            self._watch.put_back(trial._trial_id)
            return None
        self._watch.sign(trial._trial_id)
        return trial

    def _started(self) -> optuna.Trial:
        """Create a trial that carries this worker's name from the start."""
        self._study.add_trial(
            optuna.trial.create_trial(state=State.RUNNING, user_attrs={WORKER: self._watch.worker})
        )
        running = self._study.get_trials(deepcopy=False, states=(State.RUNNING,))
        made = next(t for t in running if t.user_attrs.get(WORKER) == self._watch.worker)
        self._study.sampler = self._sampler(made.number, self._first_name)
        return optuna.Trial(self._study, made._trial_id)

    def _taken(self, first: FrozenTrial) -> optuna.Trial:
        """Take a trial from the queue: ``first``, unless another worker is faster."""
        self._watch.intend(first._trial_id)
        self._study.sampler = self._sampler(first.number, self._first_name)
        return self._study.ask()

    def _run(self, trial: optuna.Trial, objective: Objective) -> None:
        with Pulse(self._storage, trial._trial_id, self._options.heartbeat):
            try:
                params = self._storage.patiently(lambda: self._suggest(trial))
                stop_rule = self._storage.patiently(lambda: self._stop_rule(trial))
                values = tuple(objective(OptunaTrial(trial, params, self._storage, stop_rule)))
                self._check(values)
            except TrialPruned:
                self._tell(trial, State.PRUNED)
            except StudyStopped as error:
                self._fail(trial, str(error))
                raise
            except BLAMELESS:
                self._let_wait(trial)
                raise
            except Exception as error:
                self._fail(trial, describe_error(error))
            except BaseException:
                self._let_wait(trial)
                raise
            else:
                self._tell(trial, State.COMPLETE, values)

    def _stop_rule(self, trial: optuna.Trial) -> StopRule | None:
        return StopRule(self._study, trial.storage) if len(self._task.directions) == 1 else None

    def _suggest(self, trial: optuna.Trial) -> dict[str, Any]:
        """Return the trial's parameters, and draw those that it has not stored yet.

        They are the same as without an interruption.
        """
        self._study.sampler = self._sampler(trial.number, self._first_name)
        trial.relative_params  # noqa: B018 (the first access draws and keeps them)
        for name, domain in self._distributions.items():
            self._study.sampler = self._sampler(trial.number, name)
            match domain:
                case optuna.distributions.CategoricalDistribution():
                    trial.suggest_categorical(name, domain.choices)
                case optuna.distributions.IntDistribution():
                    trial.suggest_int(
                        name, domain.low, domain.high, step=domain.step, log=domain.log
                    )
                case optuna.distributions.FloatDistribution():
                    trial.suggest_float(
                        name, domain.low, domain.high, step=domain.step, log=domain.log
                    )
        return optuna_search.read_params(trial.params, self._task.space)

    def _check(self, values: tuple[float, ...]) -> None:
        if len(values) != len(self._task.directions):
            raise ValueError(
                f"the objective returned {len(values)} values, but the study has "
                f"{len(self._task.directions)} directions"
            )
        if not all(map(math.isfinite, values)):
            raise ValueError(
                f"the objective returned {', '.join(map(str, values))}: values must be finite"
            )

    def _let_wait(self, trial: optuna.Trial) -> None:
        with suppress(Exception):  # if the storage is lost, others notice the silence
            self._watch.put_back(trial._trial_id)

    def _fail(self, trial: optuna.Trial, reason: str) -> None:
        with suppress(UpdateFinishedTrialError):
            self._storage.patiently(lambda: trial.set_user_attr(ERROR, reason))
        self._tell(trial, State.FAIL)

    def _tell(self, trial: optuna.Trial, state: State, values: Any = None) -> None:
        """Finish a trial, unless it was given to another worker meanwhile."""
        try:
            self._storage.patiently(
                lambda: self._study.tell(trial, values, state, skip_if_finished=True)
            )
        except (UpdateFinishedTrialError, ValueError):  # ValueError: the trial is not running
            return
