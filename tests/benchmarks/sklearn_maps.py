"""Memory and processor time of the maps of latentkit-sklearn-embeddings, with their estimates.

    python tests/benchmarks/sklearn_maps.py [--points 4000]

Each map is fitted in a separate process, on one thread, to clusters in 16 dimensions.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time

DIMENSIONS = 16
PAIRS = (
    ("mds", "max_iter=100 eps=1e-9"),
    ("mds", "metric=false max_iter=20 eps=1e-9"),
    ("classical-mds", ""),
    ("classical-mds", "metric=euclidean"),
    ("spectral", "affinity=rbf"),
)
OTHERS = (
    ("spectral", ""),
    ("lle", ""),
    ("lle", "method=modified"),
    ("lle", "method=hessian"),
    ("lle", "method=ltsa"),
    ("fast-ica", ""),
    ("nmf", ""),
    ("factor-analysis", ""),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--one", nargs=2)
    asked = parser.parse_args()
    if asked.one:
        print(measure(*asked.one, asked.points))
        return
    print("| map | options | points | MiB | estimate | seconds | estimate |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for name, options in (*PAIRS, *OTHERS):
        command = [sys.executable, __file__, "--points", str(asked.points), "--one", name, options]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        row = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
        print(row.stdout, end="", flush=True)


def measure(name: str, options: str, n: int) -> str:
    """Return a row of the table."""
    import numpy as np

    import latentkit as lk

    generator = np.random.default_rng(0)
    centres = 2 * generator.normal(size=(10, DIMENSIONS))
    points = centres[generator.integers(10, size=n)] + generator.normal(size=(n, DIMENSIONS))
    chosen = dict(word.split("=") for word in options.split())
    estimator = lk.embedding(name, **{k: _value(v) for k, v in chosen.items()})
    lk.embedding(name, **{k: _value(v) for k, v in chosen.items()}).fit_transform(points[:300])
    expected = estimator.estimate(n, DIMENSIONS)
    before, began = _peak(), time.process_time()
    estimator.fit_transform(points)
    seconds, taken = time.process_time() - began, _peak() - before
    return (
        f"| {name} | {options} | {n:,} | {taken / 2**20:.0f} | {expected.bytes / 2**20:.0f} "
        f"| {seconds:.1f} | {expected.seconds:.1f} |"
    )


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _value(text: str) -> object:
    words = {"true": True, "false": False}
    if text in words:
        return words[text]
    try:
        return float(text) if "e" in text and text[0].isdigit() else int(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
