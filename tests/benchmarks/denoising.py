"""Errors on noisy test images: of the images, a denoising run, and a run without noise.

python tests/benchmarks/denoising.py --data DIR PLAIN_RUN DENOISING_RUN

Both runs use the same model and data set. The noise is that of the denoising run's evaluation.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import torch

import latentkit as lk
from latentkit.evaluation.inference import reconstruction
from latentkit.evaluation.reconstruction import fidelity
from latentkit.registry.catalogue import default_registry
from latentkit.runs.context import RunContext


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("plain")
    parser.add_argument("denoising")
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"))
    chosen = parser.parse_args()
    plain, denoising = lk.open(chosen.plain), lk.open(chosen.denoising)
    context = RunContext(
        denoising.config, default_registry(), Path(chosen.data), torch.device("cpu")
    )
    images = context.device_images("test")
    noisy = denoising.evaluation["reconstruction"]["mse_of_corrupted"]["value"]
    print("| test MSE against the clean image | |\n| --- | --- |")
    print(f"| the noisy image itself | {noisy:.4f} |")
    for name, run in (("no noise in training", plain), ("noise in training", denoising)):
        noise = context.evaluation_noise()
        error = fidelity(images, reconstruction(run.model), noise).mse.mean()
        print(f"| reconstructed from it, {name} | {error:.4f} |")


if __name__ == "__main__":
    main()
