"""What SIGKILL at random moments costs while image files are decoded: nothing, as bytes tell.

python tests/benchmarks/cache_kills.py FOLDER [--times 50] [--size 64] [--seed 0]

A process that decodes a folder of images into the cache is killed, and the next one goes on, until
one finishes. Its pixels must have the SHA-256 of a cache that was never disturbed. Now and then,
two processes decode at once.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_CODE = """
import sys
import latentkit as lk
for split in ("train", "test"):
    print(lk.dataset("image-folder", split, path=sys.argv[1], size=int(sys.argv[2])).digest())
"""


def start(folder: Path, size: int, cache: Path) -> subprocess.Popen[str]:
    """Start a process, with its decoders in a group of their own, that prints two digests."""
    environment = {**os.environ, "LATENTKIT_CACHE": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", _CODE, str(folder), str(size)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        text=True,
    )


def main() -> None:
    """Print how many processes were killed, and how many caches were whole and equal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    chance = random.Random(asked.seed)
    killed = whole = equal = 0
    with tempfile.TemporaryDirectory(prefix="cache-kills-") as name:
        begun = time.monotonic()
        expected = start(asked.folder, asked.size, Path(name) / "first").communicate()[0]
        seconds = time.monotonic() - begun
        assert len(expected.split()) == 2, expected
        while killed < asked.times:
            cache = Path(name) / str(whole)
            finished = ""
            while not finished:
                processes = [start(asked.folder, asked.size, cache)]
                if chance.random() < 0.2:
                    processes.append(start(asked.folder, asked.size, cache))
                time.sleep(seconds * chance.random())
                for process in processes:
                    if process.poll() is None:
                        killed += 1
                        # Of the parent only, or of its decoders, too.
                        kill = os.killpg if chance.random() < 0.5 else os.kill
                        kill(process.pid, signal.SIGKILL)
                    said = process.communicate()[0]
                    finished = said if process.returncode == 0 else finished
            whole += 1
            equal += finished == expected
            left = [path.name for path in cache.iterdir() if path.suffix == ".building"]
            print(
                f"{killed} killed; cache {whole}: {finished == expected}, left {left}", flush=True
            )
    print(f"\n{killed} processes were killed; {equal} of {whole} caches have the same bytes")


if __name__ == "__main__":
    main()
