"""Errors on photographs: conv-ae, PCA, and networks of other libraries in the same time.

    python tests/benchmarks/photographs.py FOLDER --out RUNS [--size 64] [--latents 64]
        [--epochs 20] [--seeds 3] [--crops N] [--peers pythae-conv pythae-resnet diffusers]
        [-o KEY=VALUE ...]

FOLDER has a folder of photographs per class. For each seed, an ordinary run in RUNS trains conv-ae.
Then each peer trains on the same images for as many seconds as the run's training took, and its
last weights are measured. Runs that exist are not repeated. Peak memory is that of the process,
which is a new one for each training. With --crops, images are N random squares of the photographs,
from a quarter of a photograph's side to all of it; those for testing come from other photographs.

Peers, all with squared error, random flips and Adam with a rate of 1e-3:

- pythae-conv and pythae-resnet: the networks of Pythae's benchmarks, for CIFAR at 32 pixels and for
  CelebA at 64, in its AE and its trainer, with batches of 100.
- diffusers: a small AutoencoderKL whose latents are 4 channels of 1/16 of the size, in a plain loop
  with batches of 64, without its KL term.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from over_seeds import over_seeds
from torch import nn
from torch.nn import functional

import latentkit as lk
from latentkit.data.batches import DeviceImages
from latentkit.evaluation.inference import reconstruction
from latentkit.evaluation.reconstruction import fidelity

PEERS = ("pythae-conv", "pythae-resnet", "diffusers")


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photographs", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--latents", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--crops", type=int, default=0)
    parser.add_argument("--peers", nargs="*", default=PEERS)
    parser.add_argument("-o", action="append", default=[], metavar="KEY=VALUE", dest="options")
    parser.add_argument("--alone", help=argparse.SUPPRESS)  # name, seed and seconds of one training
    chosen = parser.parse_args()
    if chosen.alone:
        name, seed, seconds = chosen.alone.split(",")
        found = _of_run(chosen, int(seed)) if name == "conv-ae" else None
        found = found or _of_peer(chosen, name, int(seed), float(seconds))
        found["peak GiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(json.dumps(found))
        return
    rows: dict[str, list[dict[str, float]]] = {}
    for seed in range(chosen.seeds):
        own = _alone("conv-ae", seed, 0.0)
        rows.setdefault("PCA", []).append({"MSE": own.pop("PCA MSE"), "SSIM": own.pop("PCA SSIM")})
        rows.setdefault("conv-ae", []).append(own)
        for peer in chosen.peers:
            rows.setdefault(peer, []).append(_alone(peer, seed, own["seconds"]))
    _print(rows)


def _alone(name: str, seed: int, seconds: float) -> dict[str, float]:
    """Return the figures of one training, done by a new process."""
    command = [sys.executable, *sys.argv, f"--alone={name},{seed},{seconds}"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(f"{name}, seed {seed}: {found}", file=sys.stderr)
    return found


def _print(rows: dict[str, list[dict[str, float]]]) -> None:
    columns = ("MSE", "SSIM", "weights", "largest layer", "epochs", "seconds", "peak GiB")
    styles = (".5f", ".3f", ",.0f", ".0%", ".1f", ".0f", ".2f")
    print("| | test MSE | of PCA's | test SSIM | " + " | ".join(columns[2:]) + " |")
    print("| --- " * (len(columns) + 2) + "|")
    for name, found in rows.items():
        ratios = [one["MSE"] / pca["MSE"] for one, pca in zip(found, rows["PCA"], strict=True)]
        texts = [
            over_seeds([one[key] for one in found], style) if key in found[0] else ""
            for key, style in zip(columns, styles, strict=True)
        ]
        print(f"| {name} | " + " | ".join([texts[0], over_seeds(ratios, ".3f"), *texts[1:]]) + " |")


def _images(chosen: argparse.Namespace) -> tuple[str, dict[str, Any]]:
    """Return the name and the options of the data set; crops are made if they do not exist."""
    folder, size = str(chosen.photographs.absolute()), chosen.size
    if not chosen.crops:
        return "image-folder", {"path": folder, "size": size}
    path = chosen.out.absolute() / f"crops-{size}-{chosen.crops}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        larger, rng = 4 * size, np.random.default_rng(0)
        arrays = {}
        for split, count in (("train", chosen.crops), ("test", chosen.crops // 10)):
            photographs = lk.dataset("image-folder", split, path=folder, size=larger).images
            found = np.empty((count, photographs.shape[1], size, size), np.uint8)
            for row, picture in enumerate(rng.integers(0, len(photographs), count)):
                step = int(rng.integers(1, 5))
                top, left = rng.integers(0, larger - step * size + 1, 2)
                crop = photographs[picture, :, top : top + step * size, left : left + step * size]
                shape = (-1, size, step, size, step)
                found[row] = crop.reshape(shape).mean((2, 4)).round()
            arrays[f"x_{split}"] = found
        np.savez(path, **arrays)
    return "npz", {"path": str(path)}


def _of_run(chosen: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Return the figures of a run of latentkit, which is started if it does not exist."""
    size, latents = chosen.size, chosen.latents
    given = dict(one.split("=", 1) for one in chosen.options)
    known = "-".join(f"{key.split('.')[-1]}-{value}" for key, value in given.items())
    source, options = _images(chosen)
    run = lk.run(
        dataset=source,
        options={
            **{f"dataset.{key}": value for key, value in options.items()},
            "model.latent_dim": latents,
            **{key: _value(text) for key, text in given.items()},
        },
        epochs=chosen.epochs,
        seed=seed,
        name=f"conv-ae-{source}-{size}-{latents}-{chosen.epochs}e-seed{seed}-{known}".rstrip("-"),
        out=chosen.out,
    )
    card, pca = run.evaluation["reconstruction"], run.evaluation["baselines"]["pca"]
    return {
        "MSE": card["mse"]["value"],
        "SSIM": card["ssim"]["value"],
        "PCA MSE": pca["mse"]["value"],
        "PCA SSIM": pca["ssim"]["value"],
        "seconds": sum(one["seconds"] for one in run.history),
        "epochs": chosen.epochs,
        **_sizes(run.model),
    }


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _sizes(model: nn.Module) -> dict[str, float]:
    counts = [parameter.numel() for parameter in model.parameters()]
    return {"weights": sum(counts), "largest layer": max(counts) / sum(counts)}


def _of_peer(chosen: argparse.Namespace, name: str, seed: int, seconds: float) -> dict[str, Any]:
    """Train a peer for some seconds, and return its figures."""
    torch.manual_seed(seed)
    source, options = _images(chosen)
    train = torch.from_numpy(np.array(lk.dataset(source, "train", **options).images))
    test = DeviceImages(
        np.asarray(lk.dataset(source, "test", **options).images), torch.device("cpu")
    )
    shape = (int(train.shape[1]), chosen.size, chosen.size)
    if name == "diffusers":
        model, spent, epochs = _trained_diffusers(shape, chosen.latents, train, seconds)
    else:
        model, spent, epochs = _trained_pythae(name, shape, chosen.latents, train, seconds)
    found = fidelity(test, reconstruction(model))
    return {
        "MSE": float(found.mse.mean()),
        "SSIM": float(found.ssim.mean()),
        "seconds": spent,
        "epochs": epochs,
        **_sizes(model),
    }


class _Coder(nn.Module):
    """A peer's network with ``encode`` and ``decode``, as latentkit measures it."""

    def __init__(self, network: nn.Module, encode: Any, decode: Any) -> None:
        super().__init__()
        self.network, self._encode, self._decode = network, encode, decode

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return the latents, in the network's shape."""
        return self._encode(images)  # type: ignore[no-any-return]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return images, clipped to [0, 1]."""
        return self._decode(latents).clamp(0, 1)  # type: ignore[no-any-return]


def _trained_diffusers(
    shape: tuple[int, int, int], latents: int, train: torch.Tensor, seconds: float
) -> tuple[nn.Module, float, float]:
    from diffusers import AutoencoderKL

    widths, halvings = (32, 32, 64, 64, 64), 4  # 64 -> 4 pixels
    model = AutoencoderKL(
        in_channels=shape[0],
        out_channels=shape[0],
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        block_out_channels=widths,
        latent_channels=latents // (shape[1] >> halvings) ** 2,
        norm_num_groups=8,
        layers_per_block=1,
    )

    def encode(images: torch.Tensor) -> Any:
        return model.encode(images).latent_dist.mean

    def decode(codes: torch.Tensor) -> Any:
        return model.decode(codes).sample

    optimizer = torch.optim.Adam(model.parameters(), 1e-3)
    model.train()
    started, done = time.perf_counter(), 0
    while True:
        for rows in torch.randperm(len(train)).split(64):
            batch = train[rows].float() / 255
            if torch.rand(()) < 0.5:
                batch = batch.flip(3)
            optimizer.zero_grad()
            functional.mse_loss(decode(encode(batch)), batch).backward()
            optimizer.step()
            done += len(rows)
            spent = time.perf_counter() - started
            if spent > seconds:
                return _Coder(model, encode, decode), spent, done / len(train)


def _trained_pythae(
    name: str, shape: tuple[int, int, int], latents: int, train: torch.Tensor, seconds: float
) -> tuple[nn.Module, float, float]:
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, AEConfig
    from pythae.models.nn.benchmarks import celeba, cifar
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from pythae.trainers.training_callbacks import TrainingCallback

    class Flipped(BaseDataset):  # type: ignore[misc]
        def __getitem__(self, index: int) -> Any:
            item = super().__getitem__(index)
            if torch.rand(()) < 0.5:
                item["data"] = item["data"].flip(2)
            return item

    class Stop(TrainingCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.steps, self.started, self.spent = 0, time.perf_counter(), 0.0

        def on_train_step_end(self, *_: Any, **__: Any) -> None:
            self.steps += 1
            self.spent = time.perf_counter() - self.started
            if self.spent > seconds:
                raise TimeoutError

    config = AEConfig(input_dim=shape, latent_dim=latents)
    encoder, decoder = {
        ("pythae-conv", 32): (cifar.Encoder_Conv_AE_CIFAR, cifar.Decoder_Conv_AE_CIFAR),
        ("pythae-resnet", 32): (cifar.Encoder_ResNet_AE_CIFAR, cifar.Decoder_ResNet_AE_CIFAR),
        ("pythae-conv", 64): (celeba.Encoder_Conv_AE_CELEBA, celeba.Decoder_Conv_AE_CELEBA),
        ("pythae-resnet", 64): (celeba.Encoder_ResNet_AE_CELEBA, celeba.Decoder_ResNet_AE_CELEBA),
    }[name, shape[1]]
    model = AE(config, encoder(config), decoder(config))
    floats = train.float() / 255
    trainer = BaseTrainer(
        model=model,
        train_dataset=Flipped(floats, torch.zeros(len(floats))),
        training_config=BaseTrainerConfig(
            output_dir=tempfile.mkdtemp(),
            learning_rate=1e-3,
            per_device_train_batch_size=100,
            num_epochs=10**6,
            no_cuda=True,
        ),
        callbacks=[stop := Stop()],
    )
    trainer.prepare_training()
    stop.started = time.perf_counter()
    with contextlib.suppress(TimeoutError):
        for epoch in itertools.count(1):
            trainer.train_step(epoch)

    def encode(images: torch.Tensor) -> Any:
        return model.encoder(images).embedding

    def decode(codes: torch.Tensor) -> Any:
        return model.decoder(codes)["reconstruction"]

    return _Coder(model, encode, decode), stop.spent, stop.steps * 100 / len(train)


if __name__ == "__main__":
    main()
