"""Time of each part of a first run, in a new process with and without compiled code on disk.

python tests/benchmarks/cold_run.py [--epochs 50] [--repeats 3]

Runs ``latentkit run --model conv-ae --embed isomap`` on the bundled digits. A cold process has an
empty folder of compiled code; a warm one uses the code that the process before it compiled. The
table also gives processor time, because a busy machine affects it less than wall-clock time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

PROGRAM = """
import json, sys, time
marks = [("start", time.time(), time.process_time())]

def listen(event):
    if type(event).__name__ == "StageFinished":
        marks.append((event.stage, time.time(), time.process_time()))
    elif type(event).__name__ == "RunStarted":
        marks.append(("packages and images", time.time(), time.process_time()))

import latentkit as lk
lk.run(model="conv-ae", embed=["isomap"], epochs=int(sys.argv[1]), listener=listen)
print(json.dumps(marks))
"""

Seconds = dict[str, tuple[float, float]]
"""Wall-clock and processor seconds of each part."""


def measured(epochs: int, cache: Path) -> Seconds:
    """Return the seconds of each part of a run in a separate process."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, str(epochs)],
            cwd=folder,
            env={**os.environ, "NUMBA_CACHE_DIR": str(cache)},
            capture_output=True,
            text=True,
            check=True,
        )
    marks = json.loads(done.stdout)
    parts = {
        name: (wall - marks[before][1], processor - marks[before][2])
        for before, (name, wall, processor) in enumerate(marks[1:])
    }
    return {**parts, "all": (marks[-1][1] - marks[0][1], marks[-1][2] - marks[0][2])}


def main() -> None:
    """Alternate cold and warm processes, and print the median of each part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    taken: dict[str, list[Seconds]] = {"cold": [], "warm": []}
    for _ in range(asked.repeats):
        with tempfile.TemporaryDirectory() as cache:
            for state in taken:
                taken[state].append(measured(asked.epochs, Path(cache)))
    print("| part | cold, s | of processor | warm, s | of processor |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for part in taken["cold"][0]:
        medians = (
            statistics.median(one[part][clock] for one in runs)
            for runs in taken.values()
            for clock in (0, 1)
        )
        print(f"| {part} | {' | '.join(f'{median:.2f}' for median in medians)} |")


if __name__ == "__main__":
    main()
