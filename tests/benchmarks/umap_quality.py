"""Quality of UMAP in latentkit beside umap-learn's, on several data sets, as a table and a figure.

python tests/benchmarks/umap_quality.py --data DIR [--seeds 3] [--out umap-quality.png] [RUN...]

The sets are digits, pixels of Fashion-MNIST and photographs of clothing from DIR, and latents of
the test split of each RUN. Neighbours are exact for both, so only the layout differs. Numbers are
means over seeds, and the figure draws R_NX(k), the share of neighbours that the map keeps above
chance.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.datasets import load_digits

import latentkit as lk
from latentkit.maps.quality import map_quality

FIGURES = (
    "trustworthiness",
    "continuity",
    "auc_r_nx",
    "spearman_correlation",
    "knn_accuracy_map",
)
METHODS = ("latentkit", "umap-learn")


def main() -> None:
    """Print a row for each set and method, and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="*", type=Path)
    parser.add_argument("--data", type=Path, default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("--data or LATENTKIT_DATA must name the folder of data sets")
    curves: dict[str, dict[str, list[tuple[int, float]]]] = {}
    print("| set | points | method | " + " | ".join(FIGURES) + " |")
    print("| --- " * (3 + len(FIGURES)) + "|")
    for name, vectors, labels in _sets(asked):
        for method in METHODS:
            found = [_quality(vectors, labels, method, seed) for seed in range(asked.seeds)]
            means = [np.mean([one[key]["value"] for one in found]) for key in FIGURES]
            cells = " | ".join(f"{mean:.3f}" for mean in means)
            print(f"| {name} | {len(vectors):,} | {method} | {cells} |", flush=True)
            kept = [one["neighbourhood_preservation"] for one in found]
            curves.setdefault(name, {})[method] = [
                (same[0]["k"], float(np.mean([one["r_nx"]["value"] for one in same])))
                for same in zip(*kept, strict=True)
            ]
    if asked.out:
        draw(curves, asked.out)


def _sets(asked: argparse.Namespace) -> Iterator[tuple[str, NDArray[np.float32], Any]]:
    digits = load_digits()
    yield "digits, pixels", digits.data.astype(np.float32), digits.target
    yield "Fashion-MNIST, pixels", *_pixels(asked.data, "fashion-mnist")
    folder = asked.data / "clothing"
    yield "clothing 64x64, pixels", *_pixels(asked.data, "image-folder", path=str(folder))
    for run in asked.runs:
        with np.load(run / "latents" / "test.npz") as file:
            vectors, labels = file["latents"].astype(np.float32), file["labels"]
        yield f"{run.name}, {vectors.shape[1]} latents", vectors, labels


def _pixels(data: Path, name: str, **options: Any) -> tuple[NDArray[np.float32], Any]:
    """Return the test images of a data set as rows; all images, if it has few of them."""
    parts = [lk.dataset(name, "test", data=data, **options)]
    if len(parts[0].images) < 2000:
        parts.append(lk.dataset(name, "train", data=data, **options))
    images = np.concatenate([np.asarray(part.images) for part in parts])
    labels = np.concatenate([np.asarray(part.labels) for part in parts])
    return images.reshape(len(images), -1).astype(np.float32) / 255, labels


def _quality(vectors: NDArray[np.float32], labels: Any, method: str, seed: int) -> dict[str, Any]:
    found = lk.embedding("umap", method=method, random_state=seed).fit_transform(vectors)
    places = np.asarray(found, np.float64)
    classes = np.asarray(labels, np.int64)
    return map_quality(vectors, places, classes, seed=0, threads=os.cpu_count() or 1).as_dict()


def draw(curves: dict[str, dict[str, list[tuple[int, float]]]], path: Path) -> None:
    """Draw R_NX(k) of each set, one panel each."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.2 * len(curves), 3), layout="constrained")
    panels = figure.subplots(1, len(curves), sharey=True, squeeze=False)[0]
    for panel, (name, methods) in zip(panels, curves.items(), strict=True):
        for method, style in zip(METHODS, ("-", "--"), strict=True):
            panel.semilogx(*zip(*methods[method], strict=True), style, label=method)
        panel.set_title(name, fontsize=9)
        panel.set_xlabel("k")
    panels[0].set_ylabel("R_NX(k)")
    panels[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)
    print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
