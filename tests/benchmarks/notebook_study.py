"""The steps of examples/fashion_mnist_study as in a typical notebook, with their seconds.

python tests/benchmarks/notebook_study.py --data DIR [--epochs 10] [--trials 30] [--images 60000]
    [--points 10000] [--threads N] [--out FOLDER]

It uses torchvision's transform and DataLoader, a plain training loop with Adam, scikit-learn's PCA,
t-SNE and Isomap, and Optuna without pruning. It imports nothing from latentkit. If there are fewer
than 30 trials, the output says so and gives the time that 30 would take at the same pace.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import optuna
import torch
from notebook_networks import (
    Autoencoder,
    Classifier,
    Loss,
    built,
    classified,
    denoised,
    squared,
    variational,
)
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE, Isomap
from sklearn.metrics import confusion_matrix
from torch import nn
from torch.utils.data import DataLoader, Subset, random_split
from torchvision import datasets, transforms
from torchvision.utils import make_grid

mpl.use("agg")
from matplotlib import pyplot as plt

TRIALS = 30


class Notebook:
    """The cells of the notebook.

    Args:
        folder: where torchvision finds ``FashionMNIST/raw``.
        asked: the command line.
    """

    def __init__(self, folder: Path, asked: argparse.Namespace) -> None:
        self.epochs, self.out = asked.epochs, asked.out
        to_tensor = transforms.ToTensor()
        whole = datasets.FashionMNIST(folder, train=True, transform=to_tensor)
        test = datasets.FashionMNIST(folder, train=False, transform=to_tensor)
        kept = Subset(whole, range(min(asked.images, len(whole))))
        held_out = len(kept) // 5
        train, validation = random_split(kept, [len(kept) - held_out, held_out])
        self.train = DataLoader(train, batch_size=256, shuffle=True)
        self.validation = DataLoader(validation, batch_size=256)
        self.test = DataLoader(Subset(test, range(min(asked.points, len(test)))), batch_size=256)

    def fit(self, model: nn.Module, loss_of: Loss, rate: float = 5e-4) -> float:
        """Train a model with validation after each epoch, and return the last validation loss."""
        optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=rate)
        curves = []
        for _ in range(self.epochs):
            model.train()
            seen = []
            for images, labels in self.train:
                loss = loss_of(model, images, labels)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                seen.append(loss.item())
            curves.append((np.mean(seen), self.loss(model, loss_of, self.validation)))
        plt.figure().gca().plot(np.array(curves))
        self.keep(f"loss-{loss_of.__name__}")
        return float(curves[-1][1])

    @torch.no_grad()
    def loss(self, model: nn.Module, loss_of: Loss, loader: DataLoader[Any]) -> float:
        """Return the mean loss over a loader."""
        model.eval()
        return float(np.mean([loss_of(model, images, labels).item() for images, labels in loader]))

    @torch.no_grad()
    def of_test(self, function: Callable[[torch.Tensor], torch.Tensor]) -> tuple[Any, Any]:
        """Return the results of a function for the test images, and their labels."""
        found = [(function(images).numpy(), labels.numpy()) for images, labels in self.test]
        first, second = zip(*found, strict=True)
        return np.concatenate(first), np.concatenate(second)

    def maps(self, model: Autoencoder) -> Iterator[tuple[str, Callable[[], None]]]:
        """Yield the name of each map, and a function that makes and draws it."""
        latents, labels = self.of_test(model.eval().encode)

        def draw(name: str, method: Any) -> None:
            plt.figure().gca().scatter(
                *method.fit_transform(latents).T, c=labels, s=2, cmap="tab10"
            )
            self.keep(name)

        yield "PCA", lambda: draw("pca", PCA(2))
        yield "t-SNE", lambda: draw("tsne", TSNE(2, random_state=0))
        yield "Isomap", lambda: draw("isomap", Isomap(n_neighbors=10, n_components=2))

    def classifier(self, encoder: nn.Module, *, held: bool) -> None:
        """Train a classifier, and draw its confusion matrices before and after."""
        encoder.requires_grad_(not held)
        model = Classifier(encoder)
        figure, axes = plt.subplots(1, 2)
        for axis, when in zip(axes, ("before", "after"), strict=True):
            if when == "after":
                self.fit(model, classified, 1e-3)
            logits, labels = self.of_test(model.eval())
            axis.imshow(confusion_matrix(labels, logits.argmax(1), labels=range(10)))
        plt.figure(figure.number)
        self.keep("confusion")

    @torch.no_grad()
    def explore(self, model: Autoencoder) -> None:
        """Decode traversals, a plane, a line between two images, and samples of the prior."""
        images = next(iter(self.test))[0]
        latents = model.eval().encode(images)
        steps = torch.linspace(-3, 3, 9)
        rows = []
        for dimension in range(latents.shape[1]):
            walk = latents[:1].repeat(9, 1)
            walk[:, dimension] = steps
            rows.append(walk)
        plane = torch.zeros(256, latents.shape[1])
        plane[:, :2] = torch.cartesian_prod(*[torch.linspace(-2, 2, 16)] * 2)
        line = torch.lerp(latents[:1], latents[1:2], torch.linspace(0, 1, 10)[:, None])
        for codes in (torch.cat(rows), plane, line, torch.randn(40, latents.shape[1])):
            self.images(model.decoder(codes))

    @torch.no_grad()
    def reconstruct(self, model: nn.Module) -> None:
        """Draw ten test images above their reconstructions."""
        images = next(iter(self.test))[0][:10]
        self.images(torch.cat([images, model.eval()(images)]))

    def images(self, images: torch.Tensor) -> None:
        """Draw images (N, 1, 28, 28) in rows of ten."""
        grid = make_grid(images, nrow=10)
        plt.figure(figsize=(10, 10 * grid.shape[1] / grid.shape[2])).gca().imshow(grid[0], "gray")
        self.keep("images")

    def keep(self, name: str) -> None:
        """Write the current figure."""
        plt.savefig(self.out / f"{name}.png")
        plt.close("all")

    def tune(self, trials: int) -> dict[str, Any]:
        """Search learning rate and activation, and return the best."""

        def ask(trial: optuna.Trial) -> float:
            trial.suggest_float("rate", 1e-4, 1e-2, log=True)
            trial.suggest_categorical("activation", ["ReLU", "LeakyReLU", "GELU", "SiLU", "Tanh"])
            return self.fit(built(trial.params), squared, trial.params["rate"])

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=0))
        study.optimize(ask, n_trials=trials)
        return study.best_params


def main() -> None:
    """Run every cell, and print the seconds of each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default=os.environ.get("LATENTKIT_DATA"), type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--trials", type=int, default=TRIALS)
    parser.add_argument("--images", type=int, default=60_000, help="of the training set")
    parser.add_argument("--points", type=int, default=10_000, help="of the test set")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--out", type=Path, default=Path("notebook-study"))
    asked = parser.parse_args()
    if asked.data is None:
        parser.error("say where FashionMNIST/raw/*.gz is: --data DIR")
    asked.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(asked.threads)
    torch.manual_seed(0)
    seconds: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        carry_out(Path(folder), asked, seconds)
    report(seconds, asked)


def carry_out(folder: Path, asked: argparse.Namespace, seconds: dict[str, float]) -> None:
    """Run the cells in order, and store the seconds of each."""

    @contextmanager
    def cell(name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds[name] = round(time.perf_counter() - started, 2)
        (asked.out / "timings.json").write_text(json.dumps(seconds, indent=2))
        print(f"{name}: {seconds[name]:.1f} s", flush=True)

    with cell("data"):
        unpack(asked.data, folder)
        notebook = Notebook(folder, asked)
    model, vae, denoiser = Autoencoder(), Autoencoder(8), Autoencoder(16)
    with cell("reference network"):
        notebook.fit(model, squared)
        notebook.reconstruct(model)
    for name, draw in notebook.maps(model):
        with cell(f"map, {name}"):
            draw()
    trained = {name: value.clone() for name, value in model.convolutions.state_dict().items()}
    for mode in ("probe", "finetune", "scratch"):
        with cell(f"transfer, {mode}"):
            encoder = Autoencoder().convolutions
            if mode != "scratch":
                encoder.load_state_dict(trained)
            notebook.classifier(encoder, held=mode == "probe")
    with cell("variational autoencoder"):
        notebook.fit(vae, variational)
        notebook.reconstruct(vae)
    with cell("denoising"):
        notebook.fit(denoiser, denoised)
        notebook.reconstruct(denoiser)
    with cell("exploration"):
        notebook.explore(vae)
    with cell(f"tuning, {asked.trials} trials"):
        best = notebook.tune(asked.trials)
    with cell("tuned network"):
        tuned = built(best)
        notebook.fit(tuned, squared, best["rate"])
        notebook.reconstruct(tuned)
    for name, one in (("reference", model), ("tuned", tuned)):
        print(f"test MSE, {name}: {notebook.loss(one, squared, notebook.test):.5f}")


def unpack(source: Path, target: Path) -> None:
    """Unpack the four files to where torchvision looks for them."""
    raw = target / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    for packed in sorted((source / "FashionMNIST" / "raw").glob("*.gz")):
        with gzip.open(packed) as file, (raw / packed.stem).open("wb") as unpacked:
            shutil.copyfileobj(file, unpacked)


def report(seconds: dict[str, float], asked: argparse.Namespace) -> None:
    """Print the table."""
    print(f"\n{asked.epochs} epochs, {asked.images:,} images, {asked.threads} threads\n")
    print("| step | seconds |\n| --- | --- |")
    for name, value in seconds.items():
        print(f"| {name} | {value:.1f} |")
    together = sum(seconds.values())
    print(f"| together | {together:.1f} |")
    if asked.trials < TRIALS:
        tuning = seconds[f"tuning, {asked.trials} trials"]
        whole = together + tuning * (TRIALS / asked.trials - 1)
        print(
            f"\nOnly {asked.trials} of {TRIALS} trials were run; at their pace {TRIALS} would make"
        )
        print(f"tuning {tuning * TRIALS / asked.trials:.1f} s and all together {whole:.1f} s.")


if __name__ == "__main__":
    main()
