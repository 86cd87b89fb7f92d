"""Context that a run's stages share: its folder, and images and model, loaded on first use."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from latentkit.config import MapConfig, PartConfig, RunConfig, canonical_sha256, find_part
from latentkit.data.batches import DeviceImages
from latentkit.data.corruption import CorruptionChain, noise_generator
from latentkit.data.split import TrainValidationSplit, split_train_validation
from latentkit.errors import DataError, IntegrityError, PluginError
from latentkit.evaluation.inference import Corrupt
from latentkit.plugin.events import Listener
from latentkit.plugin.images import ImageData
from latentkit.plugin.protocols import Split
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.catalogue import Registry
from latentkit.registry.targets import fault_of
from latentkit.runs.folder import RunFolder
from latentkit.training.loop import is_trainable

DATA = "data.json"
MODEL = "model.safetensors"
HISTORY = "history.json"
EVALUATION = "evaluation.json"
FIGURES_OF_IMAGES = "evaluation.npz"
REPORT = "report.html"
OBJECTIVE = "objective.json"
CHECKPOINTS = "checkpoints"
SPLITS = ("train", "validation", "test")
_MOST_KEPT = 4  # training and test images of two data sets


def latents_path(split: str) -> str:
    """Return the path of a split's latents, relative to the run's folder."""
    return f"latents/{split}.npz"


def snapshot_path(epoch: int) -> str:
    """Return the path of the weights kept after an epoch, relative to the run's folder."""
    return f"weights/epoch-{epoch:04d}.safetensors"


def map_paths(part: MapConfig) -> tuple[str, str]:
    """Return the paths of a map's coordinates and facts, relative to the run's folder."""
    return f"embeddings/{part.slug}.npz", f"embeddings/{part.slug}.json"


class ImageShelf:
    """Least-recently-used cache of loaded images, shared within the process."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, Split, Path], ImageData] = {}

    def take(self, registry: Registry, part: PartConfig, split: Split, data_dir: Path) -> ImageData:
        """Return a split of a data set, loading it if it is not cached.

        Raises:
            PluginError: as `load_images`.
        """
        key = (canonical_sha256(part.as_dict()), split, data_dir)
        images = self._loaded.pop(key, None)
        if images is None:
            images = load_images(registry, part, split, data_dir)
        self._loaded[key] = images
        while len(self._loaded) > _MOST_KEPT:
            del self._loaded[next(iter(self._loaded))]
        return images


class Workshop:
    """Context of a run before it has a folder: loads its images, corruptions and model.

    Args:
        config: resolved, except for ``auto`` training options.
        registry: where names are looked up.
        data_dir: the folder of data sets.
        device: for the model and the images.
        shelf: cache of loaded images; None for a new one.
    """

    def __init__(
        self,
        config: RunConfig,
        registry: Registry,
        data_dir: Path,
        device: torch.device,
        shelf: ImageShelf | None = None,
    ) -> None:
        self.config = config
        self.registry = registry
        self.data_dir = data_dir
        self.device = device
        self.shelf = shelf or ImageShelf()

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config.run.seed

    def images(self, split: Split) -> ImageData:
        """Return the images of the training or the test set, from the cache if possible."""
        return self.shelf.take(self.registry, self.config.dataset, split, self.data_dir)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.images("train").image_shape

    @cached_property
    def split(self) -> TrainValidationSplit:
        """Training and validation rows of the training set."""
        images = self.images("train")
        seed = stream_seed(self.seed, "split")
        try:
            return split_train_validation(
                len(images), images.labels, self.config.split.validation, seed
            )
        except ValueError as error:
            raise DataError(f"dataset {self.config.dataset.name!r}: {error}") from error

    def device_images(self, split: str) -> DeviceImages:
        """Return the images of ``train``, ``validation`` or ``test`` on the device."""
        if split == "test":
            return DeviceImages(self.images("test").images, self.device)
        rows = self.split.train if split == "train" else self.split.validation
        return DeviceImages(self.images("train").images, self.device, rows)

    @cached_property
    def corruption(self) -> CorruptionChain:
        """The run's corruptions, in order."""
        chosen = []
        for part in self.config.corruptions:
            build = find_part(self.registry, "corruption", part).target()
            with fault_of(f"corruption {part.name!r} cannot be built"):
                corrupt = build(part.options)
            if not callable(corrupt):
                raise PluginError(
                    f"corruption {part.name!r} builds a {type(corrupt).__name__}, expected a "
                    f"function of images and generator"
                )
            chosen.append((part.name, corrupt))
        return CorruptionChain(chosen)

    def evaluation_noise(self) -> Corrupt:
        """Return the run's corruption with noise that is the same in every evaluation.

        Each call restarts the noise. Apply the result to the batches of one split in order.
        """
        generator = noise_generator(self.device, self.seed, "evaluation")
        return lambda images: self.corruption(images, generator)

    def new_model(self) -> Any:
        """Build the model with initial weights from the run's seed, on the device.

        Raises:
            PluginError: the plugin does not build a model.
        """
        part = self.config.model
        target = find_part(self.registry, "model", part).target()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(stream_seed(self.seed, "initialisation"))
            model = build_model(target, part, self.image_shape)
        return model.to(self.device, memory_format=torch.channels_last)


class RunContext(Workshop):
    """Context of a run that has a folder, for its stages.

    Args:
        config: fully resolved.
        registry: where names are looked up.
        data_dir: the folder of data sets.
        device: for the model and the images.
        folder: the run's folder, locked for writing.
        tell: receives progress events.
        shelf: cache of loaded images; None for a new one.
    """

    def __init__(
        self,
        config: RunConfig,
        registry: Registry,
        data_dir: Path,
        device: torch.device,
        folder: RunFolder,
        tell: Listener,
        shelf: ImageShelf | None = None,
    ) -> None:
        super().__init__(config, registry, data_dir, device, shelf)
        self.folder = folder
        self.tell = tell

    def images(self, split: Split) -> ImageData:
        """Return images, after checking that they are those that the run started with.

        Raises:
            DataError: the images have changed since the run started.
        """
        images = super().images(split)
        if DATA in self.folder.manifest.artefacts:
            known = self.folder.json(DATA)["digest"][split]
            if images.digest() != known:
                raise DataError(
                    f"the {split} images of {self.config.dataset.name!r} in {self.data_dir} are "
                    f"not those that run {self.folder.manifest.id} started with: restore them, or "
                    f"start a new run"
                )
        return images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images, known even if the images were deleted."""
        if DATA not in self.folder.manifest.artefacts:
            return super().image_shape
        channels, height, width = self.folder.json(DATA)["image_shape"]
        return channels, height, width

    @cached_property
    def model(self) -> Any:
        """The trained model with its committed weights, in eval mode."""
        return load_weights(self.new_model(), self.folder).eval()

    def snapshots(self) -> dict[int, Any]:
        """Return the model after each epoch whose weights were kept, in eval mode."""
        paths = {epoch: snapshot_path(epoch) for epoch in sorted(self.config.training.snapshots)}
        return {
            epoch: load_weights(self.new_model(), self.folder, path).eval()
            for epoch, path in paths.items()
            if path in self.folder.manifest.artefacts
        }


def load_weights(model: Any, folder: RunFolder, relative: str = MODEL) -> Any:
    """Load a run's committed weights into ``model`` and return it.

    Raises:
        IntegrityError: the weights are missing, were changed, or belong to another network.
    """
    from safetensors.torch import load_file

    path = folder.verified(relative)
    try:
        model.load_state_dict(load_file(path))
    except RuntimeError as error:
        first = str(error).splitlines()[-1].strip()
        raise IntegrityError(f"{path} does not fit the run's model: {first}") from error
    return model


def load_images(registry: Registry, part: PartConfig, split: Split, data_dir: Path) -> ImageData:
    """Load a split of a data set.

    Raises:
        PluginError: the plugin fails, or returns something other than `ImageData`.
    """
    load = find_part(registry, "dataset", part).target()
    with fault_of(f"dataset {part.name!r} failed to load its {split} images"):
        images = load(part.options, split, data_dir)
    if not isinstance(images, ImageData):
        raise PluginError(f"dataset {part.name!r} gave {type(images).__name__}, expected ImageData")
    return images


def build_model(target: Any, part: PartConfig, image_shape: tuple[int, int, int]) -> Any:
    """Build a model, and check that it has what training needs.

    Raises:
        PluginError: the model cannot be built, or lacks a method or attribute.
    """
    with fault_of(f"model {part.name!r} cannot be built for images {image_shape}"):
        model = target(part.options, image_shape)
    if not is_trainable(model):
        needed = ("latent_dim", "encode", "decode", "loss")
        lacking = [name for name in needed if not hasattr(model, name)]
        if not isinstance(model, torch.nn.Module):
            lacking = ["the base class torch.nn.Module", *lacking]
        raise PluginError(
            f"model {part.name!r} builds a {type(model).__name__} that lacks {', '.join(lacking)}"
        )
    return model
