"""What code gains that exists only for speed, with and without it.

python tests/benchmarks/extra_code.py steps [--threads 1] [--repeats 9]
python tests/benchmarks/extra_code.py few [--repeats 3]
python tests/benchmarks/extra_code.py bridges [--points 20000]

``steps`` times training steps with latentkit's and with PyTorch's transposed convolution. ``few``
takes the processor time of a map of 360 digits and of its quality card in new processes, with and
without the code that avoids compiling for few points, before and after machine code is on disk.
``bridges`` joins the components of a graph by one search and by a new index for each component.
All turn by turn; medians.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

MAP = """
import json, sys, time
import numpy as np
from sklearn.datasets import load_digits
from latentkit.builtins.embeddings import isomap_graph, isomap_scaling
from latentkit.builtins.embeddings.isomap import LandmarkIsomap
from latentkit.maps import uncompiled_ranks
from latentkit.maps.quality import map_quality
from latentkit.neighbors import index
limits = {
    "neighbours": [(index, "MOST_WORK"), (index, "MOST_POINTS")],
    "paths": [(isomap_graph, "_FEW")],
    "scaling": [(isomap_scaling, "_FEW")],
    "ranks": [(uncompiled_ranks, "MOST")],
}
for part in sys.argv[1:]:
    for module, name in limits[part]:
        setattr(module, name, 0)
digits = load_digits()
points = digits.data[:360, ::4].astype(np.float32)
began = time.process_time()
coordinates = LandmarkIsomap().fit_transform(points)
mapped = time.process_time()
map_quality(points, coordinates, digits.target[:360], seed=0)
print(json.dumps([mapped - began, time.process_time() - mapped]))
"""
PARTS = ("neighbours", "paths", "scaling", "ranks")


def steps(chosen: argparse.Namespace) -> None:
    """Print the milliseconds of a training step in float32."""
    import torch
    from precision import CASES, step
    from torch import nn

    from latentkit.nn import fast_conv
    from latentkit.training.device import repeatable

    wide = {"patch": 1, "channels": [16, 32], "hidden": [128], "upsampling": "transpose"}
    cases = {
        "reference network": CASES["reference network"],
        "conv-ae": CASES["conv-ae"],
        "conv-ae, two transposed convolutions": ("conv-ae", (1, 28, 28), wide),
        "conv-vae, colour 32x32, transposed": ("conv-vae", (3, 32, 32), wide),
    }
    device = torch.device("cpu")
    fast = fast_conv.FastTransposed.forward
    ways: dict[str, Any] = {"with": fast, "without": nn.ConvTranspose2d.forward}
    print("| network | with, ms | without, ms | ratio |\n| --- | ---: | ---: | ---: |")
    for title, case in cases.items():
        taken: dict[str, list[float]] = {way: [] for way in ways}
        with repeatable(device, chosen.threads):
            for _ in range(chosen.repeats):
                for way, forward in ways.items():
                    fast_conv.FastTransposed.forward = forward  # type: ignore[method-assign]
                    taken[way].append(1e3 * step(case, "float32", device)[1])
        ours, plain = (statistics.median(taken[way][1:]) for way in ways)
        print(f"| {title} | {ours:.2f} | {plain:.2f} | {plain / ours:.2f} |", flush=True)


def few(chosen: argparse.Namespace) -> None:
    """Print the processor seconds of a small map and of its card."""
    titles = {(): "all there", **{(part,): f"without {part}" for part in PARTS}, PARTS: "none"}
    taken: dict[Any, list[list[float]]] = {(off, first): [] for off in titles for first in (1, 0)}
    for _ in range(chosen.repeats):
        for off in titles:
            with tempfile.TemporaryDirectory() as cache:
                for first in (1, 0):
                    taken[off, first].append(_map_in_a_process(off, cache))
    print("| code for few points | first map, s | first card, s | later map, s | later card, s |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for off, title in titles.items():
        medians = [
            f"{statistics.median(column):.2f}"
            for first in (1, 0)
            for column in zip(*taken[off, first], strict=True)
        ]
        print(f"| {title} | {' | '.join(medians)} |", flush=True)


def _map_in_a_process(off: tuple[str, ...], cache: str) -> list[float]:
    found = subprocess.run(
        [sys.executable, "-c", MAP, *off],
        env={**os.environ, "NUMBA_CACHE_DIR": cache, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    seconds: list[float] = json.loads(found.stdout)
    return seconds


def bridges(chosen: argparse.Namespace) -> None:
    """Print the processor seconds of one round of bridges between groups of points."""
    from latentkit.neighbors import NeighborIndex

    rng = np.random.default_rng(0)
    print("| groups | one search, s | an index for each group, s | ratio |")
    print("| ---: | ---: | ---: | ---: |")
    for count in (2, 20, 200):
        centers = rng.uniform(-50, 50, (count, 16))
        groups = rng.integers(0, count, chosen.points)
        noise = rng.standard_normal((chosen.points, 16))
        points = (centers[groups] + noise).astype(np.float32)
        NeighborIndex(points[:3_000]).shortest_bridges(groups[:3_000] % 2)  # compile
        index = NeighborIndex(points)
        index.neighbors(1)  # as in Isomap, which has searched before it builds bridges
        together, ours = _timed(lambda index=index, by=groups: index.shortest_bridges(by)[2])
        apart, plain = _timed(lambda rows=points, by=groups: _by_group(rows, by))
        assert np.allclose(together, apart, rtol=1e-5)
        print(f"| {count} | {ours:.2f} | {plain:.2f} | {plain / ours:.1f} |", flush=True)


def _by_group(points: Any, groups: Any) -> Any:
    from latentkit.neighbors import NeighborIndex

    asked = np.delete(np.arange(groups.max() + 1), np.bincount(groups).argmax())
    return [
        NeighborIndex(points[groups != group]).query(points[groups == group], 1).distances.min()
        for group in asked
    ]


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    began = time.process_time()
    return work(), time.process_time() - began


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["steps", "few", "bridges"])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--points", type=int, default=20_000)
    chosen = parser.parse_args()
    {"steps": steps, "few": few, "bridges": bridges}[chosen.what](chosen)


if __name__ == "__main__":
    main()
