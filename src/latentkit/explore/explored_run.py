"""A run's items, latents, images and model, as exploration uses them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit import reading
from latentkit.data.batches import EVALUATION_BATCH
from latentkit.errors import DataError, LatentkitError, UserError, describe_os_error, did_you_mean
from latentkit.evaluation.inference import decode
from latentkit.explore.samples import Samples, TrainingNeighbours, mixture_samples, nearest
from latentkit.explore.scale import Decode, Floats, LatentScale, latent_scale
from latentkit.nn.likelihoods import kl_to_standard_normal
from latentkit.plugin.images import as_floats
from latentkit.plugin.machine import check_memory
from latentkit.plugin.protocols import Generative, HasDecoder, provides
from latentkit.plugin.seeds import short_stream_seed
from latentkit.registry.options import fault_of
from latentkit.runs import run_files
from latentkit.runs.context import StageContext, check_decodes, stored_class_names

Source = Literal["prior", "mixture"]
"""What new images are drawn from: the model's prior, or a mixture fitted to training latents."""

_PREFIX = "class:"


def item_row(
    item: int | str, count: int, labels: NDArray[np.int64] | None, class_names: Sequence[str]
) -> int:
    """Return the row of a test item.

    Args:
        item: the item's number from 0, as an integer or as text; ``class:NAME`` for the first
            item of a class, or ``class:NAME:i`` for its item number i, counted from 0.
        count: number of test items.
        labels: (count,), or None if the data set has no labels.
        class_names: name of each label.

    Raises:
        UserError: the item does not exist.
    """
    if isinstance(item, str) and item.startswith(_PREFIX):
        return _row_in_class(item, labels, class_names)
    text = str(item).strip()
    if not text.removeprefix("-").isdecimal():
        raise UserError(
            f"{text!r} is not a test item: give a number from 0 to {count - 1}, or class:NAME[:i]"
        )
    row = int(text)
    if not 0 <= row < count:
        raise UserError(f"there is no test item {row}: give a number from 0 to {count - 1}")
    return row


def class_label(name: str, class_names: Sequence[str]) -> int:
    """Return the label of a class, ignoring case if the name is still unique.

    Raises:
        UserError: the class does not exist; the message suggests the nearest name.
    """
    if name in class_names:
        return list(class_names).index(name)
    folded = [known.casefold() for known in class_names]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    raise UserError(
        f"there is no class {name!r}{did_you_mean(name, class_names)}; known classes: "
        f"{', '.join(class_names) or 'none'}"
    )


def _row_in_class(item: str, labels: NDArray[np.int64] | None, class_names: Sequence[str]) -> int:
    if labels is None:
        raise UserError(f"item {item!r}: the data set has no labels; name items by their number")
    name, colon, number = item.removeprefix(_PREFIX).rpartition(":")
    if not (colon and number.isdecimal()):
        name, number = item.removeprefix(_PREFIX), "0"
    rows = np.flatnonzero(labels == class_label(name, class_names))
    if int(number) >= len(rows):
        there = f"give a number from 0 to {len(rows) - 1}" if len(rows) else "it has no test items"
        raise UserError(f"class {name!r} has no test item {number}: {there}")
    return int(rows[int(number)])


_MOST_BYTES = 2**26  # bytes; a page exports about seven for each item
_OTHERS = ("train:", "validation:")


def read_items(path: Path) -> tuple[str, ...]:
    """Return the items that a file lists, such as one that the explorer wrote.

    Each line has one: a number, or ``class:NAME[:i]``. Lines that begin with ``#`` and empty lines
    are skipped.

    Raises:
        UserError: there is no item, a line is none, or the file cannot be read.
        DataError: the file is no text.
        IntegrityError: it is far larger than such a file.
    """
    try:
        with reading.open_file(path) as file:
            content = reading.read_at_most(file, path, _MOST_BYTES)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {describe_os_error(error)}") from error
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not text: give a file that lists items") from error
    found = []
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if text.startswith(_OTHERS):
            raise UserError(
                f"{path}, line {number}: {text!r} is a training or validation image, and commands "
                f"show test images: export a selection of these only"
            )
        if not (text.isdecimal() or text.startswith("class:")):
            raise UserError(
                f"{path}, line {number}: {text!r} is not an item: write a number, or class:NAME[:i]"
            )
        found.append(text)
    if not found:
        raise UserError(f"{path} lists no items: write one on each line")
    return tuple(found)


_SCALE_IMAGES = 1000  # test images over which the KL of each dimension is averaged
_DRAWN = 10_000  # most training latents in a density or a graph
_MOST_SEARCHED = 100_000  # training images whose pixels are compared
_TYPICAL = 200  # test items from which the typical distance is measured


class ExploredRun:
    """A run for exploring its latents. Everything is loaded on first use.

    Args:
        context: the run's context.
        model: the trained model, in eval mode, on the context's device.
    """

    def __init__(self, context: StageContext, model: Any) -> None:
        self.context = context
        self.model = model

    @property
    def id(self) -> str:
        """The run's name."""
        return self.context.folder.manifest.id

    @property
    def has_prior(self) -> bool:
        """Whether the model has a prior from which new images can be drawn."""
        return provides(self.model, Generative)

    @property
    def seed(self) -> int:
        """Seed of everything random in an exploration."""
        return short_stream_seed(self.context.seed, "exploration")

    def latents(self, split: str = "test") -> Floats:
        """Return the latents (N, D) of a split."""
        latents: Floats = self._arrays[split]["latents"]
        return latents

    def labels(self, split: str = "test") -> NDArray[np.int64]:
        """Return the labels (N,) of a split.

        Raises:
            UserError: the data set has no labels.
        """
        if "labels" not in self._arrays[split]:
            name = self.context.config.dataset.name
            raise UserError(f"data set {name!r} has no labels: name items by their number")
        return self._arrays[split]["labels"]

    @property
    def labelled(self) -> bool:
        """Whether the data set has labels."""
        return "labels" in self._arrays["test"]

    @cached_property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return stored_class_names(self.context.folder)

    @cached_property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.context.image_shape

    def row(self, item: int | str) -> int:
        """Return the row of a test item, given by its number or as ``class:NAME[:i]``.

        Raises:
            UserError: the item does not exist.
        """
        labels = self.labels() if isinstance(item, str) and item.startswith("class:") else None
        return item_row(item, len(self.latents()), labels, self.class_names)

    def images(self, rows: NDArray[np.integer[Any]]) -> Floats:
        """Return test images (M, C, H, W) in [0, 1]."""
        chosen = self.context.images("test").images[self._arrays["test"]["index"][rows]]
        return as_floats(chosen)

    @property
    def has_decoder(self) -> bool:
        """Whether the model turns latents into images."""
        return provides(self.model, HasDecoder)

    def check_decoder(self, cannot: str) -> None:
        """Refuse what needs a decoder if the model has none; see `check_decodes`."""
        check_decodes(self.context, self.model, cannot)

    @property
    def decode(self) -> Decode:
        """The function from latents (N, D) to images (N, C, H, W) in [0, 1].

        Raises:
            UserError: the model has no decoder; the message names models that have one.
        """
        self.check_decoder("turns no latents into images")
        return partial(decode, self.model, device=self.context.device)

    @torch.no_grad()
    def encode(self, images: Floats) -> Floats:
        """Return the latents (N, D) of images (N, C, H, W) in [0, 1]."""
        batches = torch.split(torch.from_numpy(np.ascontiguousarray(images)), EVALUATION_BATCH)
        with fault_of("the model's encode failed"):
            codes = [self.model.encode(batch.to(self.context.device)) for batch in batches]
        return np.concatenate([part.float().cpu().numpy() for part in codes])

    @cached_property
    def scale(self) -> LatentScale:
        """Mean, spread and weight of each dimension of the training latents.

        The weight of a dimension is its KL if the model has a posterior and the images can be
        loaded, and otherwise its variance.
        """
        return latent_scale(self.latents("train"), self._kl())

    @property
    def centre(self) -> Floats:
        """Centre of arcs: the prior's mean, or without a prior that of the training latents."""
        mean = self.scale.mean
        return np.zeros_like(mean) if self.has_prior else mean

    @cached_property
    def drawn_latents(self) -> Floats:
        """Training latents, or a random subset if there are more than a density needs."""
        latents = self.latents("train")
        if len(latents) <= _DRAWN:
            return latents
        rows = np.random.default_rng(self.seed).choice(len(latents), _DRAWN, replace=False)
        return latents[np.sort(rows)]

    def samples(
        self, count: int, source: Source | None, components: int, seed: int | None
    ) -> Samples:
        """Draw ``count`` new images; see `latentkit.explore.samples`.

        Raises:
            UserError: ``count`` is below 1, there is no such source, or the model has no prior or
                no decoder.
            ResourceError: the images do not fit into the memory.
        """
        if count < 1:
            raise UserError(f"{count} samples cannot be drawn: ask for 1 or more")
        if source not in (None, "prior", "mixture"):
            raise UserError(f"there is no source {source!r}: choose 'prior' or 'mixture'")
        size = count * 4 * int(np.prod(self.image_shape))
        check_memory(size, f"a set of {count:,} samples", "draw fewer at once, with several seeds")
        if source == "prior" or (source is None and self.has_prior):
            return self.prior_samples(count, seed)
        chosen = self.seed if seed is None else seed
        return mixture_samples(
            self.decode, self.drawn_latents, count, components=components, seed=chosen
        )

    def prior_samples(self, count: int, seed: int | None = None) -> Samples:
        """Draw ``count`` images from the model's prior.

        Raises:
            UserError: the model has no prior.
        """
        name = self.context.config.model.name
        self.check_decoder("draws no images")
        if not self.has_prior:
            raise UserError(
                f"model {name!r} has no prior to draw from: draw from a mixture fitted to its "
                f"latents instead"
            )
        chosen = self.seed if seed is None else seed
        generator = torch.Generator(self.context.device).manual_seed(chosen)
        with torch.no_grad(), fault_of(f"model {name!r} failed to draw samples"):
            images = self.model.sample(count, generator).float().cpu().contiguous().numpy()
        return Samples("prior", images)

    def neighbours(
        self, images: Floats, latents: Floats, k: int, *, decoded: bool
    ) -> TrainingNeighbours:
        """Find the nearest training images of images (M, C, H, W) with latents (M, D).

        Latents are compared with those of all training images, and pixels with at most
        `_MOST_SEARCHED`, drawn at random, because all pixels of a large set take too long to read.

        Args:
            images: in [0, 1].
            latents: of the same items.
            k: number of neighbours to find for each image.
            decoded: whether the images come from the decoder. The decoder smooths images, so
                the typical distance is then measured on reconstructions of test items, and
                otherwise on the test images.
        """
        index = self._arrays["train"]["index"]
        count = len(self.latents())
        rows = np.linspace(0, count - 1, min(_TYPICAL, count)).astype(np.int64)
        test_latents = self.latents()[rows]
        test_images = self.decode(test_latents) if decoded else self.images(rows)
        training = self.context.images("train").images
        searched = index
        if len(index) > _MOST_SEARCHED:
            generator = np.random.default_rng(self.seed)
            searched = np.sort(generator.choice(index, _MOST_SEARCHED, replace=False))
        found = nearest(latents, self.latents("train"), k, test_latents)
        in_latents = replace(found, rows=index[found.rows])
        in_pixels = nearest(images, training, k, test_images, searched)
        return TrainingNeighbours(
            images=images,
            latents=latents,
            in_latents=in_latents,
            in_pixels=in_pixels,
            latent_images=training[in_latents.rows],
            pixel_images=training[in_pixels.rows],
            n_searched=len(searched),
            n_training=len(index),
        )

    @cached_property
    def _arrays(self) -> dict[str, dict[str, NDArray[Any]]]:
        return {
            split: self.context.folder.arrays(run_files.latents_path(split))
            for split in ("train", "test")
        }

    @torch.no_grad()
    def _kl(self) -> NDArray[np.float64] | None:
        """Return the mean KL (D,) of each dimension from a standard normal prior, in nats."""
        if not self.has_prior:
            return None
        try:
            images = self.images(np.arange(min(_SCALE_IMAGES, len(self.latents()))))
        except LatentkitError:
            return None
        with fault_of("the model's posterior failed"):
            batch = torch.from_numpy(images).to(self.context.device)
            mu, log_var = self.model.posterior(batch)
        kl: NDArray[np.float64] = (
            kl_to_standard_normal(mu.float(), log_var.float()).mean(0).double().cpu().numpy()
        )
        return kl
