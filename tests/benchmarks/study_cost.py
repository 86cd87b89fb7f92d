"""Cost and gain of a study of 30 trials, compared with one full run of the default model.

python tests/benchmarks/study_cost.py --data DIR [--trials 30] [--epochs 10] [--latent-dim 16]
    [--workers 1] [--seeds 1]

Both are commands in new processes; the time of the study includes all work after its last trial.
``--seeds`` sets the number of seeds for comparing default and best options on the test images; each
further seed takes two more runs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from statistics import mean
from tempfile import TemporaryDirectory
from typing import Any

import latentkit as lk


def main() -> None:
    """Run both, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--trials", type=int, default=30)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--latent-dim", type=int, default=16)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--out", type=Path, help="Keep everything in this folder.")
    asked = parser.parse_args()
    if asked.out is not None:
        compare(asked, asked.out)
        return
    with TemporaryDirectory() as folder:
        compare(asked, Path(folder))


def compare(asked: argparse.Namespace, folder: Path) -> None:
    """Run the default, then the study, then both options with further seeds."""
    common = ["--data-dir", asked.data, "--json", "-q"]
    options = ["--epochs", str(asked.epochs), "-o", f"model.latent_dim={asked.latent_dim}"]
    chosen = ["--model", "conv-ae", "--dataset", "fashion-mnist", *options]
    plain = [["run", *chosen, "--seed", str(s), "--out", str(folder / "runs")] for s in range(99)]
    one, default = timed([*plain[0], *common])
    how = ["--trials", str(asked.trials), "--workers", str(asked.workers)]
    whole, facts = timed(["tune", *chosen, *how, "--out", str(folder / "studies"), *common])
    study = lk.open_study(facts["path"])
    best = lk.open(facts["best_run"])
    print(f"one run of the default     {one:8.1f} s")
    print(f"the study                  {whole:8.1f} s, {whole / one:.1f} times")
    print_trials(study, asked)
    print(
        f"best options               {json.dumps(facts['trials'][facts['best_trial']]['params'])}"
    )
    errors = {"default": [mse(default)], "best": [mse(best.summary)]}
    for seed in range(1, asked.seeds):
        errors["default"].append(mse(timed([*plain[seed], *common])[1]))
        repeat = ["run", "--config", facts["best_config"], "--seed", str(seed)]
        out = ["--out", str(folder / "runs")]
        errors["best"].append(mse(timed([*repeat, *out, *common])[1]))
    for who, values in errors.items():
        print(f"test MSE, {who:16} {mean(values):.5f}  ({', '.join(f'{v:.5f}' for v in values)})")


def print_trials(study: Any, asked: argparse.Namespace) -> None:
    """Print the states, epochs and seconds of the trials."""
    trials = study.result.trials
    epochs = sum(int(trial.notes["epochs"]) for trial in trials)
    states = [trial.state for trial in trials]
    training = sum(
        record["seconds"]
        for trial in trials
        for record in events(study.path / "runs" / f"trial-{trial.number:04d}")
        if record["event"] == "EpochFinished"
    )
    inside = sum(trial.seconds for trial in trials)
    counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states)))
    print(f"trials                     {counts}")
    print(f"epochs                     {epochs} of {len(trials) * asked.epochs}")
    print(f"in trials                  {inside:8.1f} s, of which training {training:.1f} s")


def events(run: Path) -> list[dict[str, Any]]:
    """Return the events of a run."""
    return [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]


def timed(arguments: list[str]) -> tuple[float, dict[str, Any]]:
    """Run a command, and return its seconds and its output."""
    start = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, "-m", "latentkit", *arguments], check=True, capture_output=True, text=True
    )
    return time.perf_counter() - start, json.loads(ended.stdout)


def mse(summary: dict[str, Any]) -> float:
    """Return the test error of a run."""
    return float(summary["reconstruction"]["mse"]["value"])


if __name__ == "__main__":
    main()
