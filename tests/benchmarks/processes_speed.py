"""Seconds an epoch of two processes of one thread each, beside one process of two threads.

It trains the default network on images of Fashion-MNIST's size, in turn, so that both meet the same
load of the machine. It also prints the bytes that a process sends in a step, and the share of the
time that it spends on sending and on waiting for the other::

    python tests/benchmarks/processes_speed.py --rounds 5
"""

import argparse
import multiprocessing
import os
import statistics
import time
from dataclasses import replace

import numpy as np
import torch

import latentkit as lk
from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.plugin.events import ignore
from latentkit.training.device import repeatable, resolve_precision
from latentkit.training.loop import TrainingJob, train
from latentkit.training.processes import Processes, joined

CPU = torch.device("cpu")


class Watched(Processes):
    """Processes that count what they send, and the time in which they wait for others."""

    bytes, seconds, calls = 0, 0.0, 0

    def _timed(self, tensor, send):
        started = time.perf_counter()
        found = send(tensor)
        self.bytes += tensor.nbytes
        self.seconds += time.perf_counter() - started
        self.calls += 1
        return found

    def sum_(self, tensor):
        """Count a sum."""
        return self._timed(tensor, super().sum_)

    def each(self, tensor):
        """Count what all processes receive."""
        return self._timed(tensor, super().each)

    def summing(self, tensor):
        """Count a sum that goes on during the backward pass, and the waiting at its end."""
        wait = self._timed(tensor, super().summing)

        def timed_wait():
            started = time.perf_counter()
            wait()
            self.seconds += time.perf_counter() - started

        return timed_wait


def job(model: str, images: int, batch: int) -> TrainingJob:
    """Return the training of one epoch."""
    torch.manual_seed(0)
    network = lk.model(model, (1, 28, 28)).to(memory_format=torch.channels_last)
    pixels = np.random.default_rng(0).integers(0, 256, (images, 1, 28, 28), dtype=np.uint8)
    return TrainingJob(
        model=network,
        train=DeviceImages(pixels, CPU),
        validation=DeviceImages(pixels[:256], CPU),
        corruption=CorruptionChain(),
        options=TrainingOptions(batch_size=batch, epochs=1, learning_rate=8e-3),
        precision=resolve_precision("auto", CPU, network),
        seed=0,
        new_weights=False,
    )


def seconds_of(one: TrainingJob, threads: int) -> tuple[float, float]:
    """Return the seconds of the training's only epoch, and the processor time of the training.

    Processor time tells two processes from one even where other programs take the processors.
    """
    with repeatable(CPU, threads):
        before = time.process_time()
        seconds = float(train(one, None, ignore).history[0]["seconds"])
        return seconds, time.process_time() - before


def member(rank: int, options: argparse.Namespace) -> None:
    """Measure as one of two processes; process 0 also measures one process, and prints."""
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(options.port)}
    with joined(600) as processes:
        processes.__class__ = Watched
        kind = (options.model, options.images, options.batch)
        ratios = []
        for number in range(options.rounds + 1):
            alone, busy = (0.0, 0.0) if rank else seconds_of(job(*kind), options.threads)
            if rank == 0:
                processes.order("share")
            else:
                next(processes.orders())
            processes.bytes, processes.seconds, processes.calls = 0, 0.0, 0
            shared, own = seconds_of(replace(job(*kind), processes=processes), 1)
            if rank or not number:  # the first round warms up
                continue
            ratios.append(shared / alone)
            steps = -(-options.images // options.batch)
            print(
                f"one process {alone:.2f} s, two {shared:.2f} s, ratio {ratios[-1]:.3f}; a step "
                f"sends {processes.bytes / steps:,.0f} bytes in {processes.calls / steps:.1f} "
                f"messages; {processes.seconds / shared:.0%} of the time waiting; processor time "
                f"of one process {busy:.2f} s, of each of two {own:.2f} s",
                flush=True,
            )
        if rank == 0:
            print(f"median ratio {statistics.median(ratios):.3f} of {len(ratios)} rounds")


def main() -> None:
    """Start both processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="conv-ae")
    parser.add_argument("--images", type=int, default=12_800)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the one process")
    parser.add_argument("--port", type=int, default=29_555)
    options = parser.parse_args()
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=member, args=(rank, options)) for rank in (0, 1)]
    for process in started:
        process.start()
    for process in started:
        process.join()


if __name__ == "__main__":
    main()
