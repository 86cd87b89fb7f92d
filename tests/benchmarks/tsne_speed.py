"""t-SNE by latentkit, openTSNE's defaults and (at 10,000) scikit-learn's, in turn in one process.

python tests/benchmarks/tsne_speed.py VECTORS.npy LABELS.npy [--points 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np
import openTSNE
from map_measures import load, map_accuracy, sampled_trustworthiness, timed
from sklearn.manifold import TSNE

import latentkit as lk

_SKLEARN_UP_TO = 10_000


def main() -> None:
    """Print a table of seconds and quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("labels")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    vectors, labels = load(asked.vectors, asked.labels, asked.points)
    lk.embedding("tsne", n_iter=1).fit_transform(vectors[:500])  # compiled, or read from the cache
    who: dict[str, Callable[[], Any]] = {
        "latentkit": lambda: lk.embedding("tsne").fit_transform(vectors),
        "latentkit, uniform": lambda: lk.embedding("tsne", affinities="uniform").fit_transform(
            vectors
        ),
        "openTSNE": lambda: np.asarray(openTSNE.TSNE(n_jobs=-1, random_state=0).fit(vectors)),
    }
    if asked.points <= _SKLEARN_UP_TO:
        who["scikit-learn"] = lambda: TSNE(n_jobs=-1, random_state=0).fit_transform(vectors)
    wall: dict[str, list[float]] = {name: [] for name in who}
    cpu: dict[str, list[float]] = {name: [] for name in who}
    maps: dict[str, Any] = {}
    for _ in range(asked.rounds):
        for name, make in who.items():
            maps[name], seconds, of_processor = timed(make)
            wall[name].append(seconds)
            cpu[name].append(of_processor)
    n, d = vectors.shape
    print(f"{n:,} points of {d} dimensions, medians of {asked.rounds}")
    print(f"{'':20} {'seconds':>8} {'processor':>10} {'trust':>8} {'10-NN':>8}")
    for name, coordinates in maps.items():
        print(
            f"{name:20} {statistics.median(wall[name]):8.1f} {statistics.median(cpu[name]):10.1f} "
            f"{sampled_trustworthiness(vectors, coordinates):8.4f} "
            f"{map_accuracy(coordinates, labels):8.4f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
