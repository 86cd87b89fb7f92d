"""What signals at random moments cost a run: nothing, as bytes tell.

A small run is signalled at a random moment, then resumed, until it has finished. Its results must
have the same bytes as those of a run that was never disturbed. SIGKILL ends it at once. SIGTERM and
SIGHUP interrupt it, with exit code 130. SIGSTOP pauses it, and SIGCONT lets it go on.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import warm_forks

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGSTOP)
INTERRUPTED = 130
RUN = ["run", "-q", "--name", "r", "--epochs", "2", "--embed", "pca", "--embed", "isomap"]
RUN += ["-o", "threads=1", *warm_forks.NETWORK]
PAUSE = 0.05
RESULTS = ("model.safetensors", "evaluation.json", "evaluation.npz", "latents/", "embeddings/")


def signal_once(run: list[str], folder: Path, sent: signal.Signals, seconds: float) -> int | None:
    """Start or resume the run, and signal it after some seconds.

    Returns:
        Its exit code, negative for the signal that ended it; None if it ended before the signal.
    """
    started = (folder / "runs/r/run.json").exists()
    child = warm_forks.start(["resume", "r", "-q"] if started else run, folder)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if os.waitpid(child, os.WNOHANG)[0]:
            return None
        time.sleep(0.002)
    os.kill(child, sent)
    if sent == signal.SIGSTOP:
        time.sleep(PAUSE)
        os.kill(child, signal.SIGCONT)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def is_right(sent: signal.Signals, code: int) -> bool:
    """Return whether a process that was sent a signal ended as it should.

    A process may have done everything when the signal comes, and so end with 0. It may also have
    set no handler yet, and so be ended by SIGTERM or SIGHUP itself.
    """
    if sent == signal.SIGKILL:
        return code in (0, -signal.SIGKILL)
    return code == 0 or (sent != signal.SIGSTOP and code in (INTERRUPTED, -sent))


def results(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of the results of the run in ``folder``."""
    found = warm_forks.hashes(folder)
    return {k: v for k, v in found.items() if k.removeprefix("runs/r/").startswith(RESULTS)}


def main() -> None:
    """Print a table of signals."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=40, help="number of signals")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--images", type=Path, help="image files to train on; by default digits")
    asked = parser.parse_args()
    run = list(RUN)
    if asked.images is not None:
        os.environ["LATENTKIT_CACHE"] = tempfile.mkdtemp(prefix="kills-cache-")
        run += ["--dataset", "image-folder", "-o", f"image-folder.path={asked.images.absolute()}"]
        run += ["-o", "image-folder.size=32"]
    chance = random.Random(asked.seed)
    warm_forks.warm_up()
    warm_forks.draw_blank_figures()
    sent_to, right, wrong = Counter[str](), Counter[str](), []
    runs = equal = 0
    with tempfile.TemporaryDirectory(prefix="kills-") as name:
        whole = Path(name) / "whole"
        whole.mkdir()
        begun = time.monotonic()
        code, errors = warm_forks.run(run, whole)
        assert code == 0, errors
        seconds, expected = time.monotonic() - begun, results(whole)
        while sent_to.total() < asked.times:
            folder = Path(name) / str(runs)
            folder.mkdir()
            runs += 1
            finished = False
            while not finished:
                sent = chance.choice(SIGNALS)
                ended = signal_once(run, folder, sent, seconds * chance.random() ** 2)
                finished = ended in (None, 0)
                if ended is not None:
                    sent_to[sent.name] += 1
                    right[sent.name] += is_right(sent, ended)
                    if not is_right(sent, ended):
                        wrong.append(f"{sent.name}: {ended}: {warm_forks.errors_of(folder)}")
            same = results(folder) == expected and not warm_forks.leftovers(folder)
            equal += same
            if not same:
                wrong.append(f"run {runs} has other bytes or temporary files")
    print("| signal | sent | right end |\n| --- | --: | --: |")
    for one in SIGNALS:
        print(f"| {one.name} | {sent_to[one.name]} | {right[one.name]} |")
    print(f"\n{runs} runs were finished in the end, {equal} with the bytes of an undisturbed run.")
    print("\n".join(wrong))


if __name__ == "__main__":
    main()
