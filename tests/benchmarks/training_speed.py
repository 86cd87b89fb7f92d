"""Seconds an epoch of the reference network, beside other libraries, in alternation.

pip install 'pythae==0.1.2' lightning        # what is missing is left out
python tests/benchmarks/training_speed.py --data DIR [--epochs 10] [--threads 2]
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics

import torch
from peers import Images, available


def main() -> None:
    """Train every peer for the epochs, turn by turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"), required=False)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    os.environ["TQDM_DISABLE"] = "1"
    for name in ("lightning", "lightning.pytorch", "pythae"):
        logging.getLogger(name).setLevel(logging.ERROR)
    images = Images(chosen.data)
    peers = available(images)
    seconds: dict[str, list[float]] = {peer.name: [] for peer in peers}
    for _ in range(chosen.epochs):
        for peer in peers:
            seconds[peer.name].append(peer.epoch())
    ours = statistics.median(seconds["latentkit"])
    print(f"Median of {chosen.epochs} epochs of 48,000 images, {chosen.threads} threads\n")
    print("| who | seconds an epoch | times latentkit's | test MSE at the end |")
    print("| --- | --- | --- | --- |")
    for peer in peers:
        median = statistics.median(seconds[peer.name])
        error = images.test_mse(peer.model)
        print(f"| {peer.name} | {median:.2f} | {median / ours:.2f} | {error:.4f} |")


if __name__ == "__main__":
    main()
