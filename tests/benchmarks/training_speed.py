"""Seconds an epoch of the reference network in latentkit and other libraries, in turn.

pip install 'pythae==0.1.2' lightning        # missing packages are left out
python tests/benchmarks/training_speed.py --data DIR [--epochs 10] [--threads 2] [--device cuda]

Each library trains in a separate process, because its settings (allocator, threads) would also
affect the others. Only one works at a time.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.connection import Connection

import torch
from peers import PEERS, Images


def main() -> None:
    """Train every peer for the epochs, turn by turn, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"), required=False)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--device", default="cpu")
    chosen = parser.parse_args()
    os.environ["TQDM_DISABLE"] = "1"
    with peers(chosen.data, chosen.threads, chosen.device) as there:
        seconds: dict[str, list[float]] = {name: [] for name in there}
        for _ in range(chosen.epochs):
            for name, peer in there.items():
                seconds[name].append(asked(peer, "epoch"))
        ours = statistics.median(seconds["latentkit"])
        where = f"{chosen.threads} threads, {chosen.device}"
        print(f"Median of {chosen.epochs} epochs of 48,000 images, {where}\n")
        print("| who | seconds an epoch | times latentkit's | test MSE at the end |")
        print("| --- | --- | --- | --- |")
        for name, peer in there.items():
            median, error = statistics.median(seconds[name]), asked(peer, "error")
            seconds_shown = f"{median:.2f}" if median >= 1 else f"{median:.3f}"
            print(f"| {name} | {seconds_shown} | {median / ours:.2f} | {error:.4f} |")


@contextmanager
def peers(data: str, threads: int, device: str) -> Iterator[dict[str, Connection]]:
    """Start a process for each peer whose package is installed, and yield the connections."""
    context = get_context("spawn")
    there: dict[str, Connection] = {}
    processes = []
    for name in PEERS:
        ours, theirs = context.Pipe()
        process = context.Process(target=answer, args=(name, data, threads, device, theirs))
        process.start()
        processes.append(process)
        reply = ours.recv()
        if isinstance(reply, ImportError):
            print(f"{name} is left out: {reply}")
        else:
            there[reply] = ours
    try:
        yield there
    finally:
        for process in processes:
            process.terminate()


def asked(peer: Connection, question: str) -> float:
    """Send a question to a peer, and return its answer."""
    peer.send(question)
    answer: float = peer.recv()
    return answer


def answer(name: str, data: str, threads: int, device: str, asker: Connection) -> None:
    """Run a peer: send its name, then train an epoch or send the test error on each request."""
    for logger in ("lightning", "lightning.pytorch", "pythae"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    torch.set_num_threads(threads)
    images = Images(data, device)
    try:
        peer = PEERS[name](images)
    except ImportError as error:
        asker.send(error)
        return
    asker.send(peer.name)
    while True:
        asker.send(peer.epoch() if asker.recv() == "epoch" else images.test_mse(peer.model))


if __name__ == "__main__":
    main()
