"""Cost of each map and of a quality card by number of points, as a table and a figure.

python tests/benchmarks/map_growth.py VECTORS.npy [--out map-growth.png] [--repeats 3]
    [--sizes 70000 1000000] [--what umap tsne] [--umap-steps 20]

Each measurement runs in a separate process that finds its compiled code on disk; the maps take
turns. Seconds cover the map, without the start of Python. If the file has fewer vectors than a
size, they are repeated with noise of a tenth of their standard deviation. What each map reports of
its progress goes to stderr, with seconds and memory. --umap-steps shortens the layout of umap,
whose steps all take equally long and need the same memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from map_measures import points_of, timed

import latentkit as lk

SIZES = (5_000, 10_000, 20_000, 40_000, 70_000)
CARD = "quality card"
WHAT = ("pca", "isomap", "umap", "tsne", CARD)


def main() -> None:
    """Take turns, print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("vectors")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--sizes", type=int, nargs="*", default=SIZES)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--what", nargs="+", choices=WHAT, default=WHAT)
    parser.add_argument("--umap-steps", type=int)
    parser.add_argument("--child", choices=WHAT)
    asked = parser.parse_args()
    if asked.child:
        print(json.dumps(measure(asked.child, asked.vectors, asked.sizes[0], asked.umap_steps)))
        return
    seconds: dict[str, list[float]] = {what: [] for what in asked.what}
    print("| points | " + " | ".join(f"{what}, s | GB" for what in asked.what) + " |")
    print("| --- " * (1 + 2 * len(asked.what)) + "|")
    for n in asked.sizes:
        rounds = [
            {what: in_a_process(what, asked.vectors, n, asked.umap_steps) for what in asked.what}
            for _ in range(asked.repeats)
        ]
        cells = []
        for what in asked.what:
            seconds[what].append(statistics.median(one[what]["seconds"] for one in rounds))
            peak = max(one[what]["peak"] for one in rounds)
            cells.append(f"{seconds[what][-1]:.2f} | {peak:.2f}")
        print(f"| {n:,} | " + " | ".join(cells) + " |", flush=True)
    if asked.out:
        draw(asked.sizes, seconds, asked.out)


def in_a_process(what: str, vectors: str, n: int, steps: int | None) -> dict[str, float]:
    """Measure in a new process, and return seconds and peak memory in GB."""
    command = [sys.executable, __file__, vectors, "--child", what, "--sizes", str(n)]
    command += [] if steps is None else ["--umap-steps", str(steps)]
    ended = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(ended.stdout.splitlines()[-1])


def measure(what: str, vectors: str, n: int, steps: int | None) -> dict[str, float]:
    """Return the cost of one map, or of the quality card of the PCA map."""
    points = points_of(vectors, n)
    if what == CARD:
        from latentkit.maps.quality import map_quality

        flat = lk.embedding("pca").fit_transform(points)
        _, seconds, _ = timed(lambda: map_quality(points, flat, np.arange(n) % 10))
    else:
        options = {"n_epochs": steps} if what == "umap" and steps else {}

        def fit() -> None:
            embedding = lk.embedding(what, **options)
            embedding.on_progress = reporter(what, n)
            embedding.fit_transform(points)

        _, seconds, _ = timed(fit)
    return {"seconds": seconds, "peak": peak_memory()}


def peak_memory() -> float:
    """Return the largest memory of this process so far, in GB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e9


def reporter(what: str, n: int) -> Callable[[int, int, str], None]:
    """Return a function that prints each new message of a map's progress."""
    start, last = time.perf_counter(), ""

    def report(done: int, total: int, message: str) -> None:
        nonlocal last
        if message != last or done == total:
            last = message
            seconds = time.perf_counter() - start
            print(
                f"{what} of {n:,}, {seconds:.1f} s, {peak_memory():.2f} GB: "
                f"{message} ({done} of {total})",
                file=sys.stderr,
                flush=True,
            )

    return report


def draw(sizes: list[int], seconds: dict[str, list[float]], path: Path) -> None:
    """Draw seconds over points on logarithmic axes, with each line labelled at its end."""
    from matplotlib.figure import Figure

    from latentkit.figures.style import class_style, house_style, save_png

    with house_style():
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        for number, (what, values) in enumerate(seconds.items()):
            colour, marker = class_style(number)
            axes.loglog(sizes, values, color=colour, marker=marker, markersize=4, label=what)
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes])
        marks = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000]
        axes.set_yticks(marks, [str(mark) for mark in marks])
        axes.set_ylim(min(map(min, seconds.values())) / 1.2, 1.2 * max(map(max, seconds.values())))
        axes.minorticks_off()
        axes.set(xlabel="points", ylabel="seconds")
        axes.set_title("Cost of a map in two dimensions, and of its quality card")
        axes.legend()
        save_png(figure, path)


if __name__ == "__main__":
    main()
