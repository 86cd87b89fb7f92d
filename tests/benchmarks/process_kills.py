"""Kill random processes of shared runs, again and again, and compare the weights at the end.

Each run is trained by 2 or 3 processes of one thread. A random one of them is killed at a random
moment; then all are started again, until the run has ended as often as asked. The final weights
and latents must be those of a run that nobody disturbed, byte for byte::

    python tests/benchmarks/process_kills.py --kills 100 --runs 10
"""

import argparse
import hashlib
import random
import sys
import tempfile
import time
from pathlib import Path

import latentkit as lk
from latentkit.api.kinds import kind_of_config
from latentkit.errors import LatentkitError
from latentkit.registry.catalogue import default_registry
from latentkit.runs.shared_run import follow
from latentkit.training import loop
from latentkit.training.processes import joined

sys.path.insert(0, str(Path(__file__).parents[1]))
from several_processes import become, fork_server, free_port

OPTIONS = {
    "model.channels": [8],
    "model.hidden": [16],
    "model.latent_dim": 3,
    "threads": 1,
    "training.checkpoint_minutes": 1e-9,
}
FILES = ("model.safetensors", "latents/train.npz", "latents/test.npz")


class Enough(Exception):
    """The latents are there; the rest of a run is not shared."""


def stop_after_encoding(event):
    """End the run where one process goes on alone."""
    if event.as_dict().get("event") == "StageFinished" and event.stage == "encode":
        raise Enough


def member(rank, count, port, folder, epochs):
    """Start or resume the run in ``folder`` as one of several processes."""
    become(rank, count, port)
    loop._SECONDS_BETWEEN_CHECKPOINTS = loop._PAUSE_OVER_SAVING = 0
    try:
        with joined(60) as processes:
            if rank:
                follow(processes, default_registry(), None, kind_of_config)
            elif (folder / "run" / "run.json").exists():
                lk.resume(folder / "run", listener=stop_after_encoding)
            else:
                lk.run(model="conv-vae", epochs=epochs, options=OPTIONS, name="run", runs=folder,
                       listener=stop_after_encoding)  # fmt: skip
    except (Enough, LatentkitError):
        pass


def attempt(forks, folder, count, epochs, kill=None):
    """Let processes share the run once; ``kill`` is a rank and the seconds until it is killed."""
    arguments = (count, free_port(), folder, epochs)
    started = [forks.Process(target=member, args=(rank, *arguments)) for rank in range(count)]
    for process in started:
        process.start()
    killed = False
    if kill is not None:
        rank, seconds = kill
        started[rank].join(seconds)
        killed = started[rank].is_alive()
        started[rank].kill()
    for process in started:
        process.join(300)
        if process.is_alive():
            raise SystemExit("a process did not end after another one was killed")
    return killed


def digests(folder):
    """Return the SHA-256 of what the processes made together, or nothing if it is not there."""
    paths = [folder / "run" / name for name in FILES]
    if not all(path.exists() for path in paths):
        return None
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


def main():
    """Print one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=60)
    options = parser.parse_args()
    forks = fork_server(
        __name__, "latentkit.builtins.models.vae", "latentkit.builtins.datasets.digits"
    )
    chance = random.Random(0)
    ends = time.monotonic() + 60 * options.minutes
    with tempfile.TemporaryDirectory() as place:
        whole, start, step = {}, {}, {}
        attempt(forks, Path(place) / "first", 2, 1)  # what it imports is on disk and in memory then
        for count in (2, 3):
            seconds = [time.monotonic()]
            for epochs in (1, options.epochs):
                attempt(forks, Path(place) / f"{epochs}by{count}", count, epochs)
                seconds.append(time.monotonic())
            whole[count] = digests(Path(place) / f"{options.epochs}by{count}")
            start[count] = seconds[1] - seconds[0]
            # So far apart, on average, that the training lasts for twice as many kills as asked.
            trained = seconds[2] - seconds[1] - start[count]
            step[count] = trained * options.runs / options.kills / 2
            print(f"{count} processes: start {start[count]:.1f} s, a kill each {step[count]:.1f} s")
        kills = finished = equal = within = 0
        while min(finished / options.runs, kills / options.kills) < 1 and time.monotonic() < ends:
            count = 2 + finished % 2
            folder = Path(place) / str(finished)
            aim = options.kills * (finished + 1) // options.runs
            while kills < aim and digests(folder) is None and time.monotonic() < ends:
                moment = chance.uniform(0.7, 1) * start[count] + chance.uniform(0, 2) * step[count]
                if attempt(forks, folder, count, options.epochs, (chance.randrange(count), moment)):
                    kills += 1
                    within += any(folder.glob("run/checkpoints/*-batch-*.json"))
            while digests(folder) is None:
                attempt(forks, folder, count, options.epochs)
            finished += 1
            equal += digests(folder) == whole[count]
            print(f"run {finished}: {kills} kills so far, {equal} runs equal", flush=True)
    print(
        f"{kills} kills in {finished} runs of 2 and 3 processes, {within} after a checkpoint "
        f"within an epoch: {finished} runs ended, {equal} with the bytes of the undisturbed run"
    )


if __name__ == "__main__":
    main()
