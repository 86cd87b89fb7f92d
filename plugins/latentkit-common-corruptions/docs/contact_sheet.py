"""Draw all corruptions of Fashion-MNIST test images at the five severities of both benchmarks.

python contact_sheet.py contact-sheet.png
"""

from __future__ import annotations

import sys
from functools import partial
from importlib import import_module

import matplotlib.pyplot as plt
import numpy as np
import torch

import latentkit as lk
from latentkit_common_corruptions.plugin import latentkit_corruptions
from latentkit_common_corruptions.severities import CIFAR_10_C, IMAGENET_C

FIRST = 12  # index of the first test image; each corruption shows another image
LINES = tuple({"width": width} for width in (0.5, 1, 2, 3, 4))


def corrupted(spec, values, image):
    """Return the image (1, 1, 28, 28) under a corruption, with a fixed seed."""
    build, options = (
        getattr(import_module(module), name)
        for module, name in (target.split(":") for target in (spec.target, spec.options))
    )
    return build(options(**values))(image, torch.Generator().manual_seed(0))


def strip(spec, image):
    """Return the clean image and its corruptions in both benchmarks, side by side."""
    tables = CIFAR_10_C, IMAGENET_C
    levels = [level for table in tables for level in table.get(spec.name, LINES)]
    if spec.name not in IMAGENET_C:
        levels = levels[: len(LINES)]
    shown = [image, *(corrupted(spec, level, image) for level in levels)]
    gap = torch.ones(1, 1, 28, 2)
    tiles = [tile for one in shown for tile in (one, gap)]
    blank = torch.ones(1, 1, 28, 30 * (11 - len(shown)))
    return torch.cat([*tiles, blank], 3)


def main():
    """Draw the sheet."""
    images = lk.dataset("fashion-mnist", "test").images
    specs = list(latentkit_corruptions())
    clean = torch.from_numpy(images[FIRST : FIRST + len(specs), None] / np.float32(255))
    strips = [strip(spec, image) for spec, image in zip(specs, clean, strict=True)]
    sheet = torch.cat([part for one in strips for part in (one, torch.ones(1, 1, 2, 330))], 2)
    height, width = sheet.shape[2:]
    figure = plt.figure(figsize=(11, 10 * height / width), dpi=100)
    axes = figure.add_axes((0.12, 0.01, 0.87, 0.95))
    axes.imshow(sheet[0, 0], cmap="gray", vmin=0, vmax=1, interpolation="nearest", aspect="auto")
    axes.axis("off")
    write = partial(axes.text, fontsize=8, va="center")
    for row, spec in enumerate(specs):
        write(-2, 30 * row + 14, spec.name, ha="right")
        if spec.name not in IMAGENET_C:
            write(182, 30 * row + 14, "(width 0.5, 1, 2, 3, 4; in neither benchmark)")
    names = ["CIFAR-10-C", "ImageNet-C"]
    titles = ["clean", *(f"{name} {level}" for name in names for level in range(1, 6))]
    for column, title in enumerate(titles):
        write(30 * column + 14, -6, title, ha="center")
    figure.savefig(sys.argv[1])


if __name__ == "__main__":
    main()
