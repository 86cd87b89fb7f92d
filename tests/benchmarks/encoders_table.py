"""Table of encoders side by side, trained for equal epochs and for equal time.

python tests/benchmarks/encoders_table.py --data DIR --out RUNS [--datasets fashion-mnist clothing]
    [--models conv-ae conv-vae vq-vae denoising simclr vicreg mae] [--seeds 3]
    [--epochs 20] [--seconds 120] [--finetune-epochs 10] [--dim 32] [--images N]

Fashion-MNIST is read from DIR, and photographs of clothing at 64x64 from DIR/clothing, one folder a
class. A model that is not installed is left out, with a line on stderr. Every row comes from
ordinary runs in RUNS, one for each model and seed, each made in a process of its own. Existing runs
are not repeated, so the script may be stopped at any time; the same command continues.

Give --epochs, --seconds, or both for a table each; without both, it is 20 epochs.
With --seconds, the epochs of each model follow from its own second epoch, measured alone on this
machine: as many as fit into that time, and at least one. The table says how many that are. The
encoder with the best 10-NN accuracy is also fine-tuned with all labels. RUNS/encoders.md has the
tables and, above each, whether the autoencoder was worth its training. Numbers are means over seeds
± half of the 95 % interval over test images and seeds, see docs/evaluation.md; a figure is bold if
it is clearly the best of its column. --images N uses that many training and
test images of Fashion-MNIST.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import latentkit as lk
from latentkit.errors import UserError
from latentkit.evaluation.encoder_rows import column_of
from latentkit.registry.catalogue import default_registry

MODELS = ("conv-ae", "conv-vae", "vq-vae", "denoising", "simclr", "vicreg", "mae")
DATASETS = ("fashion-mnist", "clothing")
COLUMNS = (
    "mse", "knn 1%", "knn 10%", "knn 100%", "linear 1%", "linear 10%", "linear 100%", "nmi", "ari",
    "cluster_accuracy", "effective_rank", "trust isomap", "transfer finetune, 100 %",
    "training_seconds", "memory_mb", "encoding_us", "parameters",
)  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """How long models are trained: for ``epochs``, or for the epochs that fit into ``seconds``."""

    epochs: int
    seconds: float | None = None

    @property
    def name(self) -> str:
        """Folder of the runs."""
        return f"epochs-{self.epochs}" if self.seconds is None else f"seconds-{self.seconds:g}"


def main() -> None:
    """Start the missing runs, and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--finetune-epochs", type=int, default=10)
    parser.add_argument("--dim", type=int, default=32)
    parser.add_argument("--images", type=int)
    chosen = parser.parse_args()
    if chosen.data is None:
        parser.error("--data or LATENTKIT_DATA must name the folder of data sets")
    models = [name for name in chosen.models if _is_installed(name)]
    if not models:
        parser.error("none of these models is installed")
    settings = []
    if chosen.epochs is not None or chosen.seconds is None:
        settings.append(Setting(chosen.epochs or 20))
    if chosen.seconds is not None:
        settings.append(Setting(0, chosen.seconds))
    parts = [
        _table(chosen, setting, dataset, models)
        for setting in settings
        for dataset in chosen.datasets
    ]
    text = "\n\n".join(parts) + "\n"
    (chosen.out / "encoders.md").write_text(text, encoding="utf-8")
    print(text)


def _model_of(name: str) -> str:
    return "conv-ae" if name == "denoising" else name


def _is_installed(name: str) -> bool:
    try:
        default_registry().get("model", _model_of(name))
    except UserError:
        print(f"left out: model {_model_of(name)!r} is not installed", file=sys.stderr)
        return False
    return True


def _table(chosen: argparse.Namespace, setting: Setting, dataset: str, models: list[str]) -> str:
    """Make the runs of one table, and return it as markdown."""
    epochs = {
        name: setting.epochs
        if setting.seconds is None
        else _epochs_within(setting.seconds, chosen, dataset, name)
        for name in models
    }
    folder = _folder(chosen, setting.name, dataset)
    runs = [
        _run(chosen, dataset, name, seed, epochs[name], folder)
        for name in models
        for seed in range(chosen.seeds)
    ]
    found = lk.compare(*(run.path for run in runs)) if len(runs) > 1 else None
    best = _best(found["encoders"]) if found else None
    parents = [run for run in runs if best is None or run.id in best["runs"]]
    transfers = [_transfer(chosen, run, folder) for run in parents]
    found = lk.compare(*(one.path for one in (*runs, *transfers)))
    how = (
        f"{_counted(setting.epochs, 'epoch')} each"
        if setting.seconds is None
        else f"{setting.seconds:g} s of training each: "
        + ", ".join(f"{name} {_counted(count, 'epoch')}" for name, count in epochs.items())
    )
    title = f"### {dataset}, {how}, {_counted(chosen.seeds, 'seed')}"
    return f"{title}\n\n{found['answer']['text']}\n\n{_markdown(found['encoders'])}"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"


def _best(rows: list[dict[str, Any]]) -> dict[str, Any]:
    encoders = [row for row in rows if row["kind"] != "baseline"]
    return max(encoders, key=lambda row: float(row["figures"]["knn 100%"]["value"]))


def _folder(chosen: argparse.Namespace, setting: str, dataset: str) -> Path:
    """Return the folder of runs; its name has all options that are not in a run's name."""
    few = f"-{chosen.images}-images" if chosen.images else ""
    folder: Path = chosen.out / f"{setting}-{chosen.dim}-latents{few}" / dataset
    return folder


def _options(chosen: argparse.Namespace, dataset: str, name: str) -> dict[str, Any]:
    """Return the options of a run; a model without a number of latents keeps its own."""
    part = default_registry().get("model", _model_of(name))
    has_dim = "latent_dim" in part.options_type().model_fields
    found: dict[str, Any] = {"model.latent_dim": chosen.dim} if has_dim else {}
    if dataset == "clothing":
        return found | {"image-folder.path": str((chosen.data / "clothing").absolute())}
    few = {f"fashion-mnist.{key}": chosen.images for key in ("n_train", "n_test")}
    return found | (few if chosen.images else {})


def _run(
    chosen: argparse.Namespace,
    dataset: str,
    name: str,
    seed: int,
    epochs: int,
    folder: Path,
    maps: Sequence[str] = ("isomap",),
) -> lk.Run:
    """Return the run of this name; it is started if it does not exist, and else resumed."""
    return _alone(
        lk.run,
        model=_model_of(name),
        dataset="image-folder" if dataset == "clothing" else dataset,
        corrupt=["gaussian-noise"] if name == "denoising" else [],
        embed=maps,
        epochs=epochs,
        seed=seed,
        options=_options(chosen, dataset, name),
        data=chosen.data,
        runs=folder,
        name=f"{name}-seed{seed}",
    )


def _alone(
    make: Callable[..., lk.Run], *arguments: Any, runs: Path, name: str, **more: Any
) -> lk.Run:
    """Return a finished run; make it in a process of its own, so that its memory is its own."""
    if (runs / name / "run.json").exists() and lk.open(runs / name).status == "finished":
        return lk.open(runs / name)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        pool.submit(_make, make, *arguments, runs=runs, name=name, **more).result()
    return lk.open(runs / name)


def _make(make: Callable[..., lk.Run], *arguments: Any, **more: Any) -> None:
    make(*arguments, **more)


def _epochs_within(seconds: float, chosen: argparse.Namespace, dataset: str, name: str) -> int:
    """Return how many epochs fit into a time, from the second epoch of a run of two."""
    run = _run(chosen, dataset, name, 0, 2, _folder(chosen, "timing", dataset), maps=())
    each = float(run.history[-1]["seconds"])
    return max(1, round(seconds / each))


def _transfer(chosen: argparse.Namespace, parent: lk.Run, folder: Path) -> lk.Run:
    return _alone(
        lk.transfer,
        parent.path,
        mode="finetune",
        embed=[],
        epochs=chosen.finetune_epochs,
        data=chosen.data,
        runs=folder,
        name=f"finetuned-{parent.id}",
    )


def _markdown(rows: list[dict[str, Any]]) -> str:
    keys = [key for key in COLUMNS if any(key in row["figures"] for row in rows)]
    lines = [
        "| encoder | " + " | ".join(column_of(key).name for key in keys) + " |",
        "| --- |" + " ---: |" * len(keys),
    ]
    for row in rows:
        lines.append(f"| {row['name']} | " + " | ".join(_cell(row, key) for key in keys) + " |")
    return "\n".join(lines)


def _cell(row: dict[str, Any], key: str) -> str:
    figure, digits = row["figures"].get(key), column_of(key).digits
    if figure is None:
        return ""
    text = f"{figure['value']:,.{digits}f}"
    if figure["low"] is not None and figure["low"] < figure["high"]:
        text += f" ± {(figure['high'] - figure['low']) / 2:,.{digits}f}"
    return f"**{text}**" if key in row["best"] else text


if __name__ == "__main__":
    main()
