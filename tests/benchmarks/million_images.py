"""Run latentkit on a set of images that is larger than memory, and watch the memory that it takes.

The images are photographs of a folder, cropped and flipped at random, in two memory-mapped files:
nine in ten for training, the others for testing. A child process trains a small network for one
epoch, encodes, makes four maps, measures the card and writes the report. Its anonymous memory
(RssAnon, without the page cache) is read every second, and written into a CSV file beside the run.
The script prints the seconds of each stage and the largest anonymous memory. A set of a million
images takes 12 GB of disk.

    python tests/benchmarks/million_images.py PHOTOGRAPHS [--images N] [--folder DIR] [--hosts]

With --hosts, two processes of one thread share the run, on two network namespaces that stand for
machines (as root, on Linux); each host's largest memory is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from several_processes import end_on_hosts, ip, start_on_hosts, two_hosts

SIDE, LARGER = 64, 80  # sides of an image and of the photographs that it is cropped from
BLOCK = 10_000
MAPS = ("pca", "tsne", "isomap", "umap")
PLUGIN = """
from pathlib import Path

import numpy as np
from latentkit.plugin import DatasetSpec, ImageData, hookimpl

FOLDER = Path({folder!r})
LATENTKIT_HOOKSPEC_VERSION = 1


def load(options, split, cache):
    images = np.load(FOLDER / f"x_{{split}}.npy", mmap_mode={mode!r})
    labels = np.load(FOLDER / f"y_{{split}}.npy")
    names = tuple(map(str, range(int(labels.max()) + 1)))
    return ImageData(images, labels, names)


@hookimpl
def latentkit_datasets():
    return [DatasetSpec(name="many-images", summary="Photographs", target=f"{{__name__}}:load")]
"""


def make(photographs: Path, folder: Path, n: int) -> None:
    """Write n images, cropped and flipped from the photographs, and their labels."""
    import latentkit as lk

    source = lk.dataset("image-folder", "train", path=str(photographs), size=LARGER)
    assert source.labels is not None
    rng = np.random.default_rng(0)
    for split, count in (("train", n - n // 10), ("test", n // 10)):
        path, labels = folder / f"x_{split}.npy", np.empty(count, np.int64)
        shape = (count, 3, SIDE, SIDE)
        if path.exists() and np.load(path, mmap_mode="r").shape == shape:
            continue
        images = np.lib.format.open_memmap(path, "w+", np.uint8, shape)
        for start in range(0, count, BLOCK):
            size = min(BLOCK, count - start)
            rows = rng.integers(0, len(source), size)
            corners = rng.integers(0, LARGER - SIDE + 1, (size, 2))
            flips = rng.random(size) < 0.5
            for place, (row, (top, left), flip) in enumerate(
                zip(rows, corners, flips, strict=True), start
            ):
                crop = source.images[row, :, top : top + SIDE, left : left + SIDE]
                images[place] = crop[:, :, ::-1] if flip else crop
            labels[start : start + size] = source.labels[rows]
        images.flush()
        np.save(folder / f"y_{split}.npy", labels)


def anonymous_bytes(pid: int) -> int:
    """Return the anonymous memory of a process, 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    found = [line.split()[1] for line in lines if line.startswith("RssAnon:")]
    return 1024 * int(found[0]) if found else 0


def watched(words: list[str]) -> tuple[int, list[list[int]]]:
    """Run latentkit, and return its exit code and its anonymous memory in each second."""
    memory: list[list[int]] = []
    command = [sys.executable, "-m", "latentkit", *words]
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": "2"})
    while process.poll() is None:
        memory.append([anonymous_bytes(process.pid)])
        time.sleep(1)
    return process.returncode, memory


def watched_on_hosts(words: list[str], folder: Path) -> tuple[int, list[list[int]]]:
    """Run latentkit on two hosts, and return an exit code and the largest process of each host."""
    memory: list[list[int]] = []
    with two_hosts() as hosts:
        started = start_on_hosts(hosts, folder, "1", *words)
        try:
            while any(process.poll() is None for process in started):
                pids = [ip("netns", "pids", host).stdout.split() for host in hosts]
                memory.append([max(anonymous_bytes(int(pid)) for pid in [0, *of]) for of in pids])
                time.sleep(1)
        finally:
            end_on_hosts(hosts, started)
    for number in (1, 2):
        print((folder / f"host{number}" / "err.txt").read_text(), file=sys.stderr)
    return max(process.returncode for process in started), memory


def main() -> None:
    """Make the images, run latentkit on them, and print stages and memory."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path, help="folder of photographs by class")
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("million-images"))
    parser.add_argument("--maps", default=",".join(MAPS), help="names of maps, with commas")
    parser.add_argument("--hosts", action="store_true", help="share the run among two hosts")
    parser.add_argument("--in-memory", action="store_true", help="load the images, to compare")
    chosen = parser.parse_args()
    folder = chosen.folder.absolute() / str(chosen.images)
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    make(chosen.photographs, folder, chosen.images)
    print(f"images ready after {time.perf_counter() - started:.0f} s")
    plugin = folder / "many_images.py"
    mode = None if chosen.in_memory else "r"
    plugin.write_text(PLUGIN.format(folder=str(folder), mode=mode))
    name = f"run-{time.time_ns()}"
    maps = [word for one in chosen.maps.split(",") if one for word in ("--embed", one)]
    options = ("model.channels=[8,16]", "model.hidden=[64]", "training.epochs=1")
    words = ["run", "--plugin", str(plugin), "--dataset", "many-images", "--device", "cpu"]
    words += ["--runs", str(folder), "--name", name, *maps]
    words += [word for option in options for word in ("-o", option)]
    code, memory = watched_on_hosts(words, folder) if chosen.hosts else watched(words)
    if code:
        sys.exit(code)
    manifest = json.loads((folder / name / "run.json").read_text())
    for stage, record in manifest["stages"].items():
        seconds = record["seconds"]
        print(f"{stage:16} {seconds:8.1f} s  {1e6 * seconds / chosen.images:8.1f} us an image")
    rows = [
        ",".join([str(second), *(f"{one / 2**30:.3f}" for one in each)])
        for second, each in enumerate(memory)
    ]
    head = ",".join(["seconds", *["RssAnon GiB"] * len(memory[0])])
    (folder / f"{name}.csv").write_text("\n".join([head, *rows]) + "\n")
    peaks = " and ".join(f"{max(each) / 2**30:.2f}" for each in zip(*memory, strict=True))
    print(f"exit code {code}, peak RssAnon {peaks} GiB over {len(memory)} s")


if __name__ == "__main__":
    main()
