"""UMAP in latentkit and in umap-learn called directly: the first and second fit of a process.

python tests/benchmarks/umap_speed.py VECTORS.npy LABELS.npy [--points 10000] [--rounds 3]

Each pair of fits runs in a separate process, because the first fit includes compilation. The two
libraries take turns.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import warnings
from typing import Any

from map_measures import load, map_accuracy, sampled_trustworthiness, timed

_WHO = ("latentkit", "umap-learn")


def main() -> None:
    """Print a table of seconds and quality, or (with --child) fit twice and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("labels")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--child", choices=_WHO)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(_measure(asked)))
        return
    found: dict[str, list[dict[str, float]]] = {name: [] for name in _WHO}
    for _ in range(asked.rounds):
        for name in _WHO:
            command = [sys.executable, *sys.argv, "--child", name]
            ended = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name].append(json.loads(ended.stdout.splitlines()[-1]))
    columns = list(found[_WHO[0]][0])
    print(f"{asked.points:,} points, medians of {asked.rounds}")
    print(f"{'':12}" + "".join(f"{column:>18}" for column in columns))
    for name, rows in found.items():
        values = (statistics.median(row[column] for row in rows) for column in columns)
        print(f"{name:12}" + "".join(f"{value:18.4g}" for value in values), flush=True)


def _measure(asked: argparse.Namespace) -> dict[str, float]:
    vectors, labels = load(asked.vectors, asked.labels, asked.points)
    warnings.simplefilter("ignore")

    def fit() -> Any:
        if asked.child == "latentkit":
            from latentkit.builtins.embeddings.umap import Umap

            return Umap().fit_transform(vectors)
        from umap import UMAP

        return UMAP(random_state=0).fit_transform(vectors)

    _, first, first_cpu = timed(fit)
    coordinates, second, second_cpu = timed(fit)
    return {
        "first s": first,
        "first processor": first_cpu,
        "second s": second,
        "second processor": second_cpu,
        "trust": sampled_trustworthiness(vectors, coordinates),
        "10-NN": map_accuracy(coordinates, labels),
    }


if __name__ == "__main__":
    main()
