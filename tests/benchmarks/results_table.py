"""Table of the results of each model at each number of latent dimensions.

python tests/benchmarks/results_table.py --data DIR --out RUNS [--models conv-ae conv-vae]
    [--dims 2 3 8 16 32 64] [--seeds 3] [--epochs 10] [--labels 100%] [--config NAME=FILE.toml]

Every cell comes from the evaluation cards of ordinary runs in RUNS, one for each model, dimension
and seed. Existing runs are not repeated, so the script may be stopped at any time. Figures are
means over the seeds with Student's 95 % interval of the mean. PCA and the random encoder have as
many dimensions as the model; their figures and those of raw pixels come from the runs of the last
model. --labels sets the share of the training labels with which the probes were fitted.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from over_seeds import over_seeds

import latentkit as lk

MODELS = ("conv-ae", "dense-ae", "conv-vae", "dense-vae")
DIMS = (2, 3, 8, 16, 32, 64)
SHARES = ("1%", "10%", "100%")  # the order in the evaluation card
_DIGITS = {"test MSE": 4, "ELBO, nats": 1, "active": 1, "training, s": 0}  # 3 for others
Figure = Callable[[lk.Run], float | None]


def main() -> None:
    """Start the missing runs, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--dims", nargs="+", type=int, default=DIMS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--embed", nargs="*", default=())
    parser.add_argument("--labels", choices=SHARES, default="100%")
    parser.add_argument("--config", action="append", default=[], metavar="NAME=FILE.toml")
    chosen = parser.parse_args()
    recipes: dict[str, dict[str, Any]] = {name: {"model": name} for name in chosen.models}
    for given in chosen.config:
        name, _, file = given.partition("=")
        recipes[name] = {"config": Path(file)}
    share = SHARES.index(chosen.labels)
    figures = _figures(chosen.embed, share)
    print("| dimensions | representation | " + " | ".join(figures) + " |")
    print("| --- | --- |" + " --- |" * len(figures))
    for dim in chosen.dims:
        for number, (name, recipe) in enumerate(recipes.items()):
            runs = [_run(chosen, name, recipe, dim, seed) for seed in range(chosen.seeds)]
            _print_row(dim, name, figures, runs)
            if number == len(recipes) - 1:
                for space in ("pca", "random_encoder", "raw_pixels"):
                    shown = _of_baseline(space, figures, share)
                    _print_row(dim, space.replace("_", " "), shown, runs)


def _run(
    chosen: argparse.Namespace, name: str, recipe: dict[str, Any], dim: int, seed: int
) -> lk.Run:
    """Return the run of this cell; start it if it does not exist, and resume it otherwise."""
    folder = chosen.out / f"{name}-{dim}-seed{seed}"
    begun = [path.parent for path in folder.glob("*/run.json")]
    if begun:
        return lk.resume(begun[0])
    return lk.run(
        dataset="fashion-mnist",
        epochs=chosen.epochs,
        seed=seed,
        embed=chosen.embed,
        options={"model.latent_dim": dim},
        data=chosen.data,
        out=folder,
        **recipe,
    )


def _figures(maps: Sequence[str], share: int) -> dict[str, Figure]:
    """Return the figures of the table by heading, as functions of a run."""
    found: dict[str, Figure] = {
        "test MSE": lambda run: run.evaluation["reconstruction"]["mse"]["value"],
        "ELBO, nats": lambda run: _likelihood(run, "elbo"),
        "active": lambda run: _likelihood(run, "active_dimensions"),
        **_of_space("latents", share),
    }
    for name in maps:
        found[f"trust, {name}"] = partial(_trust, name)
    found["training, s"] = lambda run: sum(record["seconds"] for record in run.history)
    return found


def _trust(name: str, run: lk.Run) -> float:
    record = json.loads((run.path / "embeddings" / f"{name}.json").read_text())
    value: float = record["quality"]["trustworthiness"]["value"]
    return value


def _of_space(space: str, share: int) -> dict[str, Figure]:
    def of(run: lk.Run) -> dict[str, Any]:
        spaces: dict[str, dict[str, Any]] = run.evaluation["representation"]["spaces"]
        return spaces[space]

    return {
        "linear probe": lambda run: of(run)["linear"][share]["accuracy"]["value"],
        "10-NN probe": lambda run: of(run)["knn"][share]["accuracy"]["value"],
        "k-means NMI": lambda run: of(run)["kmeans"]["nmi"]["value"],
        "ARI": lambda run: of(run)["kmeans"]["ari"]["value"],
        "ACC": lambda run: of(run)["kmeans"]["accuracy"]["value"],
    }


def _of_baseline(space: str, headings: Iterable[str], share: int) -> dict[str, Figure]:
    """Return the figures of a baseline under the same headings; the other cells stay empty."""
    known = _of_space(space, share)
    if space == "pca":
        known["test MSE"] = lambda run: run.evaluation["baselines"]["pca"]["mse"]["value"]
    return {heading: known.get(heading, lambda run: None) for heading in headings}


def _likelihood(run: lk.Run, name: str) -> float | None:
    found = run.evaluation.get("likelihood", {}).get(name)
    return found["value"] if isinstance(found, dict) else found


def _print_row(dim: int, name: str, figures: dict[str, Figure], runs: Sequence[lk.Run]) -> None:
    cells = [
        _cell([figure(run) for run in runs], _DIGITS.get(heading, 3))
        for heading, figure in figures.items()
    ]
    print(f"| {dim} | {name} | " + " | ".join(cells) + " |", flush=True)


def _cell(values: Sequence[float | None], digits: int) -> str:
    """Return the mean ± half of Student's 95 % interval, or the value itself if there is one."""
    given = np.array([value for value in values if value is not None], float)
    return over_seeds(given, f".{digits}f") if len(given) else ""


if __name__ == "__main__":
    main()
