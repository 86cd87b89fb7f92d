"""Time that the default conv-ae needs to reach the error of the notebook loop after ten epochs.

python tests/benchmarks/time_to_error.py --data DIR [--threads 2]

The notebook loop trains the reference network for ten epochs. ``conv-ae`` then trains with its
defaults and 3 latents, for one epoch, for two, and so on, until its test error is as small. On
both sides, seconds cover only training.
"""

from __future__ import annotations

import argparse
import os
import tempfile

import torch
from peers import Images, Notebook

import latentkit as lk


def main() -> None:
    """Train both and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--notebook-epochs", type=int, default=10)
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    images = Images(chosen.data)
    notebook = Notebook(images)
    needed = sum(notebook.epoch() for _ in range(chosen.notebook_epochs))
    goal = images.test_mse(notebook.model)
    print("| who | epochs | training, s | test MSE | share of the notebook's time |")
    print("| --- | --- | --- | --- | --- |")
    print(f"| notebook loop | {chosen.notebook_epochs} | {needed:.1f} | {goal:.4f} | 1.00 |")
    for epochs in range(1, chosen.notebook_epochs + 1):
        run = lk.run(
            model="conv-ae",
            dataset="fashion-mnist",
            epochs=epochs,
            options={"model.latent_dim": 3, "threads": chosen.threads},
            data=chosen.data,
            out=tempfile.mkdtemp(),
        )
        seconds = sum(record["seconds"] for record in run.history)
        error = run.evaluation["reconstruction"]["mse"]["value"]
        share = seconds / needed
        print(f"| conv-ae | {epochs} | {seconds:.1f} | {error:.4f} | {share:.2f} |", flush=True)
        if error <= goal:
            break


if __name__ == "__main__":
    main()
