"""The reference network, trained by latentkit and by other libraries, one epoch at a time.

All use the same network (28 -> 14 -> 7 -> 3 pixels, 288 -> 64 -> 3), the same 48,000 images, Adam
5e-4, batches of 256, mean squared error and float32, and start from the same initial weights. The
others train the network as it is usually written in ``torch.nn``; latentkit trains its own version.
The measured time of every peer covers only training, without validation and checkpoints.
"""

from __future__ import annotations

import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import latentkit as lk
from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages
from latentkit.plugin.events import EpochFinished
from latentkit.training.checkpoint import CheckpointStore
from latentkit.training.device import repeatable
from latentkit.training.loop import TrainingJob, train

REFERENCE = {
    "latent_dim": 3,
    "patch": 1,
    "channels": [8, 16, 32],
    "hidden": [64],
    "activation": "relu",
    "norm": "none",
    "upsampling": "transpose",
    "odd_sizes": "down",
}
BATCH, RATE = 256, 5e-4


class Peer(Protocol):
    """A library or loop that trains the reference network."""

    name: str
    model: nn.Module

    def epoch(self) -> float:
        """Train for one epoch, and return its seconds."""
        ...


class Images:
    """Fashion-MNIST: 48,000 training images by latentkit's split, and the test set.

    Args:
        folder: the folder of data sets.
        device: the device on which the peers train.
    """

    def __init__(self, folder: str, device: str = "cpu") -> None:
        self.folder = folder
        self.device = torch.device(device)
        everything = lk.dataset("fashion-mnist", "train", data=folder)
        from latentkit.data.batches import split_train_validation
        from latentkit.plugin.seeds import stream_seed

        split = split_train_validation(60_000, everything.labels, 0.2, stream_seed(0, "split"))
        self.rows, self.validation_rows = split.train, split.validation
        self.train = everything.images[split.train]
        self.validation = everything.images[split.validation]
        self.test = lk.dataset("fashion-mnist", "test", data=folder).images.copy()

    def test_mse(self, model: nn.Module) -> float:
        """Return the mean squared error a pixel of a model's reconstructions of the test set."""
        model.to(self.device).eval()  # Lightning moves it off the GPU
        batches = torch.from_numpy(self.test).float().div(255).split(1000)
        with torch.no_grad():
            on_device = (x.to(self.device) for x in batches)
            return float(np.mean([functional.mse_loss(model(x), x).item() for x in on_device]))


def reference_network() -> Any:
    """Return latentkit's network, with the same initial weights each time."""
    torch.manual_seed(0)
    return lk.model("conv-ae", (1, 28, 28), **REFERENCE)


class PlainNetwork(nn.Module):
    """The same network as in a typical notebook, only with layers of ``torch.nn``."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(1, 8, 3, 2, 1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU(inplace=True)),
            *(nn.Conv2d(16, 32, 3, 2, 0), nn.ReLU(inplace=True)),
            *(nn.Flatten(), nn.Linear(288, 64), nn.ReLU(inplace=True), nn.Linear(64, 3)),
        )
        self.decoder = nn.Sequential(
            *(nn.Linear(3, 64), nn.ReLU(inplace=True)),
            *(nn.Linear(64, 288), nn.Unflatten(1, (32, 3, 3)), nn.ReLU(inplace=True)),
            *(nn.ConvTranspose2d(32, 16, 3, 2, 0), nn.ReLU(inplace=True)),
            *(nn.ConvTranspose2d(16, 8, 3, 2, 1, 1), nn.ReLU(inplace=True)),
            nn.ConvTranspose2d(8, 1, 3, 2, 1, 1),
        )
        source = reference_network().state_dict().values()
        weights = dict(zip(self.state_dict(), source, strict=True))
        # nn.Flatten orders the 32 maps of 3x3 by channel, latentkit's layer by pixel.
        for name, axis in (("encoder.7.weight", 1), ("decoder.2.weight", 0), ("decoder.2.bias", 0)):
            by_pixel = weights[name].unflatten(axis, (9, 32))
            weights[name] = by_pixel.transpose(axis, axis + 1).flatten(axis, axis + 1)
        self.load_state_dict(weights)

    def encode(self, images: torch.Tensor) -> torch.Tensor:
        """Return latents (B, 3)."""
        return self.encoder(images)  # type: ignore[no-any-return]

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Return images (B, 1, 28, 28)."""
        return self.decoder(latents).sigmoid()  # type: ignore[no-any-return]

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return reconstructions (B, 1, 28, 28)."""
        return self.decode(self.encode(images))


class Latentkit:
    """latentkit's training loop."""

    name = "latentkit"

    def __init__(self, images: Images) -> None:
        self.model = reference_network().to(images.device, memory_format=torch.channels_last)
        self._images = images
        self._store = CheckpointStore(Path(tempfile.mkdtemp()))
        self._done = 0

    def epoch(self) -> float:
        """Resume from the last checkpoint for one epoch."""
        self._done += 1
        device = self._images.device
        job = TrainingJob(
            model=self.model,
            train=DeviceImages(self._images.train, device),
            validation=DeviceImages(self._images.validation[:100], device),
            corruption=CorruptionChain(),
            options=TrainingOptions(
                epochs=self._done,
                batch_size=BATCH,
                optimizer="adam",
                learning_rate=RATE,
                beta2=0.999,
                schedule="constant",
                keep="last",
            ),
            precision="float32",
            seed=0,
            config_sha256="",
        )
        seconds: list[float] = []

        def watch(event: object) -> None:
            if isinstance(event, EpochFinished):
                seconds.append(event.seconds)

        with repeatable(device, torch.get_num_threads()):  # as every run does
            train(job, self._store, watch)
        return seconds[-1]


class Notebook:
    """The loop of the tutorials: torchvision's data set, ToTensor, DataLoader, Adam."""

    name = "notebook loop"

    def __init__(self, images: Images) -> None:
        self.model = PlainNetwork().to(images.device)
        self._device = images.device
        self._optimizer = torch.optim.Adam(self.model.parameters(), RATE)
        self._loader = notebook_loader(images)

    def epoch(self) -> float:
        """Train for one epoch."""
        started = time.perf_counter()
        self.model.train()
        for batch, _ in self._loader:
            images = batch.to(self._device)
            self._optimizer.zero_grad()
            loss = functional.mse_loss(self.model(images), images)
            loss.backward()
            self._optimizer.step()
        loss.item()  # wait until the GPU has finished
        return time.perf_counter() - started


class Lightning:
    """Lightning's trainer on the notebook's loader."""

    name = "Lightning"

    def __init__(self, images: Images) -> None:
        import lightning

        self.name = f"Lightning {lightning.__version__}"
        self.model = network = PlainNetwork()
        self._loader = notebook_loader(images)

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.network = network

            def training_step(self, batch: Any, index: int) -> Any:
                return functional.mse_loss(self.network(batch[0]), batch[0])

            def configure_optimizers(self) -> Any:
                return optimizer

            def on_train_epoch_start(self) -> None:
                self.started = time.perf_counter()

            def on_train_epoch_end(self) -> None:
                next(network.parameters()).sum().item()  # wait until the GPU has finished
                self.seconds = time.perf_counter() - self.started

        self._module = Module()
        optimizer = torch.optim.Adam(network.parameters(), RATE)
        self._new_trainer = lambda: lightning.Trainer(
            max_epochs=1,
            accelerator="cpu" if images.device.type == "cpu" else "gpu",
            devices=1,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )

    def epoch(self) -> float:
        """Fit for one epoch; the time for set-up is not included."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._new_trainer().fit(self._module, self._loader)
        seconds: float = self._module.seconds
        return seconds


class Pythae:
    """Pythae's AE and trainer, which keeps float images in memory."""

    name = "Pythae"

    def __init__(self, images: Images) -> None:
        from pythae.data.datasets import BaseDataset
        from pythae.models import AE, AEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder
        from pythae.trainers import BaseTrainer, BaseTrainerConfig

        self.name = "Pythae 0.1.2"
        self.model = network = PlainNetwork()

        class Encoder(BaseEncoder):
            def __init__(self) -> None:
                super().__init__()
                self.inner = network.encoder

            def forward(self, x: Any) -> Any:
                return ModelOutput(embedding=self.inner(x))

        class Decoder(BaseDecoder):
            def __init__(self) -> None:
                super().__init__()
                self.inner = network.decoder

            def forward(self, z: Any) -> Any:
                return ModelOutput(reconstruction=self.inner(z).sigmoid())

        floats = torch.from_numpy(images.train).float() / 255
        config = AEConfig(input_dim=(1, 28, 28), latent_dim=3)
        self._trainer = BaseTrainer(
            model=AE(config, Encoder(), Decoder()),
            train_dataset=BaseDataset(floats, torch.zeros(len(floats))),
            training_config=BaseTrainerConfig(
                output_dir=tempfile.mkdtemp(),
                learning_rate=RATE,
                per_device_train_batch_size=BATCH,
                optimizer_cls="Adam",
                no_cuda=images.device.type == "cpu",
            ),
            callbacks=[],
        )
        self._trainer.prepare_training()
        self._done = 0

    def epoch(self) -> float:
        """Train for one epoch."""
        self._done += 1
        started = time.perf_counter()
        self._trainer.train_step(self._done)
        next(self.model.parameters()).sum().item()  # wait until the GPU has finished
        return time.perf_counter() - started


def notebook_loader(images: Images) -> Any:
    """Return the DataLoader of the tutorials over the same 48,000 images."""
    from torch.utils.data import DataLoader, Subset
    from torchvision import transforms
    from torchvision.datasets import FashionMNIST

    with tempfile.TemporaryDirectory() as folder:  # torchvision unpacks beside the downloads
        raw = Path(folder) / "FashionMNIST" / "raw"
        raw.mkdir(parents=True)
        for path in (Path(images.folder) / "FashionMNIST" / "raw").glob("*.gz"):
            (raw / path.name).symlink_to(path.absolute())
        data = FashionMNIST(folder, train=True, download=True, transform=transforms.ToTensor())
    return DataLoader(Subset(data, images.rows.tolist()), batch_size=BATCH, shuffle=True)


PEERS: dict[str, Callable[[Images], Peer]] = {
    "latentkit": Latentkit,
    "notebook loop": Notebook,
    "Lightning": Lightning,
    "Pythae": Pythae,
}
"""Who can be asked; what makes one raises ImportError where its package is missing."""
