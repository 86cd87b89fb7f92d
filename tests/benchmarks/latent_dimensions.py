"""Table of training and test errors by number of latent dimensions.

python tests/benchmarks/latent_dimensions.py --data DIR --out errors.jsonl [--dims 2 3 8 16 32 64]
    [--seeds 3] [--epochs 10] [--recipe NAME=FILE.toml ...]
python tests/benchmarks/latent_dimensions.py --out errors.jsonl --seeds 0

``default`` is ``conv-ae`` with its default options; each further recipe is a configuration file.
This script sets the number of latents, the number of epochs and the seed. A model is trained as by
``latentkit run``, and then only its errors are measured. Errors are saved in --out, and a model
whose errors are saved is not trained again. The second command above only prints the table.
"""

from __future__ import annotations

import argparse
import json
import os
from collections import defaultdict
from pathlib import Path
from typing import Any

from over_seeds import over_seeds

from latentkit.api.inputs import configure
from latentkit.api.kinds import AUTOENCODER
from latentkit.evaluation.baselines import PixelPCA
from latentkit.evaluation.inference import reconstruction
from latentkit.evaluation.reconstruction import fidelity
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import ImageCache
from latentkit.runs.prepare import prepare
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob, train

PARTS = ("train", "test")


def main() -> None:
    """Measure what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dims", nargs="+", type=int, default=(2, 3, 8, 16, 32, 64))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--recipe", action="append", default=[], metavar="NAME=FILE.toml")
    chosen = parser.parse_args()
    recipes: dict[str, Any] = {"PCA": None, "default": {}}
    recipes |= dict(text.split("=", 1) for text in chosen.recipe)
    image_cache = ImageCache()
    known = {(cell["recipe"], cell["dim"], cell["seed"]) for cell in kept(chosen.out)}
    for dim in chosen.dims:
        for seed in range(chosen.seeds):
            for name, source in recipes.items():
                if (name, dim, seed) not in known:
                    errors = measured(source, dim, seed, chosen, image_cache)
                    cell = {"recipe": name, "dim": dim, "seed": seed, **errors}
                    with chosen.out.open("a") as file:
                        file.write(json.dumps(cell) + "\n")
    print_table(kept(chosen.out))


def kept(path: Path) -> list[dict[str, Any]]:
    """Return the cells that were measured earlier."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def measured(
    source: Any, dim: int, seed: int, chosen: argparse.Namespace, image_cache: ImageCache
) -> dict[str, float]:
    """Return the mean squared errors of one model, or of PCA if there is no source."""
    registry = default_registry()
    options = {"model.latent_dim": dim, "training.epochs": chosen.epochs}
    named = {"dataset": "fashion-mnist", "seed": seed, "options": options}
    asked = configure(registry, config=source, **named)
    context = prepare(asked, registry, chosen.data, AUTOENCODER, image_cache=image_cache)
    config = context.config
    images = {part: context.device_images(part) for part in PARTS}
    if source is None:
        rebuild = PixelPCA.fit(images["train"], dim).rebuild
    else:
        job = TrainingJob(
            model=context.new_model(),
            train=images["train"],
            validation=context.device_images("validation"),
            corruption=context.corruption,
            options=config.training,
            precision="bfloat16" if config.training.precision == "bfloat16" else "float32",
            seed=seed,
            config_sha256="",
        )
        with repeatable(context.device, config.run.threads):
            trained = train(job, None, ignore)
        job.model.load_state_dict(trained.weights)
        rebuild = reconstruction(job.model)
    return {part: float(fidelity(images[part], rebuild).mse.mean()) for part in PARTS}


def print_table(cells: list[dict[str, Any]]) -> None:
    """Print mean squared errors, training and test: means over the seeds with 95 % intervals."""
    groups: dict[tuple[int, str], list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        groups[cell["dim"], cell["recipe"]].append(cell)
    names = list(dict.fromkeys(name for _, name in groups))
    print("| latents | " + " | ".join(f"{name}: {part}" for name in names for part in PARTS) + " |")
    print("| ---: |" + " --- |" * len(names) * len(PARTS))
    for dim in sorted({dim for dim, _ in groups}):
        found = [[cell[part] for cell in groups[dim, name]] for name in names for part in PARTS]
        row = [over_seeds(values, ".5f") if values else "" for values in found]
        print(f"| {dim} | " + " | ".join(row) + " |")


if __name__ == "__main__":
    main()
