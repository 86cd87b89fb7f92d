"""What limits a training step on a GPU: the kernels or launching them.

python tests/benchmarks/gpu_step.py [--batches 256 1024 4096]

For each network and batch size, the table gives the milliseconds of a step in latentkit's loop with
kernels launched one by one; the number of these kernels and the time the GPU works on them
(torch.profiler); and the milliseconds of a normal latentkit step, replayed as one CUDA graph. The
images are random.
"""

from __future__ import annotations

import argparse
import statistics
from unittest.mock import patch

import numpy as np
import torch
from precision import CASES, Case
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

from latentkit.config import build_config, choose_part
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import build_model
from latentkit.training.device import Precision, repeatable
from latentkit.training.loop import TrainingJob, train

GPU, STEPS, TURNS = torch.device("cuda"), 200, 3
CHOSEN: tuple[tuple[str, Precision], ...] = (
    ("reference network", "float32"),
    ("reference network", "bfloat16"),
    ("dense-ae", "bfloat16"),
    ("conv-ae", "float32"),
    ("conv-ae", "bfloat16"),
    ("conv-vae", "bfloat16"),
)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batches", type=int, nargs="+", default=[256])
    chosen = parser.parse_args()
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}\n")
    print("| network | batch | kernels | GPU at work, ms | one by one, ms | replayed, ms | ratio |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for title, precision in CHOSEN:
        for batch in chosen.batches:
            with repeatable(GPU, 1):
                print(f"| {title}, {precision} | {batch} | {row(CASES[title], precision, batch)} |")


def row(case: Case, precision: Precision, batch: int) -> str:
    """Measure one network, and return its row of the table."""
    with patch("latentkit.training.step.is_capturable", lambda model: False):
        launched = [epoch(case, precision, batch) / STEPS for _ in range(TURNS)]
        with profile(activities=[ProfilerActivity.CUDA]) as profiler:
            epoch(case, precision, batch)
    kernels = [
        event
        for event in profiler.events()
        if event.device_type == DeviceType.CUDA and not event.name.startswith("Mem")
    ]
    busy = sum(e.time_range.elapsed_us() for e in kernels) / 1e3 / STEPS
    replayed = [epoch(case, precision, batch) / STEPS for _ in range(TURNS)]
    one_by_one, at_once = (1e3 * statistics.median(taken[1:]) for taken in (launched, replayed))
    cells = f"{len(kernels) / STEPS:.0f} | {busy:.2f} | {one_by_one:.2f} | {at_once:.2f}"
    return f"{cells} | {one_by_one / at_once:.1f}"


def epoch(case: Case, precision: Precision, batch: int) -> float:
    """Train a new network for `STEPS` steps, and return the seconds."""
    name, shape, options = case
    registry = default_registry()
    overrides = {
        "training.epochs": 1,
        "training.learning_rate": 1e-3,
        "training.batch_size": batch,
    }
    training = build_config({}, registry, model=name, overrides=overrides).training
    part = choose_part(registry, "model", {"name": name, **options})
    torch.manual_seed(0)
    network = build_model(part, shape)
    job = TrainingJob(
        model=network.to(GPU, memory_format=torch.channels_last),
        train=random_images(STEPS * batch, shape),
        validation=random_images(2, shape),
        corruption=CorruptionChain(),
        options=training,
        precision=precision,
        seed=0,
        config_sha256="",
    )
    seconds: float = train(job, None, ignore).history[0]["seconds"]
    return seconds


def random_images(n: int, shape: tuple[int, int, int]) -> DeviceImages:
    """Return n random images on the GPU."""
    images = np.random.default_rng(0).integers(0, 256, (n, *shape), dtype=np.uint8)
    return DeviceImages(images, GPU)


if __name__ == "__main__":
    main()
