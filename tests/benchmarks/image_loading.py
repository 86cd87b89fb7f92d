"""How fast image files become images: the first pass, and every later one, beside torchvision.

python tests/benchmarks/image_loading.py FOLDER [--size 64] [--times 3] [--small 50000]

The peer is torchvision's ImageFolder with Resize, CenterCrop and ToTensor, read by a DataLoader
with two workers. Both are run in turn, each in a process of its own, with warm files; medians are
printed. ``--small N`` also makes N small PNG files of 32x32 and measures them.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def torchvision_images(photographs: Path, size: int) -> tuple[int, float]:
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    steps = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
    )
    folder = datasets.ImageFolder(photographs, steps)
    total = 0.0
    for images, _ in DataLoader(folder, batch_size=256, num_workers=2):
        total += images.double().sum().item()
    return len(folder), total / len(folder) / images[0].numel()


def latentkit_images(photographs: Path, size: int) -> list[Any]:
    import latentkit as lk

    splits = ("train", "test")
    return [lk.dataset("image-folder", split, path=str(photographs), size=size) for split in splits]


READERS: dict[str, Callable[[Path, int], Any]] = {
    "peer": torchvision_images,
    "ours": latentkit_images,
}


def count_and_mean(read: Any) -> tuple[int, float]:
    """Return the number of images that were read, and their mean pixel in [0, 1]."""
    if isinstance(read, tuple):
        return read
    total = sum(float(part.images.sum(dtype="float64")) for part in read)
    count = sum(map(len, read))
    return count, total / count / read[0].images[0].size / 255


def alone(name: str, photographs: Path, size: int) -> None:
    """Read in this process; print the number of images, seconds without imports, the mean pixel."""
    if name == "peer":
        import torch
        import torchvision.datasets  # noqa: F401

        torch.set_num_threads(1)
    else:
        import sklearn.model_selection  # noqa: F401

        import latentkit as lk

        lk.dataset("digits")
    started = time.perf_counter()
    read = READERS[name](photographs, size)
    seconds = time.perf_counter() - started
    count, mean = count_and_mean(read)
    print(count, seconds, mean)


def measured(name: str, folder: Path, size: int, cache: Path) -> tuple[int, float, float]:
    """Return the number of images, seconds without imports, and the mean pixel."""
    environment = {**os.environ, "LATENTKIT_CACHE": str(cache)}
    command = [sys.executable, __file__, str(folder), f"--size={size}", f"--alone={name}"]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    count, seconds, mean = done.stdout.split()
    return int(count), float(seconds), float(mean)


def make_small(folder: Path, n: int) -> None:
    """Write ``n`` colour PNG files of 32x32 in ten folders."""
    draw = np.random.default_rng(0)
    for number in range(10):
        (folder / str(number)).mkdir(parents=True)
    smooth = draw.integers(0, 256, (n, 4, 4, 3), dtype=np.uint8)
    for row, pixels in enumerate(smooth):
        image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)
        image.save(folder / str(row % 10) / f"{row}.png")


def compare(folder: Path, size: int, times: int) -> None:
    """Print a row for the first pass and one for later ones."""
    first, later, peer, means = [], [], [], {}
    for _ in range(times):
        with tempfile.TemporaryDirectory() as cache:
            count, seconds, mean = measured("peer", folder, size, Path(cache))
            peer.append(seconds)
            means["peer"] = mean
            count, seconds, mean = measured("ours", folder, size, Path(cache))
            first.append(seconds)
            means["ours"] = mean
            later.append(measured("ours", folder, size, Path(cache))[1])
    theirs, ours, again = map(statistics.median, (peer, first, later))
    print(
        f"| {folder.name} | {count:,} | {size} | {count / theirs:,.0f} | {count / ours:,.0f} ",
        end="",
    )
    print(f"| {theirs / ours:.2f} | {again:.2f} s | {theirs / again:,.0f} ", end="")
    print(f"| {255 * (means['ours'] - means['peer']):+.2f} |", flush=True)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--small", type=int, default=0)
    parser.add_argument("--only-small", action="store_true")
    parser.add_argument("--alone", choices=READERS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.alone:
        alone(asked.alone, asked.folder, asked.size)
        return
    print(
        "| files | images | pixels | peer images/s | images/s | ratio | opened again | ratio",
        end="",
    )
    print(" | mean difference of 255 |\n| --- | --: | --: | --: | --: | --: | --: | --: | --: |")
    started = time.perf_counter()
    if not asked.only_small:
        compare(asked.folder, asked.size, asked.times)
    if asked.small:
        with tempfile.TemporaryDirectory() as folder:
            make_small(Path(folder) / "small", asked.small)
            compare(Path(folder) / "small", 32, asked.times)
    print(f"\n{time.perf_counter() - started:.0f} s in all")


if __name__ == "__main__":
    main()
