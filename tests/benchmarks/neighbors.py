"""10-NN accuracy of a run's test latents, by which images are the neighbours.

python tests/benchmarks/neighbors.py RUN [RUN ...]

An evaluation card looks for neighbours among the images that the model was trained on. This looks
among the validation images too, which no weight was fitted to: all images that are not test images.
"""

from __future__ import annotations

import sys

import numpy as np
from over_seeds import over_seeds

import latentkit as lk
from latentkit.evaluation.probes import knn_probe


def main() -> None:
    """Print a row for each run, and one of their means."""
    print("| run | test MSE | among the training images | and the validation images |")
    print("| --- | --- | --- | --- |")
    rows = []
    for path in sys.argv[1:]:
        run = lk.open(path)
        error = run.evaluation["reconstruction"]["mse"]["value"]
        rows.append((error, *accuracies(run)))
        print(f"| {run.id} | {error:.4f} | {rows[-1][1]:.4f} | {rows[-1][2]:.4f} |", flush=True)
    error, among, every = (over_seeds(column, ".4f") for column in zip(*rows, strict=True))
    print(f"| mean | {error} | {among} | {every} |")


def accuracies(run: lk.Run) -> tuple[float, float]:
    """Return the accuracy among the training images, and among those and the validation images."""
    test, truth = run.latents("test"), run.labels("test")
    latents, labels = run.latents("train"), run.labels("train")
    among = (knn_probe(latents, labels, test) == truth).mean()
    latents = np.concatenate([latents, run.latents("validation")])
    labels = np.concatenate([labels, run.labels("validation")])
    every = (knn_probe(latents, labels, test) == truth).mean()
    return float(among), float(every)


if __name__ == "__main__":
    main()
