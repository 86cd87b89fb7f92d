"""Seconds of ``latentkit --help``, compared with only importing the packages that it needs.

python tests/benchmarks/help_time.py [--repeats 15]
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

BARE = "import click, rich, pluggy, pydantic"
COMMANDS = {
    f"python -c '{BARE}'": [sys.executable, "-c", BARE],
    "latentkit --help": [sys.executable, "-m", "latentkit", "--help"],
    "latentkit run --help": [sys.executable, "-m", "latentkit", "run", "--help"],
    "latentkit plugins list": [sys.executable, "-m", "latentkit", "plugins", "list"],
}


def seconds(command: list[str]) -> float:
    """Return the wall-clock time of a command."""
    started = time.perf_counter()
    subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Alternate the commands, and print the median of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats + 1):  # the first round warms the disk's cache
        for name, command in COMMANDS.items():
            taken[name].append(seconds(command))
    medians = {name: statistics.median(times[1:]) for name, times in taken.items()}
    bare = next(iter(medians.values()))
    print("| command | median, s | ratio |\n| --- | --- | --- |")
    for name, median in medians.items():
        print(f"| `{name}` | {median:.3f} | {median / bare:.2f} |")


if __name__ == "__main__":
    main()
