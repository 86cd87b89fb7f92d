"""The tasks of beside_others.py: what a user writes with latentkit, and with other libraries.

The body of a function is what is measured, imports included, what the page shows, and what counts
as lines. `Inputs` in beside_others.py makes the arguments, by their names. Nothing is imported here
before a function is called, so that a process holds only what its own library needs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Figures = dict[str, float]


@dataclass(frozen=True)
class Way:
    """One way to do a task.

    Args:
        name: who does it.
        code: ``module:function``; the function's arguments are names of `Inputs`.
        needs: distributions whose versions are shown; it is left out if one is not installed.
        writes: ``module:class`` that the user has to write, too.
        most_points: points above which it is left out, because it would need too much memory.
        note: what the page says of it.
    """

    name: str
    code: str
    needs: tuple[str, ...]
    writes: tuple[str, ...] = ()
    most_points: int | None = None
    note: str = ""

    @property
    def ours(self) -> bool:
        """Whether latentkit does it."""
        return self.name.startswith("latentkit")


@dataclass(frozen=True)
class Task:
    """What is done in several ways, the first of them latentkit's.

    Args:
        title: heading of its table.
        text: a sentence or two on it, with names of `Inputs` in braces.
        figures: takes what a way returned and `Inputs`, and returns the figures of its quality.
        better: for each figure 1 if higher is better, -1 if lower is, 0 if neither.
        ways: the ways.
        images, epochs: how much a task that trains or encodes takes.
    """

    title: str
    text: str
    figures: Callable[[Any, Any], Figures]
    better: dict[str, int]
    ways: tuple[Way, ...]
    images: int = 60_000
    epochs: int = 0


def train_latentkit(data, images, epochs):
    import latentkit as lk

    encoder = lk.LatentEncoder(
        "conv-ae",
        latent_dim=3,
        epochs=epochs,
        validation=1e-4,
        model_options={
            "patch": 1,
            "channels": [8, 16, 32],
            "hidden": [64],
            "activation": "relu",
            "norm": "none",
            "upsampling": "transpose",
            "odd_sizes": "down",
        },
        training_options={
            "optimizer": "adam",
            "learning_rate": 5e-4,
            "beta2": 0.999,
            "schedule": "constant",
            "batch_size": 256,
            "keep": "last",
        },
    )
    return encoder.fit(lk.dataset("fashion-mnist", data=data, n_train=images).images)


def train_default(data, images, epochs):
    import latentkit as lk

    found = lk.dataset("fashion-mnist", data=data, n_train=images)
    return lk.LatentEncoder(latent_dim=3, epochs=epochs).fit(found.images)


def train_lightning(raw, epochs):
    import lightning
    from notebook_networks import Autoencoder
    from torch.nn.functional import mse_loss
    from torch.optim import Adam
    from torch.utils.data import DataLoader
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    class Training(lightning.LightningModule):
        def __init__(self):
            super().__init__()
            self.network = Autoencoder(latent_dim=3)

        def training_step(self, batch, index):
            return mse_loss(self.network(batch[0]), batch[0])

        def configure_optimizers(self):
            return Adam(self.parameters(), 5e-4)

    training = Training()
    images = FashionMNIST(raw, transform=ToTensor())
    trainer = lightning.Trainer(max_epochs=epochs, logger=False, enable_checkpointing=False)
    trainer.fit(training, DataLoader(images, batch_size=256, shuffle=True))
    return training.network


def train_pythae(raw, epochs, out):
    import torch
    from notebook_networks import Autoencoder
    from pythae.data.datasets import BaseDataset
    from pythae.models import AE, AEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from torchvision.datasets import FashionMNIST

    network = Autoencoder(latent_dim=3)

    class Encoder(BaseEncoder):
        def __init__(self):
            super().__init__()
            self.layers = torch.nn.Sequential(network.convolutions, network.bottleneck)

        def forward(self, images):
            return ModelOutput(embedding=self.layers(images))

    class Decoder(BaseDecoder):
        def __init__(self):
            super().__init__()
            self.layers = network.decoder

        def forward(self, latents):
            return ModelOutput(reconstruction=self.layers(latents))

    images = FashionMNIST(raw).data[:, None].float() / 255
    config = BaseTrainerConfig(
        output_dir=str(out),
        num_epochs=epochs,
        learning_rate=5e-4,
        per_device_train_batch_size=256,
    )
    trainer = BaseTrainer(
        AE(AEConfig(input_dim=(1, 28, 28), latent_dim=3), Encoder(), Decoder()),
        BaseDataset(images, torch.zeros(len(images))),
        training_config=config,
    )
    trainer.train()
    return network


def encode_latentkit(data, images, encoder):
    import numpy as np

    import latentkit as lk

    splits = ("train", "test")
    found = [lk.dataset("fashion-mnist", split, data=data, n_train=images) for split in splits]
    pixels = np.concatenate([one.images for one in found])
    return lk.LatentEncoder.load(encoder).transform(pixels)


def encode_loop(raw, weights):
    import torch
    from notebook_networks import Autoencoder
    from torch.utils.data import ConcatDataset, DataLoader
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    splits = (True, False)
    images = ConcatDataset([FashionMNIST(raw, train=one, transform=ToTensor()) for one in splits])
    network = Autoencoder(latent_dim=3)
    network.load_state_dict(torch.load(weights))
    network.eval()
    with torch.no_grad():
        latents = [network.encode(batch) for batch, _ in DataLoader(images, batch_size=256)]
    return torch.cat(latents).numpy()


def tsne_torchdr(vectors):
    from torchdr import TSNE

    return TSNE(device="cpu", random_state=0).fit_transform(vectors)


def umap_latentkit(vectors):
    import latentkit as lk

    return lk.embedding("umap").fit_transform(vectors)


def isomap_latentkit(vectors):
    import latentkit as lk

    return lk.embedding("isomap", n_neighbors=10).fit_transform(vectors)


def isomap_scikit_learn(vectors):
    from sklearn.manifold import Isomap

    return Isomap(n_neighbors=10).fit_transform(vectors)


def trust_latentkit(vectors, coordinates):
    import latentkit as lk

    return lk.map_quality(vectors, coordinates).trustworthiness.value


def trust_scikit_learn(vectors, coordinates):
    from sklearn.manifold import trustworthiness

    return trustworthiness(vectors, coordinates, n_neighbors=10)


def trust_zadu(vectors, coordinates):
    from zadu.measures import trustworthiness_continuity

    return trustworthiness_continuity.measure(vectors, coordinates, k=10)["trustworthiness"]


def simclr_latentkit(data, images, epochs):
    import latentkit as lk

    found = lk.dataset("fashion-mnist", data=data, n_train=images)
    encoder = lk.LatentEncoder("simclr", latent_dim=128, epochs=epochs, validation=0.01)
    return encoder.fit(found.images)


def simclr_lightly(raw, epochs):
    import torch
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead
    from lightly.transforms import SimCLRTransform
    from torch.utils.data import DataLoader
    from torchvision.datasets import FashionMNIST

    from latentkit_lightly.residual_network import ResidualNetwork

    views = SimCLRTransform(input_size=28, min_scale=0.4, gaussian_blur=0, normalize=None)
    images = FashionMNIST(raw, transform=views)
    network = ResidualNetwork((1, 28, 28), 2, (32, 64, 128), 1, 128)
    head = SimCLRProjectionHead(128, 512, 128, num_layers=3)
    optimizer = torch.optim.AdamW([*network.parameters(), *head.parameters()], 2e-3)
    loss_of = NTXentLoss(temperature=0.5)
    loader = DataLoader(images, batch_size=256, shuffle=True, drop_last=True, num_workers=2)
    for _ in range(epochs):
        for (one, other), _ in loader:
            loss = loss_of(head(network(one)), head(network(other)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return network


def page_latentkit(run, out):
    import latentkit as lk

    return lk.explore.page(lk.open(run), out=out / "explorer.html")


def page_embedding_atlas(coordinates, labels, out):
    import pandas as pd
    from embedding_atlas.cli import main

    x, y = coordinates.T
    table, page = str(out / "points.parquet"), str(out / "atlas")
    pd.DataFrame({"x": x, "y": y, "label": labels}).to_parquet(table)
    command = [table, "--x", "x", "--y", "y", "--export-application", page]
    main(command, standalone_mode=False)
    return out / "atlas"


def page_datamapplot(coordinates, labels, out):
    import datamapplot

    names = labels.astype(str)
    plot = datamapplot.create_interactive_plot(coordinates, names, hover_text=names)
    plot.save(str(out / "map.html"))
    return out / "map.html"


def tune_latentkit(data, images, epochs, trials, out):
    import latentkit as lk

    study = lk.tune(
        model="conv-ae",
        dataset="fashion-mnist",
        trials=trials,
        epochs=epochs,
        search={
            "model.activation": "relu,leaky-relu,gelu,silu,tanh",
            "training.learning_rate": "1e-4..1e-2:log",
        },
        options={
            "dataset.n_train": images,
            "model.latent_dim": 3,
            "model.patch": 1,
            "model.channels": [8, 16, 32],
            "model.hidden": [64],
            "model.norm": "none",
            "model.upsampling": "transpose",
            "model.odd_sizes": "down",
        },
        data=data,
        out=out,
        finish=False,
    )
    return study.result.best.values[0]


def tune_optuna(raw, epochs, trials):
    import optuna
    from notebook_networks import Autoencoder
    from torch import nn, no_grad
    from torch.nn.functional import mse_loss
    from torch.optim import Adam
    from torch.utils.data import DataLoader, random_split
    from torchvision.datasets import FashionMNIST
    from torchvision.transforms import ToTensor

    train, held_out = random_split(FashionMNIST(raw, transform=ToTensor()), [0.8, 0.2])

    def objective(trial):
        kinds = ["ReLU", "LeakyReLU", "GELU", "SiLU", "Tanh"]
        activation = getattr(nn, trial.suggest_categorical("activation", kinds))
        network = Autoencoder(latent_dim=3, activation=activation)
        rate = trial.suggest_float("rate", 1e-4, 1e-2, log=True)
        optimizer = Adam(network.parameters(), rate)
        for _ in range(epochs):
            for images, _ in DataLoader(train, batch_size=256, shuffle=True):
                loss = mse_loss(network(images), images)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
        with no_grad():
            batches = DataLoader(held_out, batch_size=256)
            losses = [mse_loss(network(images), images).item() for images, _ in batches]
        return sum(losses) / len(losses)

    study = optuna.create_study()
    study.optimize(objective, n_trials=trials)
    return study.best_value


def reconstruction_error(model: Any, inputs: Any) -> Figures:
    """Return the mean squared error of the test images, pixels in [0, 1]."""
    if hasattr(model, "score"):
        return {"test MSE": -model.score(inputs.test_images)}
    import torch

    model.eval()
    batches = torch.from_numpy(inputs.test_images).float().div(255).split(1000)
    with torch.no_grad():
        errors = [torch.nn.functional.mse_loss(model(one), one).item() for one in batches]
    return {"test MSE": sum(errors) / len(errors)}


def latents_accuracy(latents: Any, inputs: Any) -> Figures:
    """Return the share of images whose class most of their 10 nearest latents have."""
    from map_measures import map_accuracy

    return {"10-NN accuracy": map_accuracy(latents, inputs.all_labels)}


def map_figures(coordinates: Any, inputs: Any) -> Figures:
    """Return trustworthiness and continuity, of 2,000 points against all, and 10-NN accuracy."""
    import numpy as np
    from map_measures import map_accuracy, sampled_trustworthiness

    vectors, places = inputs.vectors.astype(np.float64), np.asarray(coordinates, np.float64)
    return {
        "trustworthiness": sampled_trustworthiness(vectors, places),
        "continuity": sampled_trustworthiness(places, vectors),
        "10-NN accuracy": map_accuracy(places, inputs.labels),
    }


def encoder_accuracy(model: Any, inputs: Any) -> Figures:
    """Return the share of test images that the 10 nearest training latents classify rightly."""
    from sklearn.neighbors import KNeighborsClassifier

    train, test = (_encoded(model, one) for one in (inputs.train_images, inputs.test_images))
    classifier = KNeighborsClassifier(10).fit(train, inputs.train_labels)
    return {"10-NN accuracy": classifier.score(test, inputs.test_labels)}


def _encoded(model: Any, images: Any) -> Any:
    if hasattr(model, "transform"):
        return model.transform(images)
    import torch

    model.eval()
    with torch.no_grad():
        batches = torch.from_numpy(images).float().div(255).split(1000)
        return torch.cat([model(one) for one in batches]).numpy()


def images_read(read: Any, inputs: Any) -> Figures:
    """Return the number of images and their mean pixel."""
    from image_loading import count_and_mean

    count, mean = count_and_mean(read)
    return {"images": count, "mean pixel, of 255": 255 * mean}


def page_size(path: Path, inputs: Any) -> Figures:
    """Return the size of a page, or of the files in its folder, in megabytes."""
    files = path.rglob("*") if path.is_dir() else [path]
    return {"MB": sum(one.stat().st_size for one in files) / 1e6}


MAP_FIGURES = {"trustworthiness": 1, "continuity": 1, "10-NN accuracy": 1}
NETWORK = ("notebook_networks:Autoencoder",)
TORCH = ("torch", "torchvision")

TASKS: dict[str, Task] = {
    "train": Task(
        title="Train an autoencoder",
        text="The same small network (49,000 weights, 3 latents) and batches of 256 for {epochs} "
        "epochs on {images:,} images of Fashion-MNIST; the images are read from disk. latentkit "
        "sets 1 image in 10,000 aside for validation, or by default 1 in 5.",
        figures=reconstruction_error,
        better={"test MSE": -1},
        ways=(
            Way("latentkit", "beside_tasks:train_latentkit", ("latentkit", "torch")),
            Way(
                "latentkit, its default network",
                "beside_tasks:train_default",
                ("latentkit", "torch"),
                note="another network, of 1.8 million weights",
            ),
            Way("Lightning", "beside_tasks:train_lightning", ("lightning", *TORCH), NETWORK),
            Way("Pythae", "beside_tasks:train_pythae", ("pythae", *TORCH), NETWORK),
        ),
        epochs=2,
    ),
    "encode": Task(
        title="Encode images",
        text="{images:,} training images and 10,000 test images of Fashion-MNIST with that "
        "network, which is loaded from a file. Both have the same weights.",
        figures=latents_accuracy,
        better={"10-NN accuracy": 1},
        ways=(
            Way("latentkit", "beside_tasks:encode_latentkit", ("latentkit", "torch")),
            Way("DataLoader and a loop", "beside_tasks:encode_loop", TORCH, NETWORK),
        ),
    ),
    "tsne": Task(
        title="t-SNE",
        text="{points:,} images of Fashion-MNIST, as 50 principal components.",
        figures=map_figures,
        better=MAP_FIGURES,
        ways=(
            Way("latentkit", "tsne_speed:latentkit", ("latentkit",)),
            Way("scikit-learn", "tsne_speed:scikit_learn", ("scikit-learn",), most_points=10_000),
            Way("openTSNE", "tsne_speed:opentsne", ("openTSNE",)),
            Way(
                "TorchDR",
                "beside_tasks:tsne_torchdr",
                ("torchdr",),
                most_points=10_000,
                note="computes all pairs of points, for a GPU",
            ),
        ),
    ),
    "umap": Task(
        title="UMAP",
        text="The same {points:,} vectors, with a seed.",
        figures=map_figures,
        better=MAP_FIGURES,
        ways=(
            Way("latentkit", "beside_tasks:umap_latentkit", ("latentkit",)),
            Way("umap-learn", "umap_speed:umap_learn", ("umap-learn",)),
            Way("PaCMAP", "umap_speed:pacmap", ("pacmap",), note="another method, not UMAP"),
            Way("TorchDR", "umap_speed:torchdr", ("torchdr",)),
        ),
    ),
    "isomap": Task(
        title="Isomap",
        text="The same {points:,} vectors, with 10 neighbours.",
        figures=map_figures,
        better=MAP_FIGURES,
        ways=(
            Way("latentkit", "beside_tasks:isomap_latentkit", ("latentkit",)),
            Way(
                "scikit-learn",
                "beside_tasks:isomap_scikit_learn",
                ("scikit-learn",),
                most_points=10_000,
            ),
        ),
    ),
    "trust": Task(
        title="Trustworthiness of a map",
        text="Of the plane of the first two principal components of the same {points:,} vectors, "
        "with 10 neighbours. latentkit computes its whole quality card, zadu continuity too.",
        figures=lambda value, inputs: {"trustworthiness": value},
        better={"trustworthiness": 0},
        ways=(
            Way("latentkit", "beside_tasks:trust_latentkit", ("latentkit",)),
            Way(
                "scikit-learn",
                "beside_tasks:trust_scikit_learn",
                ("scikit-learn",),
                most_points=10_000,
            ),
            Way("zadu", "beside_tasks:trust_zadu", ("zadu",), most_points=10_000),
        ),
    ),
    "folder": Task(
        title="Read a folder of photographs",
        text="Photographs of clothing, most of 400x533 pixels, as colour images of {size}x{size}. "
        "Files are in the memory of the system.",
        figures=images_read,
        better={"images": 0, "mean pixel, of 255": 0},
        ways=(
            Way("latentkit", "image_loading:latentkit_images", ("latentkit",)),
            Way(
                "latentkit, opened again",
                "image_loading:latentkit_images",
                ("latentkit",),
                note="later commands read what the first one decoded",
            ),
            Way("ImageFolder and DataLoader", "image_loading:torchvision_images", TORCH),
        ),
    ),
    "simclr": Task(
        title="Self-supervised training",
        text="SimCLR with the same residual network (128 latents) and batches of 256 for {epochs} "
        "epochs on {images:,} images of Fashion-MNIST. The network is imported by both. The views "
        "are each library's own.",
        figures=encoder_accuracy,
        better={"10-NN accuracy": 1},
        ways=(
            Way(
                "latentkit",
                "beside_tasks:simclr_latentkit",
                ("latentkit", "latentkit-lightly", "lightly"),
            ),
            Way(
                "lightly in a loop",
                "beside_tasks:simclr_lightly",
                ("lightly", "latentkit-lightly", *TORCH),
            ),
        ),
        images=5_000,
        epochs=2,
    ),
    "explorer": Task(
        title="A page of a map",
        text="A map of {points:,} test images as an interactive page. latentkit's has the images, "
        "the latents and the decoder, and opens from disk; embedding-atlas needs a server, and "
        "datamapplot loads scripts from the network. Neither shows images here.",
        figures=page_size,
        better={"MB": -1},
        ways=(
            Way("latentkit", "beside_tasks:page_latentkit", ("latentkit",)),
            Way("embedding-atlas", "beside_tasks:page_embedding_atlas", ("embedding-atlas",)),
            Way("datamapplot", "beside_tasks:page_datamapplot", ("datamapplot",)),
        ),
        images=5_000,
    ),
    "tune": Task(
        title="Search for options",
        text="{trials} trials of the small network, each of {epochs} epochs on {images:,} images, "
        "over activation and learning rate. latentkit keeps a run of each trial, and stops trials "
        "that do not promise anything; the loop does neither.",
        figures=lambda value, inputs: {"validation MSE": value},
        better={"validation MSE": -1},
        ways=(
            Way("latentkit", "beside_tasks:tune_latentkit", ("latentkit", "optuna")),
            Way("Optuna and a loop", "beside_tasks:tune_optuna", ("optuna", *TORCH), NETWORK),
        ),
        images=10_000,
        epochs=3,
    ),
}
