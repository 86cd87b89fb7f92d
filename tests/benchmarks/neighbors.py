"""10-NN accuracy of a run's test latents, for two choices of the images that are neighbours.

python tests/benchmarks/neighbors.py RUN [RUN ...]

An evaluation card searches for neighbours among the images that the model was trained on. This
script also searches among the validation images, to which no weight was fitted, and so among all
images outside the test set. The last row is for raw pixels, with the split of the last run.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from over_seeds import over_seeds

import latentkit as lk
from latentkit.evaluation.representation import knn_probe

Vectors = Callable[[str], NDArray[np.float32]]


def main() -> None:
    """Print a row for each run, one for their means, and one for raw pixels."""
    print("| run | test MSE | among the training images | and the validation images |")
    print("| --- | --- | --- | --- |")
    rows = []
    for path in sys.argv[1:]:
        run = lk.open(path)
        error = run.evaluation["reconstruction"]["mse"]["value"]
        rows.append((error, *accuracies(run, run.latents)))
        print(f"| {run.id} | {error:.4f} | {rows[-1][1]:.4f} | {rows[-1][2]:.4f} |", flush=True)
    error, among, every = (over_seeds(column, ".4f") for column in zip(*rows, strict=True))
    print(f"| mean | {error} | {among} | {every} |", flush=True)
    first, second = accuracies(run, pixels_of(run))
    print(f"| raw pixels | | {first:.4f} | {second:.4f} |")


def pixels_of(run: lk.Run) -> Vectors:
    """Return a function that gives the pixels (N, C H W) of a split, in latent order."""

    def pixels(split: str) -> NDArray[np.float32]:
        source = "test" if split == "test" else "train"
        images = lk.dataset(run.config.dataset.name, source).images[run.index(split)]
        return images.reshape(len(images), -1).astype(np.float32) / 255

    return pixels


def accuracies(run: lk.Run, vectors: Vectors) -> tuple[float, float]:
    """Return the accuracies with training images alone, and with validation images added."""
    test, truth = vectors("test"), run.labels("test")
    given, labels = vectors("train"), run.labels("train")
    among = (knn_probe(given, labels, test) == truth).mean()
    given = np.concatenate([given, vectors("validation")])
    labels = np.concatenate([labels, run.labels("validation")])
    return float(among), float((knn_probe(given, labels, test) == truth).mean())


if __name__ == "__main__":
    main()
