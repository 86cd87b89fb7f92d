"""Print the time of each corruption for 256 Fashion-MNIST images: one thread, default options.

python cost.py
"""

from __future__ import annotations

from importlib import import_module
from timeit import repeat

import numpy as np
import torch

import latentkit as lk
from latentkit_common_corruptions.plugin import latentkit_corruptions


def main():
    """Print the shortest of ten times for each corruption."""
    torch.set_num_threads(1)
    images = torch.from_numpy(lk.dataset("fashion-mnist", "test").images[:256] / np.float32(255))
    for spec in latentkit_corruptions():
        build, options = (
            getattr(import_module(module), name)
            for module, name in (target.split(":") for target in (spec.target, spec.options))
        )
        corrupt, generator = build(options()), torch.Generator().manual_seed(0)
        seconds = min(repeat(lambda c=corrupt, g=generator: c(images, g), number=1, repeat=10))
        print(f"{spec.name:18} {1e3 * seconds:6.1f} ms")


if __name__ == "__main__":
    main()
