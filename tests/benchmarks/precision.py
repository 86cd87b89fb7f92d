"""Milliseconds of a training step in float32 and in bfloat16, for networks of several widths.

python tests/benchmarks/precision.py [--threads 1] [--repeats 4] [--device cuda]

The images are random, because the cost of a step does not depend on them. The cases take turns,
and the table gives medians without the first turn.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

import numpy as np
import torch

from latentkit.config import build_config, choose_part
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import build_model
from latentkit.training.device import Precision, repeatable, resolve_precision
from latentkit.training.loop import TrainingJob, train

BATCH, STEPS, STEPS_ON_A_GPU = 256, 20, 200
PRECISIONS: tuple[Precision, Precision] = ("float32", "bfloat16")
REFERENCE = {
    "patch": 1,
    "channels": [8, 16, 32],
    "hidden": [64],
    "latent_dim": 3,
    "activation": "relu",
    "norm": "none",
    "odd_sizes": "down",
    "upsampling": "transpose",
}
Case = tuple[str, tuple[int, int, int], dict[str, Any]]
CASES: dict[str, Case] = {
    "reference network": ("conv-ae", (1, 28, 28), REFERENCE),
    "dense-ae, one layer of 64": ("dense-ae", (1, 28, 28), {"hidden": [64], "latent_dim": 3}),
    "dense-ae, 128 and 32": ("dense-ae", (1, 28, 28), {"hidden": [128, 32], "latent_dim": 3}),
    "conv-ae, 8x8": ("conv-ae", (1, 8, 8), {}),
    "conv-ae, two convolutions": (
        "conv-ae",
        (1, 28, 28),
        {"patch": 1, "channels": [16, 32], "hidden": [128]},
    ),
    "dense-vae, 784-400-20": ("dense-vae", (1, 28, 28), {"hidden": [400], "latent_dim": 20}),
    "conv-ae, two wide convolutions": (
        "conv-ae",
        (1, 28, 28),
        {"patch": 1, "channels": [32, 64], "hidden": [128]},
    ),
    "dense-ae": ("dense-ae", (1, 28, 28), {}),
    "conv-ae": ("conv-ae", (1, 28, 28), {}),
    "conv-vae": ("conv-vae", (1, 28, 28), {}),
    "conv-ae, colour 32x32": ("conv-ae", (3, 32, 32), {}),
}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--device", type=torch.device, default="cpu")
    chosen = parser.parse_args()
    print("| network | parameters | float32, ms | bfloat16, ms | ratio | `auto` |")
    print("| --- | ---: | ---: | ---: | ---: | --- |")
    for title, case in CASES.items():
        taken: dict[Precision, list[float]] = {precision: [] for precision in PRECISIONS}
        with repeatable(chosen.device, chosen.threads):
            for _ in range(chosen.repeats):
                for precision in PRECISIONS:
                    network, seconds = step(case, precision, chosen.device)
                    taken[precision].append(1e3 * seconds)
        single, half = (statistics.median(taken[precision][1:]) for precision in PRECISIONS)
        count = sum(p.numel() for p in network.parameters())
        auto = resolve_precision("auto", chosen.device, network)
        print(
            f"| {title} | {count:,} | {single:.2f} | {half:.2f} | {half / single:.2f} | {auto} |",
            flush=True,
        )


def step(case: Case, precision: Precision, device: torch.device) -> tuple[Any, float]:
    """Train a new network for one epoch; return the network and the seconds of a step."""
    steps = STEPS if device.type == "cpu" else STEPS_ON_A_GPU
    name, shape, options = case
    registry = default_registry()
    training = build_config(
        {},
        registry,
        model=name,
        overrides={
            "training.epochs": 1,
            "training.batch_size": BATCH,
            "training.learning_rate": 1e-3,
        },
    ).training
    part = choose_part(registry, "model", {"name": name, **options})
    images = np.random.default_rng(0).integers(0, 256, (steps * BATCH, *shape), dtype=np.uint8)
    torch.manual_seed(0)
    network = build_model(part, shape)
    job = TrainingJob(
        model=network.to(device, memory_format=torch.channels_last),
        train=DeviceImages(images, device),
        validation=DeviceImages(images[:BATCH], device),
        corruption=CorruptionChain(),
        options=training,
        precision=precision,
        seed=0,
        config_sha256="",
    )
    return network, train(job, None, ignore).history[0]["seconds"] / steps


if __name__ == "__main__":
    main()
