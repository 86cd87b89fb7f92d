"""How much of a run its explorer page takes, in processor seconds of each stage.

python tests/benchmarks/explorer_cost.py [--dataset digits] [--epochs N] [--embed isomap]...

The process starts cold, so that a stage pays for the packages that it is the first to import.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import latentkit as lk
from latentkit.plugin.events import Event, StageFinished, StageStarted

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--dataset", default="digits")
parser.add_argument("--model", default="conv-ae")
parser.add_argument("--epochs", type=int)
parser.add_argument("--embed", action="append", default=[])
asked = parser.parse_args()

begun: dict[str, float] = {}
taken: dict[str, float] = {}


def listen(event: Event) -> None:
    """Record the processor seconds of each stage."""
    if isinstance(event, StageStarted):
        begun[event.stage] = time.process_time()
    elif isinstance(event, StageFinished):
        taken[event.stage] = time.process_time() - begun[event.stage]


with TemporaryDirectory() as folder:
    run = lk.run(
        model=asked.model,
        dataset=asked.dataset,
        epochs=asked.epochs,
        embed=asked.embed or ["isomap", "pca"],
        runs=folder,
        listener=listen,
    )
    size = (Path(run.path) / "explorer.html").stat().st_size

total = time.process_time()
for stage, seconds in taken.items():
    print(f"{stage:20} {seconds:8.2f} s")
print(f"{'all of the process':20} {total:8.2f} s")
share = taken["explorer"] / (total - taken["explorer"])
print(f"explorer: {share:.1%} of the rest of the run, {size / 1e6:.1f} MB")
