"""Isomap with landmarks against scikit-learn's: seconds, memory, and similarity of the maps.

python tests/benchmarks/isomap_scale.py --latents latents.npy [--sizes 10000 70000] [--repeats 3]

First both map 10,000 points in turn, in one process. Then each size is mapped in a new process
that finds its compiled code on disk. If there are fewer latents than requested points, latents
are drawn repeatedly, with noise of ``--noise`` standard deviations.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import numpy as np
from map_measures import points_of
from scipy.spatial import procrustes
from sklearn.manifold import Isomap

import latentkit as lk


def seconds_of(estimator, points: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the seconds that a map takes, and the map."""
    start = time.perf_counter()
    coordinates = estimator.fit_transform(points)
    return time.perf_counter() - start, coordinates


def side_by_side(points: np.ndarray, repeats: int) -> float:
    """Print the results of both, measured in turn, and return scikit-learn's median seconds."""
    seconds_of(lk.embedding("isomap"), points)
    ours, theirs = [], []
    for _ in range(repeats):
        theirs.append(seconds_of(Isomap(n_neighbors=10), points))
        ours.append(seconds_of(lk.embedding("isomap"), points))
    peer, mine = (median(seconds for seconds, _ in runs) for runs in (theirs, ours))
    disparity = procrustes(theirs[0][1], ours[0][1])[2]
    print(f"\n{len(points):,} x {points.shape[1]}, warm, in turn, {repeats} times\n")
    print("| | seconds | scikit-learn / ours | Procrustes disparity |")
    print("| --- | --- | --- | --- |")
    print(f"| scikit-learn | {peer:.2f} | | |")
    print(f"| latentkit | {mine:.2f} | {peer / mine:.1f} | {disparity:.1e} |", flush=True)
    return peer


def alone(path: str, n: int, noise: float) -> None:
    """Map in this process, and print a line of JSON."""
    points = points_of(path, n, noise)
    estimator = lk.embedding("isomap")
    expected = estimator.estimate(*points.shape)
    seconds, _ = seconds_of(estimator, points)
    # Read the peak from /proc, because getrusage would include the parent's peak.
    status = Path("/proc/self/status").read_text(encoding="ascii")
    peak = 1024 * int(re.search(r"VmHWM:\s+(\d+)", status)[1])
    facts = {key: value for key, value in estimator.facts_.items() if key != "landmark_rows"}
    print(json.dumps({"seconds": seconds, "peak": peak, "expected": expected.bytes, **facts}))


def in_fresh_processes(path: str, sizes: list[int], noise: float, peer: float) -> None:
    """Print the cost of each size, including the start of Python and imports."""
    print("\nFresh processes, compiled code on disk; the first has none\n")
    print("| points | process, s | map, s | process / scikit-learn's 10,000 | peak RSS, GB "
          "| recall | components | landmarks |")  # fmt: skip
    print("| --- " * 8 + "|")
    for n, compiled in [(sizes[0], False), *((size, True) for size in sizes)]:
        command = [sys.executable, __file__, "--latents", path, "--alone", str(n)]
        with TemporaryDirectory() as empty:
            environment = os.environ if compiled else {**os.environ, "NUMBA_CACHE_DIR": empty}
            start = time.perf_counter()
            done = subprocess.run(
                [*command, "--noise", str(noise)],
                check=True,
                capture_output=True,
                text=True,
                env=environment,
            )
            whole = time.perf_counter() - start
        found = json.loads(done.stdout)
        print(
            f"| {n:,}{'' if compiled else ', compiling'} "
            f"| {whole:.1f} | {found['seconds']:.1f} | {whole / peer:.2f} "
            f"| {found['peak'] / 1e9:.2f} | {found['graph_recall']:.4f} "
            f"| {found['components']:,} | {found['landmarks']} |",
            flush=True,
        )


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--latents", required=True, type=lambda text: str(Path(text).absolute()))
    parser.add_argument("--beside", type=int, default=10_000)
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 70_000])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.1)
    parser.add_argument("--alone", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.alone:
        alone(chosen.latents, chosen.alone, chosen.noise)
        return
    peer = side_by_side(points_of(chosen.latents, chosen.beside, chosen.noise), chosen.repeats)
    in_fresh_processes(chosen.latents, chosen.sizes, chosen.noise, peer)


if __name__ == "__main__":
    main()
