"""UMAP in latentkit beside umap-learn called directly: seconds, peak memory and quality of maps.

python tests/benchmarks/umap_speed.py RUN [--points 10000] [--rounds 3] [--peers] [--fits 1]
python tests/benchmarks/umap_speed.py VECTORS.npy LABELS.npy

The vectors are latents of all images of a run, or two files. With --peers, umap-learn without a
seed (on all cores), fastumap, UMAP of TorchDR on the CPU and PaCMAP follow; those that are not
installed are named and left out. Each library fits twice in a process of its own, because the first
fit may compile; --fits 1 measures only that one. They take turns. OMP_NUM_THREADS=1 and
NUMBA_NUM_THREADS=1 measure one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import warnings
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from map_measures import load, map_accuracy, sampled_trustworthiness, timed
from numpy.typing import NDArray

Maps = Callable[[NDArray[np.float32]], Any]


def main() -> None:
    """Print a table of seconds, memory and quality, or (with --child) fit and print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors", help="folder of a run, or a .npy file")
    parser.add_argument("labels", nargs="?", help="a .npy file; not for a run")
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--fits", type=int, choices=(1, 2), default=2)
    parser.add_argument("--peers", action="store_true")
    parser.add_argument("--child", choices=[*WHO, *PEERS])
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(_measure(asked)))
        return
    found: dict[str, list[dict[str, float]]] = {}
    for _ in range(asked.rounds):
        for name in _present({**WHO, **(PEERS if asked.peers else {})}):
            command = [sys.executable, *sys.argv, "--child", name]
            ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
            found.setdefault(name, []).append(json.loads(ended.stdout.splitlines()[-1]))
            print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
    columns = list(next(iter(found.values()))[0])
    print(f"{asked.points:,} points, medians of {asked.rounds}")
    print(f"{'':26}" + "".join(f"{column:>18}" for column in columns))
    for name, rows in found.items():
        values = (statistics.median(row[column] for row in rows) for column in columns)
        print(f"{_versioned(name):26}" + "".join(f"{value:18.4g}" for value in values))


def _measure(asked: argparse.Namespace) -> dict[str, float]:
    if asked.labels:
        vectors, labels = load(asked.vectors, asked.labels, asked.points)
    else:
        vectors, labels = _of_run(Path(asked.vectors), asked.points)
    warnings.simplefilter("ignore")
    make = {**WHO, **PEERS}[asked.child]
    figures: dict[str, float] = {}
    for which in ("first", "second")[: asked.fits]:
        coordinates, wall, processor = timed(lambda: make(vectors))
        figures |= {f"{which} s": wall, f"{which} processor": processor}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {
        **figures,
        "peak RSS, MB": peak,
        "trust": sampled_trustworthiness(vectors, coordinates),
        "10-NN": map_accuracy(coordinates, labels),
    }


def _of_run(run: Path, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return ``n`` latents of a run, drawn from all its splits, and their labels."""
    files = [np.load(path) for path in sorted((run / "latents").glob("*.npz"))]
    vectors = np.concatenate([file["latents"] for file in files])
    labels = np.concatenate([file["labels"] for file in files])
    if n > len(vectors):
        sys.exit(f"{run} has {len(vectors):,} latents: lower --points")
    drawn = np.random.default_rng(0).choice(len(vectors), n, replace=False)
    return vectors[drawn].astype(np.float32), labels[drawn].astype(np.int64)


def latentkit(vectors: NDArray[np.float32]) -> Any:
    from latentkit.builtins.embeddings.umap import Umap

    return Umap().fit_transform(vectors)


def umap_learn(vectors: NDArray[np.float32]) -> Any:
    from umap import UMAP

    return UMAP(random_state=0).fit_transform(vectors)


def umap_learn_unseeded(vectors: NDArray[np.float32]) -> Any:
    from umap import UMAP

    return UMAP(n_jobs=-1).fit_transform(vectors)


def fastumap(vectors: NDArray[np.float32]) -> Any:
    from fastumap import umap_project

    return umap_project(vectors, 2, random_state=0)


def torchdr(vectors: NDArray[np.float32]) -> Any:
    from torchdr import UMAP

    return UMAP(n_neighbors=15, device="cpu", random_state=0).fit_transform(vectors)


def pacmap(vectors: NDArray[np.float32]) -> Any:
    from pacmap import PaCMAP

    return PaCMAP(random_state=0).fit_transform(vectors)


WHO: dict[str, Maps] = {"latentkit": latentkit, "umap-learn": umap_learn}
PEERS: dict[str, Maps] = {
    "umap-learn unseeded": umap_learn_unseeded,
    "fastumap": fastumap,
    "torchdr": torchdr,
    "pacmap": pacmap,
}


def _versioned(name: str) -> str:
    distribution, *rest = name.split()
    return " ".join([distribution, version(distribution), *rest])


def _present(names: dict[str, Maps]) -> list[str]:
    """Return the names whose distribution is installed; say which are not."""
    there = []
    for name in names:
        try:
            version(name.split()[0])
        except PackageNotFoundError:
            print(f"{name} is not installed, and left out", file=sys.stderr)
            continue
        there.append(name)
    return there


if __name__ == "__main__":
    main()
