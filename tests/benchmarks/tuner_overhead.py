"""Cost of the tuner itself for each trial: proposals, storage and pruning.

python tests/benchmarks/tuner_overhead.py [--trials 100] [--epochs 10]

The objective takes no time: it reports a number after each epoch and returns it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from latentkit.plugin import Budget, SearchChoice, SearchRange, StudyTask, Trial
from latentkit.registry.catalogue import default_registry

SPACE = {
    "learning_rate": SearchRange(1e-4, 1e-1, log=True),
    "latent_dim": SearchRange(2, 64, log=True),
    "width": SearchRange(16, 512, step=16),
    "activation": SearchChoice(("relu", "gelu", "silu", "tanh")),
}


def main() -> None:
    """Print milliseconds a trial for each sampler."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=10)
    asked = parser.parse_args()
    part = default_registry().get("tuner", "optuna")
    build = part.target()
    print(f"{asked.trials} trials of at most {asked.epochs} epochs, SQLite\n")
    print("| sampler | pruner | median, ms a trial | first ten | last ten |")
    print("| --- | --- | --- | --- | --- |")
    for sampler in ("random", "tpe", "gp"):
        for pruner in ("none", "asha"):
            options = part.options({"sampler": sampler, "pruner": pruner})
            with TemporaryDirectory() as folder:
                took = measure(build(options), Path(folder), asked.trials, asked.epochs)
            cells = (median(took), median(took[:10]), median(took[-10:]))
            shown = " | ".join(f"{1e3 * seconds:.0f}" for seconds in cells)
            print(f"| {sampler} | {pruner} | {shown} |", flush=True)


def measure(tuner: object, folder: Path, trials: int, epochs: int) -> list[float]:
    """Return the seconds from the start of each trial to the start of the next."""
    begun: list[float] = []

    def objective(trial: Trial) -> Sequence[float]:
        begun.append(time.perf_counter())
        value = abs(trial.params["learning_rate"] - 1e-2) + 1 / trial.params["latent_dim"]
        for epoch in range(1, epochs + 1):
            trial.report(epoch, value + 1 / epoch)
        return [value]

    task = StudyTask("s", f"sqlite:///{folder}/study.db", SPACE, ("minimize",), 0)
    tuner.optimize(objective, task, Budget(trials))  # type: ignore[attr-defined]
    begun.append(time.perf_counter())
    return [after - before for before, after in pairwise(begun)]


if __name__ == "__main__":
    main()
