"""Seconds and peak memory of a map's quality card, against scikit-learn's Isomap at 10,000 points.

python tests/benchmarks/map_quality.py [--repeats 3] [--threads 2] [--vectors FILE.npy]

Each measurement runs in a separate process; the sizes and scikit-learn's Isomap take turns. The
first process compiles, or uses what an earlier one compiled; its time is printed separately.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

SIZES = (5_000, 10_000, 20_000, 40_000, 70_000)
DIMENSIONS = 16
YARDSTICK = 0  # stands for scikit-learn's Isomap in place of a size


def vectors(file: str | None, n: int, dimensions: int) -> np.ndarray:
    """Return n vectors from a file, or from ten clusters on curved sheets."""
    generator = np.random.default_rng(0)
    if file is not None:
        rows = np.load(file, mmap_mode="r")
        return rows[np.sort(generator.choice(len(rows), n, replace=False)), :dimensions]
    centres = 3 * generator.normal(size=(10, 4))
    sheets = centres[np.arange(n) % 10] + generator.normal(size=(n, 4))
    bent = np.tanh(sheets @ generator.normal(size=(4, dimensions)) / 2)
    return (bent + 0.05 * generator.normal(size=bent.shape)).astype(np.float32)


def timed(work: Callable[[], object]) -> float:
    """Return the seconds that work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measure(n: int, file: str | None, threads: int) -> float:
    """Return the seconds of one card including imports, or of fitting scikit-learn's Isomap."""
    if n == YARDSTICK:
        from sklearn.manifold import Isomap

        points = vectors(file, 10_000, 3)
        return timed(lambda: Isomap(n_neighbors=10).fit(points))
    points = vectors(file, n, DIMENSIONS)
    centred = points - points.mean(axis=0)
    flat = centred @ np.linalg.eigh(centred.T @ centred)[1][:, -2:]

    def card() -> None:
        from latentkit.maps.quality import map_quality

        map_quality(points, flat, np.arange(n) % 10, threads=threads)

    return timed(card)


def in_a_process(n: int, chosen: argparse.Namespace) -> dict[str, Any]:
    """Measure in a new process, and return its seconds and peak memory in MB."""
    command = [sys.executable, __file__, "--child", str(n), "--threads", str(chosen.threads)]
    if chosen.vectors:
        command += ["--vectors", chosen.vectors]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main() -> None:
    """Measure all sizes in turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--vectors", help="(n, 16 or more) array, 70,000 rows or more")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child is not None:
        seconds = measure(chosen.child, chosen.vectors, chosen.threads)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(json.dumps({"seconds": seconds, "peak": peak}))
        return
    print(f"First card of {SIZES[0]:,}: {in_a_process(SIZES[0], chosen)['seconds']:.2f} s\n")
    turns = (YARDSTICK, *SIZES)
    rounds = [[in_a_process(n, chosen) for n in turns] for _ in range(chosen.repeats)]
    print("| what | seconds | of Isomap's | peak RSS, MB |\n| --- | --- | --- | --- |")
    for n, taken in zip(turns, zip(*rounds, strict=True), strict=True):
        name = "scikit-learn Isomap, 10,000 x 3" if n == YARDSTICK else f"card of {n:,} x 16"
        seconds = statistics.median(one["seconds"] for one in taken)
        ratios = [
            one["seconds"] / turn[0]["seconds"] for one, turn in zip(taken, rounds, strict=True)
        ]
        peak = max(one["peak"] for one in taken)
        print(f"| {name} | {seconds:.2f} | {statistics.median(ratios):.2f} | {peak:,.0f} |")


if __name__ == "__main__":
    main()
