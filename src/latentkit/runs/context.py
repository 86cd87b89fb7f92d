"""Context that a run's stages share: its folder, and images and model, loaded on first use."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from latentkit.config import PartConfig, RunConfig, canonical_sha256
from latentkit.data import batches
from latentkit.errors import (
    DataError,
    IntegrityError,
    PluginError,
    UserError,
    unexpected_content,
)
from latentkit.evaluation.inference import Corrupt
from latentkit.plugin import ImageData, Split, protocols
from latentkit.plugin.downloads import saved_weights_follow
from latentkit.plugin.events import Listener
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.catalogue import Registry
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder

_MOST_KEPT = 4  # training and test images of two data sets


class ImageCache:
    """Least-recently-used cache of loaded images, shared within the process."""

    def __init__(self) -> None:
        self._loaded: dict[tuple[str, Split, Path], ImageData] = {}

    def take(self, part: PartConfig, split: Split, data_dir: Path) -> ImageData:
        """Return a split of a data set, loading it if it is not cached.

        Raises:
            PluginError: as `load_images`.
        """
        key = (canonical_sha256(part.as_dict()), split, data_dir)
        images = self._loaded.pop(key, None)
        if images is None:
            images = load_images(part, split, data_dir)
        self._loaded[key] = images
        while len(self._loaded) > _MOST_KEPT:
            del self._loaded[next(iter(self._loaded))]
        return images


class RunContext:
    """Context of a run before it has a folder: loads its images, corruptions and model.

    Args:
        config: resolved, except for ``auto`` training options.
        registry: where names are looked up.
        data_dir: the folder of data sets.
        device: for the model and the images.
        image_cache: cache of loaded images; None for a new one.
        runs: the folder of other runs, which the configuration may name.
    """

    def __init__(
        self,
        config: RunConfig,
        registry: Registry,
        data_dir: Path,
        device: torch.device,
        image_cache: ImageCache | None = None,
        runs: Path = Path(),
    ) -> None:
        self.config = config
        self.runs = runs
        self.registry = registry
        self.data_dir = data_dir
        self.device = device
        self.image_cache = image_cache or ImageCache()

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.config.run.seed

    def images(self, split: Split) -> ImageData:
        """Return the images of the training or the test set, from the cache if possible."""
        return self.image_cache.take(self.config.dataset, split, self.data_dir)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images."""
        return self.images("train").image_shape

    @cached_property
    def split(self) -> batches.TrainValidationSplit:
        """Training and validation rows of the training set: the data set's own, or drawn."""
        return self.divided(self.images("train"))

    def divided(self, images: ImageData) -> batches.TrainValidationSplit:
        """Return training and validation rows of these training images.

        Raises:
            DataError: there are too few of them.
        """
        if images.validation is not None:
            train = np.setdiff1d(np.arange(len(images)), images.validation, assume_unique=True)
            return batches.TrainValidationSplit(train, images.validation)
        seed = stream_seed(self.seed, "split")
        try:
            return batches.split_train_validation(
                len(images), images.labels, self.config.split.validation, seed
            )
        except ValueError as error:
            raise DataError(f"dataset {self.config.dataset.name!r}: {error}") from error

    def device_images(self, split: str) -> batches.DeviceImages:
        """Return the images of ``train``, ``validation`` or ``test`` on the device."""
        if split == "test":
            return batches.DeviceImages(self.images("test").images, self.device)
        rows = self.split.train if split == "train" else self.split.validation
        return batches.DeviceImages(self.images("train").images, self.device, rows)

    @cached_property
    def corruption(self) -> batches.CorruptionChain:
        """The run's corruptions, in order."""
        chosen = []
        for part in self.config.corruptions:
            corrupt = part.build()
            if not callable(corrupt):
                raise PluginError(
                    f"corruption {part.name!r} builds a {type(corrupt).__name__}, expected a "
                    f"function of images and generator"
                )
            chosen.append((part.name, corrupt))
        return batches.CorruptionChain(chosen)

    def evaluation_noise(self) -> Corrupt:
        """Return the run's corruption with noise that is the same in every evaluation.

        Each call restarts the noise. Apply the result to the batches of one split in order.
        """
        generator = batches.noise_generator(self.device, self.seed, "evaluation")
        return lambda images: self.corruption(images, generator)

    def new_model(self) -> Any:
        """Build the model with initial weights from the run's seed, on the device.

        A model that arrives with weights does not load them if the run starts from saved ones, or
        if it is a transfer, whose encoder has those of another run.

        Raises:
            PluginError: the plugin does not build a model.
        """
        others_follow = self.config.init is not None or self.config.transfer is not None
        with (
            torch.random.fork_rng(devices=[]),
            saved_weights_follow() if others_follow else nullcontext(),
        ):
            torch.manual_seed(stream_seed(self.seed, "initialisation"))
            model = build_model(self.config.model, self.image_shape)
        return model.to(self.device, memory_format=torch.channels_last)

    def random_model(self) -> Any:
        """Build the model with random initial weights, even if it arrives with others.

        Raises:
            PluginError: the plugin does not build a model.
        """
        with saved_weights_follow():
            return self.new_model()


class StageContext(RunContext):
    """Context of a run that has a folder, for its stages.

    Args:
        config: fully resolved.
        registry: where names are looked up.
        data_dir: the folder of data sets.
        device: for the model and the images.
        folder: the run's folder, locked for writing.
        emit: receives progress events.
        image_cache: cache of loaded images; None for a new one.
    """

    def __init__(
        self,
        config: RunConfig,
        registry: Registry,
        data_dir: Path,
        device: torch.device,
        folder: RunFolder,
        emit: Listener,
        image_cache: ImageCache | None = None,
    ) -> None:
        super().__init__(config, registry, data_dir, device, image_cache, folder.path.parent)
        self.folder = folder
        self.emit = emit

    def images(self, split: Split) -> ImageData:
        """Return images, after checking that they are those that the run started with.

        Nothing is downloaded, because the run may come from a stranger; a new run has its images.

        Raises:
            DataError: the images have changed since the run started, or would be downloaded.
            IntegrityError: the run has no record of its images, or it was changed.
        """
        images = self.unchecked_images(split)
        with unexpected_content(self.folder.path / run_files.DATA):
            known = self.folder.json(run_files.DATA)["digest"][split]
        if images.digest() != known:
            part = self.config.dataset
            where = getattr(part.options, "path", "") or self.data_dir
            raise DataError(
                f"the {split} images of {part.name!r} in {where} are not those that run "
                f"{self.folder.manifest.id} started with: restore them, or start a new run"
            )
        return images

    def unchecked_images(self, split: Split) -> ImageData:
        """Return images that may be others than the run started with; the first stage checks them.

        Raises:
            DataError: the images would be downloaded.
        """
        with self.config.dataset.offline():
            return super().images(split)

    def new_model(self) -> Any:
        """Build the model as `RunContext.new_model` does, but download nothing for it.

        Raises:
            DataError: weights that the model arrives with would be downloaded.
        """
        with self.config.model.offline():
            return super().new_model()

    @property
    def _knows_images(self) -> bool:
        """Whether the run's record of its images is there; it is made again if it was lost."""
        there = run_files.DATA in self.folder.manifest.artefacts
        return there and (self.folder.path / run_files.DATA).exists()

    @property
    def training_sha256(self) -> str:
        """The SHA-256 of what determines each training step: the configuration and the images.

        Checkpoints of another run with the same options, but other images, are not used.
        """
        with unexpected_content(self.folder.path / run_files.DATA):
            digests = self.folder.json(run_files.DATA)["digest"]
        known = {"trajectory": self.config.trajectory_sha256(), "images": digests}
        return canonical_sha256(known)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the images, known even if the images were deleted.

        Raises:
            IntegrityError: the file that has them has another structure.
        """
        if not self._knows_images:
            return super().image_shape
        return stored_image_shape(self.folder)

    @cached_property
    def model(self) -> Any:
        """The trained model with its committed weights, in eval mode.

        Raises:
            IntegrityError: the weights are missing, were changed, or belong to another network.
        """
        self._check_size()
        return load_weights(self.random_model(), self.folder).eval()

    def _check_size(self) -> None:
        check_size(self.folder, lambda: build_model(self.config.model, self.image_shape))

    def snapshots(self) -> dict[int, Any]:
        """Return the model after each epoch whose weights were kept, in eval mode."""
        self._check_size()
        paths = {
            epoch: run_files.snapshot_path(epoch)
            for epoch in sorted(self.config.training.snapshots)
        }
        return {
            epoch: load_weights(self.random_model(), self.folder, path).eval()
            for epoch, path in paths.items()
            if path in self.folder.manifest.artefacts
        }


_LISTED = 4  # models that a message names
_MOST_PIXELS = 2**28
_MOST_CHANNELS = 1024


def stored_image_shape(folder: RunFolder) -> tuple[int, int, int]:
    """Return channels, height and width of a run's images.

    Raises:
        IntegrityError: the run has no data yet, or the file has another structure.
    """
    with unexpected_content(folder.path / run_files.DATA):
        channels, height, width = folder.json(run_files.DATA)["image_shape"]
        shape = (channels, height, width)
        if any(type(side) is not int for side in shape) or not (
            channels <= _MOST_CHANNELS and min(shape) > 0 and height * width <= _MOST_PIXELS
        ):
            raise ValueError(f"images of shape {shape}")
        return shape


def stored_numbers(folder: RunFolder) -> tuple[Literal[8, 16], tuple[float, float] | None]:
    """Return how many bits the values of a run's images have, and the range that became shades.

    Runs of earlier versions record neither, and have 8 bits. The range is None if the types of
    the numbers say what is black and white, or if it is not recorded.

    Raises:
        IntegrityError: the run has no data yet, or the file has another structure.
    """
    with unexpected_content(folder.path / run_files.DATA):
        record = folder.json(run_files.DATA)
        bits, limits = record.get("bits", 8), record.get("value_range")
        if bits not in (8, 16):
            raise ValueError(f"images of {bits} bits")
        if limits is not None:
            low, high = map(float, limits)
            if not -math.inf < low < high < math.inf:
                raise ValueError(f"numbers from {low} to {high}")
            limits = (low, high)
        return (16 if bits == 16 else 8), limits


def stored_class_names(folder: RunFolder) -> tuple[str, ...]:
    """Return the names of a run's classes, in the order of the labels.

    Raises:
        IntegrityError: the run has no data yet, or the file has another structure.
    """
    with unexpected_content(folder.path / run_files.DATA):
        names = tuple(folder.json(run_files.DATA)["class_names"])
        if not all(isinstance(name, str) for name in names):
            raise TypeError("a class name that is not text")
        return names


def check_size(folder: RunFolder, build: Callable[[], Any]) -> None:
    """Refuse a network much larger than a run's weights before it takes memory.

    The configuration of a stranger's run may name a network of any size.

    Args:
        folder: the run's folder.
        build: returns the network; it is called with torch's device ``meta``.

    Raises:
        IntegrityError: the network has more than twice the bytes of the weights.
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"), saved_weights_follow():
            network = build()
        size = sum(one.nbytes for one in (*network.parameters(), *network.buffers()))
    except IntegrityError:
        raise
    except Exception:  # a plugin's network that cannot be built without memory
        return
    weights = folder.manifest.artefacts.get(run_files.MODEL)
    if weights is not None and size > 2 * weights.size + 2**20:
        raise IntegrityError(
            f"{folder.path / run_files.MODEL} does not fit the run's model: it has "
            f"{weights.size:,} bytes, and the model's weights have {size:,}"
        )


def load_weights(model: Any, folder: RunFolder, relative: str = run_files.MODEL) -> Any:
    """Load a run's committed weights into ``model`` and return it.

    Raises:
        IntegrityError: the weights are missing, were changed, or belong to another network.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    content = folder.read(relative)
    try:
        model.load_state_dict(load(content))
    except (RuntimeError, SafetensorError) as error:
        first = str(error).splitlines()[-1].strip()
        path = folder.path / relative
        raise IntegrityError(f"{path} does not fit the run's model: {first}") from error
    return model


def load_images(part: PartConfig, split: Split, data_dir: Path) -> ImageData:
    """Load a split of a data set.

    Raises:
        PluginError: the plugin fails, or returns something other than `ImageData`.
    """
    images = part.build(split, data_dir, doing=f"failed to load its {split} images")
    if not isinstance(images, ImageData):
        raise PluginError(f"dataset {part.name!r} gave {type(images).__name__}, expected ImageData")
    return images


def build_model(part: PartConfig, image_shape: tuple[int, int, int]) -> Any:
    """Build a model, and check that it has what its spec says.

    Raises:
        PluginError: the model cannot be built, or lacks a method or attribute.
    """
    model = part.build(image_shape, doing=f"cannot be built for images {image_shape}")
    lacking = protocols.lacking(model, part.part.spec.tags)
    missing = list(lacking)
    if not isinstance(model, torch.nn.Module):
        missing = ["the base class torch.nn.Module", *lacking]
    if missing:
        tags = {"decode": "encoder", "loss": "frozen"}
        hints = [f"{tags[one]!r} if it needs no {one}" for one in missing if one in tags]
        hints = hints if len(hints) == len(missing) else []
        raise PluginError(
            f"model {part.name!r} builds a {type(model).__name__} that lacks {', '.join(missing)}"
            + (f"; tag its spec {' and '.join(hints)}" if hints else "")
        )
    return model


def check_decodes(context: RunContext, model: Any, cannot: str) -> None:
    """Refuse what needs a decoder if the model has none.

    Args:
        context: the run, whose registry says which models have a decoder.
        model: its model.
        cannot: what cannot be done, such as ``reconstructs nothing``.

    Raises:
        UserError: names the models that have one.
    """
    if not protocols.provides(model, protocols.HasDecoder):
        parts = context.registry.parts("model")
        able = [part.spec.name for part in parts if "encoder" not in part.spec.tags]
        more = f" and {len(able) - _LISTED} more" if len(able) > _LISTED else ""
        raise UserError(
            f"{no_decoder_text(context)}, so it {cannot}: use a run of a model with a decoder "
            f"({', '.join(able[:_LISTED])}{more})"
        )


def no_decoder_text(context: RunContext) -> str:
    """Return why a run of an encoder lacks what needs a decoder."""
    return f"model {context.config.model.name!r} has no decoder"
