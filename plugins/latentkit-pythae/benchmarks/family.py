"""Train every pythae model for two epochs and print the main figures of its card as a table.

python plugins/latentkit-pythae/benchmarks/family.py --data DIR --out figures.jsonl
python plugins/latentkit-pythae/benchmarks/family.py --data DIR --images 12000 --models pythae-vae
python plugins/latentkit-pythae/benchmarks/family.py --out figures.jsonl --models

The training loop, the initial weights and the figures are those of ``latentkit run``. Baselines,
intervals, pictures and the report are left out, because they take longer than the training. The
figures of each model are added to --out, and a model that is already there is not trained again.
The third command above only prints the stored figures. With --lock FILE, each model waits for an
exclusive lock on that file.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from latentkit.api.inputs import configure
from latentkit.data.batches import DeviceImages
from latentkit.evaluation.inference import encode, reconstruction
from latentkit.evaluation.reconstruction import fidelity
from latentkit.evaluation.representation import knn_probe, linear_probe
from latentkit.plugin import Generative
from latentkit.plugin.events import ignore
from latentkit.plugin.protocols import provides
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import ImageCache, RunContext
from latentkit.training.loop import TrainingJob, train

_ACTIVE_VARIANCE = 0.01  # as in the card
_HEAD = (
    "| model | latents | test MSE | linear probe | 10-NN | active | ELBO, nats | training, s |\n"
    "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
)


def measure(name: str, chosen: argparse.Namespace, image_cache: ImageCache) -> dict[str, Any]:
    """Train one model and return its figures on the 10,000 test images."""
    registry = default_registry()
    rate = registry.get("model", name).spec.learning_rate
    config = configure(
        registry,
        model=name,
        dataset="fashion-mnist",
        epochs=chosen.epochs,
        options={
            "training.batch_size": 256,
            "training.learning_rate": rate,
            "split.validation": chosen.validation,
        },
    )
    context = RunContext(config, registry, Path(chosen.data), torch.device("cpu"), image_cache)
    rows = context.split.train[: chosen.images or None]
    images = context.images("train")
    assert images.labels is not None  # noqa: S101
    model = context.new_model()
    job = TrainingJob(
        model=model,
        train=DeviceImages(images.images, context.device, rows),
        validation=DeviceImages(images.images, context.device, context.split.validation[:2000]),
        corruption=context.corruption,
        options=config.training,
        precision="float32",
        seed=context.seed,
        config_sha256="",
    )
    began = time.process_time()
    trained = train(job, None, ignore)
    seconds = time.process_time() - began
    model.load_state_dict(trained.weights)
    return {"model": name, "images": len(rows), "epochs": chosen.epochs, "seconds": seconds} | (
        figures(model, job.train, images.labels[rows], context)
    )


def figures(model: Any, seen: DeviceImages, labels: Any, context: RunContext) -> dict[str, Any]:
    """Return a model's figures, computed as for the evaluation card."""
    test = context.device_images("test")
    truth = context.images("test").labels
    known, asked = encode(model, seen), encode(model, test)
    found: dict[str, Any] = {
        "latents": model.latent_dim,
        "mse": float(fidelity(test, reconstruction(model), None).mse.mean()),
        "linear": float((linear_probe(known, labels, asked) == truth).mean()),
        "knn": float((knn_probe(known, labels, asked) == truth).mean()),
        "active": int((asked.var(0) > _ACTIVE_VARIANCE).sum()),
    }
    if provides(model, Generative):
        torch.manual_seed(0)
        bounds = [model.log_likelihood(batch, 1) for batch in test.in_order()]
        found["elbo"] = float(torch.cat(bounds).mean())
    return found


def row(found: dict[str, Any]) -> str:
    """Return a model's figures as a row of the table."""
    elbo = f"{found['elbo']:.1f}" if "elbo" in found else ""
    return (
        f"| `{found['model']}` | {found['latents']} | {found['mse']:.4f} | {found['linear']:.3f} "
        f"| {found['knn']:.3f} | {found['active']} | {elbo} | {found['seconds']:.1f} |"
    )


@contextmanager
def turn(lock: str) -> Iterator[None]:
    """Hold an exclusive lock on the file ``lock`` within the block, unless its name is empty."""
    if not lock:
        yield
        return
    with Path(lock).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def main() -> None:
    """Train and measure the missing models, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--images", type=int, default=0, help="training images; 0 for all")
    parser.add_argument("--validation", type=float, default=0.2)
    parser.add_argument("--models", nargs="*")
    parser.add_argument("--out", default="")
    parser.add_argument("--lock", default="")
    chosen = parser.parse_args()
    parts = default_registry().parts("model")
    own = [p.spec.name for p in parts if p.plugin.distribution == "latentkit-pythae"]
    names = own if chosen.models is None else chosen.models
    out = Path(chosen.out) if chosen.out else None
    kept = out.read_text().splitlines() if out and out.exists() else []
    done = {found["model"]: found for found in map(json.loads, kept)}
    image_cache = ImageCache()
    for name in names:
        if name in done:
            continue
        with turn(chosen.lock):
            done[name] = measure(name, chosen, image_cache)
        if out:
            with out.open("a") as file:
                file.write(json.dumps(done[name]) + "\n")
    print("\n".join([_HEAD, *map(row, done.values())]))  # noqa: T201


if __name__ == "__main__":
    main()
