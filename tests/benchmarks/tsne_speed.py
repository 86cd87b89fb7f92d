"""t-SNE by latentkit, openTSNE's defaults and (at 10,000) scikit-learn's, in turn in one process.

python tests/benchmarks/tsne_speed.py VECTORS.npy LABELS.npy [--points 10000] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from map_measures import load, map_accuracy, sampled_trustworthiness, timed
from numpy.typing import NDArray

_SKLEARN_UP_TO = 10_000


def latentkit(vectors: NDArray[np.float32], **options: Any) -> Any:
    import latentkit as lk

    return lk.embedding("tsne", **options).fit_transform(vectors)


def opentsne(vectors: NDArray[np.float32]) -> Any:
    from openTSNE import TSNE

    return TSNE(n_jobs=-1, random_state=0).fit(vectors)


def scikit_learn(vectors: NDArray[np.float32]) -> Any:
    from sklearn.manifold import TSNE

    return TSNE(n_jobs=-1, random_state=0).fit_transform(vectors)


def main() -> None:
    """Print a table of seconds and quality."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("labels")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    vectors, labels = load(asked.vectors, asked.labels, asked.points)
    who: dict[str, Callable[[NDArray[np.float32]], Any]] = {
        "latentkit": latentkit,
        "latentkit, uniform": partial(latentkit, affinities="uniform"),
        "openTSNE": opentsne,
    }
    if asked.points <= _SKLEARN_UP_TO:
        who["scikit-learn"] = scikit_learn
    latentkit(vectors[:500], n_iter=1)  # compiled, or read from the cache
    for peer in (opentsne, scikit_learn):
        peer(vectors[:100])  # imports are not measured here
    wall: dict[str, list[float]] = {name: [] for name in who}
    cpu: dict[str, list[float]] = {name: [] for name in who}
    maps: dict[str, Any] = {}
    for _ in range(asked.rounds):
        for name, make in who.items():
            made, seconds, of_processor = timed(partial(make, vectors))
            maps[name] = np.asarray(made)
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
