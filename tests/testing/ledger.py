"""A simple tuner that keeps the contract, and variants that each break one rule of it."""

from __future__ import annotations

import ast
import itertools
import math
import random
import time
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from latentkit.errors import UserError
from latentkit.plugin import (
    SearchChoice,
    StudyResult,
    StudyStopped,
    TrialPruned,
    TrialRecord,
)

FINISHED = ("complete", "pruned", "failed")


class LedgerTrial:
    def __init__(self, tuner, task, number, params):
        self.number, self.params = number, params
        self._tuner, self._task = tuner, task

    def report(self, epoch, value):
        with self._tuner.ledger(self._task) as study:
            self._tuner.write_report(study["trials"][self.number]["reports"], epoch, value)

    def note(self, key, value):
        with self._tuner.ledger(self._task) as study:
            self._tuner.write_note(study["trials"][self.number]["notes"], key, value)


class LedgerTuner:
    """Tuner that stores all studies in a file as one Python literal.

    The parameters of a trial are drawn from its number.
    """

    def optimize(self, objective, task, budget):
        end = time.monotonic() + (math.inf if budget.seconds is None else budget.seconds)
        with self.ledger(task) as study:
            self.identify(study, task)
        while time.monotonic() < end:
            with self.ledger(task) as study:
                number = self.claim(study["trials"], task, budget.trials)
                over = number is None and not self.running(study["trials"])
            if over:
                break
            if number is None:
                time.sleep(0.01)
                continue
            self.run(objective, task, number)
        return self.load(task)

    def load(self, task):
        with self.ledger(task) as study:
            if not study:
                return None
            records = [TrialRecord(number=n, **t) for n, t in enumerate(study["trials"])]
            return StudyResult(task.name, tuple(study["directions"]), tuple(records))

    @contextmanager
    def ledger(self, task):
        """Yield the study and store its changes afterwards; other processes wait meanwhile."""
        path = Path(task.storage.removeprefix("sqlite:///"))
        with FileLock(f"{path}.lock"):
            studies = ast.literal_eval(path.read_text()) if path.exists() else {}
            yield studies.setdefault(task.name, {})
            path.write_text(repr(studies))

    def identify(self, study, task):
        if not study:
            study |= {"identity": task.identity, "trials": [], "directions": task.directions}
        if study["identity"] != task.identity:
            raise UserError(f"study {task.name!r} is another")

    def claim(self, trials, task, wanted):
        """Return the number of the trial to run, or None; trials are records as dictionaries."""
        states = [trial["state"] for trial in trials]
        if sum(state != "waiting" for state in states) >= wanted:
            return None
        if "waiting" in states:
            number = states.index("waiting")
        else:
            number = len(trials)
            params = self.propose(task, number)
            trials.append({"params": params, "reports": {}, "notes": {}})
        trials[number]["state"] = "running"
        return number

    def running(self, trials):
        return any(trial["state"] == "running" for trial in trials)

    def run(self, objective, task, number):
        with self.ledger(task) as study:
            params = study["trials"][number]["params"]
        try:
            values = tuple(map(float, objective(LedgerTrial(self, task, number, params))))
            self.check(values)
        except TrialPruned:
            self.end(task, number, self.pruned)
        except StudyStopped as stop:
            self.end(task, number, "failed", error=str(stop))
            self.stop(stop)
        except Exception as error:
            self.end(task, number, "failed", error=repr(error))
        except KeyboardInterrupt as interrupt:
            self.interrupt(task, number, interrupt)
        else:
            self.end(task, number, "complete", values=values)

    def end(self, task, number, state, **more):
        with self.ledger(task) as study:
            study["trials"][number] |= {"state": state, **more}

    pruned = "pruned"

    def check(self, values):
        if any(map(math.isnan, values)):
            raise ValueError("not a number")

    def stop(self, stopped):
        raise stopped

    def interrupt(self, task, number, interrupt):
        self.end(task, number, "waiting")
        raise interrupt

    def write_report(self, reports, epoch, value):
        reports[epoch] = value

    def write_note(self, notes, key, value):
        notes[key] = value

    def propose(self, task, number):
        generator = random.Random(f"{task.seed} {number}")
        return {name: draw(domain, generator) for name, domain in task.space.items()}


def draw(domain, generator):
    if isinstance(domain, SearchChoice):
        return generator.choice(domain.values)
    whole = isinstance(domain.low, int)
    if whole or domain.step:
        step = domain.step or 1
        count = math.floor((domain.high - domain.low) / step + 1e-9)
        return domain.low + generator.randint(0, count) * step
    if domain.log:
        return math.exp(generator.uniform(math.log(domain.low), math.log(domain.high)))
    return generator.uniform(domain.low, domain.high)


class OutOfRange(LedgerTuner):
    def propose(self, task, number):
        params = super().propose(task, number)
        return {k: v + 10 if k == "plain" else v for k, v in params.items()}


class OffItsSteps(LedgerTuner):
    def propose(self, task, number):
        params = super().propose(task, number)
        return {k: min(v + 1, 128) if k == "whole_stepped" else v for k, v in params.items()}


class FloatsForIntegers(LedgerTuner):
    def propose(self, task, number):
        params = super().propose(task, number)
        return {k: float(v) if k.startswith("whole") else v for k, v in params.items()}


class ListsForTuples(LedgerTuner):
    def propose(self, task, number):
        params = super().propose(task, number)
        return {k: list(v) if isinstance(v, tuple) else v for k, v in params.items()}


class NumbersForSwitches(LedgerTuner):
    def propose(self, task, number):
        params = super().propose(task, number)
        return {k: int(v) if isinstance(v, bool) else v for k, v in params.items()}


class Unseeded(LedgerTuner):
    calls = itertools.count()

    def propose(self, task, number):
        generator = random.Random(next(self.calls))
        return {name: draw(domain, generator) for name, domain in task.space.items()}


class RepeatsAfterAPause(LedgerTuner):
    """Draws by the count of its own calls, so a new tuner object repeats the first draws."""

    def __init__(self):
        self.calls = itertools.count()

    def propose(self, task, number):
        return super().propose(task, next(self.calls))


class NewParametersAfterAnInterrupt(LedgerTuner):
    def claim(self, trials, task, wanted):
        number = super().claim(trials, task, wanted)
        if number is not None and trials[number].pop("again", False):
            trials[number]["params"] = self.propose(task, number + 1000)
        return number

    def interrupt(self, task, number, interrupt):
        with self.ledger(task) as study:
            study["trials"][number] |= {"state": "waiting", "again": True}
        raise interrupt

    def load(self, task):
        with self.ledger(task) as study:
            for trial in study.get("trials", ()):
                trial.pop("again", None)
        return super().load(task)


class OneTooMany(LedgerTuner):
    def claim(self, trials, task, wanted):
        return super().claim(trials, task, wanted + 1)


class OneTooManyWhenGoneOnWith(LedgerTuner):
    def claim(self, trials, task, wanted):
        return super().claim(trials, task, wanted + (wanted == 7))


class CountsCompletedOnly(LedgerTuner):
    """Counts only completed trials, but starts at most ten, so that the study ends."""

    def claim(self, trials, task, wanted):
        failed = sum(trial["state"] == "failed" for trial in trials)
        extra = min(failed, 10 - wanted) if failed == len(trials) else 0
        return super().claim(trials, task, wanted + extra)


class BeginsAnew(LedgerTuner):
    """Forgets finished trials at each call."""

    def identify(self, study, task):
        super().identify(study, task)
        if not any(trial["state"] == "waiting" for trial in study["trials"]):
            study["trials"].clear()


class IgnoresSeconds(LedgerTuner):
    def optimize(self, objective, task, budget):
        return super().optimize(objective, task, type(budget)(budget.trials))


class EndsWithAFailure(LedgerTuner):
    def end(self, task, number, state, **more):
        super().end(task, number, state, **more)
        if "ValueError" in more.get("error", ""):
            raise RuntimeError("a trial failed")


class ForgetsReasons(LedgerTuner):
    def end(self, task, number, state, **more):
        super().end(task, number, state, **{k: v for k, v in more.items() if k != "error"})


class KeepsNaN(LedgerTuner):
    def check(self, values):
        pass

    def end(self, task, number, state, values=(), **more):
        values = tuple(0.0 if math.isnan(value) else value for value in values)
        super().end(task, number, state, values=values, **more)


class GoesOnWhenStopped(LedgerTuner):
    def stop(self, stopped):
        pass


class FailsThePruned(LedgerTuner):
    pruned = "failed"


class SwallowsInterrupts(LedgerTuner):
    def interrupt(self, task, number, interrupt):
        self.end(task, number, "failed", error="interrupted")


class FailsTheInterrupted(LedgerTuner):
    def interrupt(self, task, number, interrupt):
        self.end(task, number, "failed", error="interrupted")
        raise interrupt


class ForgetsReports(LedgerTuner):
    def write_report(self, reports, epoch, value):
        pass


class RefusesToldEpochs(LedgerTuner):
    def write_report(self, reports, epoch, value):
        if epoch in reports:
            raise ValueError(f"epoch {epoch} was told before")
        reports[epoch] = value


class ForgetsNotes(LedgerTuner):
    def write_note(self, notes, key, value):
        pass


class LoadsTheEmpty(LedgerTuner):
    def load(self, task):
        return super().load(task) or StudyResult(task.name, task.directions, ())


class StoresAtTheEnd(LedgerTuner):
    """Hides trials from others until they are finished."""

    def load(self, task):
        found = super().load(task)
        if found is None:
            return None
        shown = tuple(trial for trial in found.trials if trial.state != "running")
        return StudyResult(found.name, found.directions, shown)


class IgnoresIdentity(LedgerTuner):
    def identify(self, study, task):
        study.update({"identity": task.identity} if study else {})
        super().identify(study, task)


class OneStudyAFile(LedgerTuner):
    @contextmanager
    def ledger(self, task):
        with super().ledger(type(task)("the one", task.storage, {}, (), 0)) as study:
            yield study


class AlwaysMinimises(LedgerTuner):
    def identify(self, study, task):
        super().identify(study, task)
        study["directions"] = ("minimize",) * len(task.directions)


class RunsWhatOthersRun(LedgerTuner):
    """Treats a trial that another worker is running as one that waits."""

    def claim(self, trials, task, wanted):
        for trial in trials:
            trial["state"] = "waiting" if trial["state"] == "running" else trial["state"]
        return super().claim(trials, task, wanted)
