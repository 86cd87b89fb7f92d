"""`Run`: the results of a run, read from its folder, and how a notebook shows them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.api.notebook_html import map_pictures, table, title
from latentkit.api.opened_run import OpenedRun
from latentkit.data.new_images import GivenFiles, GivenImages, ImageForm, Unreadable, given_images
from latentkit.errors import (
    BrokenEnvironmentError,
    LatentkitError,
    UserError,
    did_you_mean,
    in_files,
)
from latentkit.explore.encoded import EncodedImages, chosen_maps, encoded_parts, reconstruct_images
from latentkit.explore.explored_run import ExploredRun, Source
from latentkit.explore.explorer_page import LARGEST, fitted_layout, page_content
from latentkit.explore.overview import COMPONENTS
from latentkit.explore.page_items import On
from latentkit.explore.page_spaces import PageSource, TrainedSource
from latentkit.explore.samples import Samples
from latentkit.maps.compare_maps import Question, compare_maps
from latentkit.maps.make import made_maps
from latentkit.maps.placing import FittedMap, fitted_map
from latentkit.plugin.events import Listener, Notice, ignore
from latentkit.plugin.machine import Device
from latentkit.runs import run_files
from latentkit.runs.context import stored_class_names, stored_numbers
from latentkit.runs.summary import map_facts, summarise, summary_rows
from latentkit.terminal import printable, shell_command
from latentkit.training.device import resolve_device
from latentkit.transfer.classified import ClassifiedImages, classified_parts
from latentkit.transfer.transfer_explorer import TransferSource
from latentkit.transfer.transfer_stages import FEATURES

if TYPE_CHECKING:
    from latentkit.explore.explorer_widget import ExplorerWidget


class Run(OpenedRun):
    """The results of a finished or unfinished run; each file's hash is checked on reading.

    The results are those on disk at the time of access, also while another process trains the run.
    `latentkit.run` and `latentkit.open` return one. A result that does not exist yet raises
    `latentkit.errors.IntegrityError`, whose message says how to finish the run. A missing or
    changed file raises the same error. A notebook shows a run as a table of its main results and
    its maps.

    Example:
        >>> import latentkit as lk
        >>> run = lk.open("last")
        >>> run.status, run.class_names[:3]
        ('finished', ('0', '1', '2'))
        >>> {split: run.latents(split).shape for split in ("train", "validation", "test")}
        {'train': (1150, 3), 'validation': (287, 3), 'test': (360, 3)}
        >>> run.maps, run.coordinates("pca").shape
        (['pca'], (360, 2))
        >>> run.evaluation["reconstruction"]["mse"]  # mean over test images; pixels in [0, 1]
        {'value': 0..., 'standard_error': ..., 'low': ..., 'high': ...}
        >>> run.history[0]["epoch"], sorted(run.history[0]["validation"])
        (1, ['loss', 'mse'])
        >>> run.figures["map-pca"].name
        'map-pca.png'
        >>> new = lk.dataset("digits", "test").images[:2]  # or "photos/*.png"
        >>> seen = run.encode(new)
        >>> seen.latents.shape, seen.coordinates["pca"].shape, bool((seen.novelty > 0).all())
        ((2, 3), (2, 2), True)
        >>> run.reconstruct(new).shape, run.sample(5).images.shape
        ((2, 1, 8, 8), (5, 1, 8, 8))
        >>> run.coordinates("isomap")
        Traceback (most recent call last):
        latentkit.errors.UserError: run ... has no map 'isomap'; it has pca; to add it: ...
    """

    @property
    @in_files
    def summary(self) -> dict[str, Any]:
        """The run's main results as a JSON object."""
        status = self.status  # first, because it reads the manifest that the summary is made of
        return {**summarise(self._opened, self.kind), "status": status}

    @property
    @in_files
    def history(self) -> Sequence[Mapping[str, Any]]:
        """One record per epoch: ``epoch``, ``train`` and ``validation`` loss terms, ``seconds``."""
        return [dict(epoch) for epoch in self._folder.json(run_files.HISTORY)["epochs"]]

    @property
    @in_files
    def evaluation(self) -> dict[str, Any]:
        """The evaluation card, with the quality of every map under ``"maps"``."""
        folder = self._folder
        maps = {facts["map"]: facts["quality"] for facts in map_facts(folder)}
        return {**folder.json(run_files.EVALUATION), "maps": maps}

    @in_files
    def latents(self, split: str = "test") -> NDArray[np.float32]:
        """Return latents (N, latent_dim) of ``train``, ``validation`` or ``test`` images."""
        latents: NDArray[np.float32] = self._split_arrays(split)["latents"]
        return latents

    @in_files
    def features(self, when: str = "after") -> NDArray[np.float32]:
        """Return a transfer's features (N, F) of the test images, ``before`` or ``after`` training.

        Raises:
            UserError: the run is not a transfer, or ``when`` is neither of the two.
        """
        if self.kind.points != "features" or when not in ("before", "after"):
            raise UserError(
                f"run {self.id} has no features {when!r}: only transfers have them, 'before' "
                f"and 'after'"
            )
        features: NDArray[np.float32] = self._folder.arrays(FEATURES)[when]
        return features

    @in_files
    def labels(self, split: str = "test") -> NDArray[np.int64] | None:
        """Return the labels (N,) in the order of `latents`, or None if there are none."""
        return self._split_arrays(split).get("labels")

    @in_files
    def index(self, split: str = "test") -> NDArray[np.int64]:
        """Return each latent's row (N,): that of its image in the training or test images."""
        index: NDArray[np.int64] = self._split_arrays(split)["index"]
        return index

    @property
    @in_files
    def maps(self) -> list[str]:
        """The names of the run's maps."""
        return [facts["map"] for facts in map_facts(self._folder)]

    @in_files
    def compare_maps(self, question: Question | None = None) -> dict[str, Any]:
        """Compare all maps of the run, and recommend one for a question.

        Args:
            question: ``neighbours`` (which images are alike?), ``clusters`` (which groups are
                there?), ``distances`` (how far apart are groups?) or ``new-images`` (where do
                images lie that the map was not fitted on?); None for all of them.

        Returns:
            ``maps``, a row for each map, with its figures and ``reading``, sentences on what may be
            read from it; ``recommended``, by question, the ``map`` and ``why``; and a ``note``.

        Raises:
            UserError: the run has no maps, or there is no such question.
        """
        facts = map_facts(self._folder)
        if not facts:
            raise UserError(
                f"run {self.id} has no maps; to add one:  "
                f"{shell_command('embed', self.path, '--embed', 'pca')}"
            )
        return compare_maps(facts, made_maps(self._context), question, self.kind.points)

    @in_files
    def coordinates(self, name: str) -> NDArray[np.float64]:
        """Return the coordinates (N, 2 or 3) of a map, in the order of its latents.

        A map shows ``latents("test")`` unless its name says otherwise: ``isomap-train`` shows
        ``latents("train")``, ``isomap-all`` train, validation and test in this order, and
        ``isomap-5000`` a random draw of all, whose images `map_index` returns.

        Raises:
            UserError: the run has no such map.
        """
        coordinates: NDArray[np.float64] = self._map_arrays(name)["coordinates"]
        return coordinates

    @in_files
    def map_index(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return the row (N,) and the name of the split (N) of each point's image.

        Raises:
            UserError: the run has no such map.
        """
        arrays = self._map_arrays(name)
        return arrays["index"], [run_files.SPLITS[code] for code in arrays["split"]]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return stored_class_names(self._folder)

    @property
    def model(self) -> Any:
        """The trained ``torch.nn.Module`` on the CPU, in eval mode, with ``encode`` and ``decode``.

        An encoder has no ``decode``. A transfer's model is a classifier: it returns logits (B, K).
        """
        return self._kept("model", self._new_model)

    def _new_model(self) -> Any:
        # Libraries that save or flatten weights expect them contiguous.
        return self.kind.trained(self._context).to(memory_format=torch.contiguous_format)

    @property
    def explored(self) -> ExploredRun:
        """Latents, images and model for `latentkit.explore`, each loaded once.

        Raises:
            UserError: the run is a transfer, which has no latent space.
        """
        self._refuse_transfer()
        return self._kept("explored", lambda: ExploredRun(self._context, self.model))

    @property
    def page_source(self) -> PageSource:
        """The run as an explorer page shows it."""
        if self.kind.points == "features":
            return TransferSource(self._context)
        return TrainedSource(self.explored)

    def explorer(self, *, on: On = "test") -> ExplorerWidget:
        """Return the explorer page of the run as a widget, which a notebook shows.

        Its ``selection`` is a list of item numbers, which the notebook can read and set;
        ``hovered`` and ``color_by`` are other values of the view.

        Args:
            on: which images to show: ``test``, ``all``, or a number of them drawn from all.

        Raises:
            BrokenEnvironmentError: anywidget is not installed.
            UserError: there are fewer images than were asked for.
        """
        if find_spec("anywidget") is None:
            raise BrokenEnvironmentError(
                f"the explorer in a notebook needs anywidget: run  pip install "
                f"'latentkit[widget]', or open it in a browser with "
                f"'{shell_command('explore', self.path)}'"
            )
        from latentkit.explore.explorer_widget import ExplorerWidget

        return ExplorerWidget(fitted_layout(page_content([self.page_source], on), LARGEST))

    def encode(
        self,
        images: Any,
        *,
        maps: Iterable[str] | None = None,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> EncodedImages:
        """Encode new images, and compare them with those that the model was trained on.

        Args:
            images: the path of a file or folder, a pattern such as ``"photos/*.png"``, or a list
                of paths; an image of Pillow or a list of them; `latentkit.ImageData`; or an array
                or tensor (N, C, H, W), (N, H, W, C) or (N, H, W) of the size of the run's images:
                uint8, uint16, bool, or float in [0, 1]. Files and images of Pillow are brought to
                the size of the run's images as the run's data set does it.
            maps: the run's maps in which to place the images; by default all that can place new
                points. Each is fitted again once, because no fitted estimator is stored.
            unreadable: whether files that cannot be read are an error (``refuse``) or are left
                out (``skip``).
            device: ``auto``, ``cpu``, ``cuda`` or ``mps``.
            listener: called with events: progress, and notices of how files are read.

        Returns:
            Latents (N, D), reconstruction errors, distances to training latents, and coordinates.

        Raises:
            UserError: the run is a transfer, there is no such file or map, or arrays have another
                shape or range.
            DataError: a file cannot be read.
        """
        parts = self.encode_parts(
            images, maps=maps, unreadable=unreadable, device=device, listener=listener
        )
        return EncodedImages.joined(parts)

    def encode_parts(
        self,
        images: Any,
        *,
        maps: Iterable[str] | None = None,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> Iterator[EncodedImages]:
        """Yield the results of `encode` in parts of up to 65,536 images, in constant memory.

        The last part has all notes and unreadable files. Arguments and errors are those of
        `encode`.
        """
        given = self.given_images(images, unreadable, listener)
        chosen = chosen_maps(self.explored, maps)
        fit = partial(self._fitted_map, emit=listener)
        model = self._model_on(device)
        return encoded_parts(self.explored, model, given, chosen, fit, listener)

    def reconstruct(
        self,
        images: Any,
        *,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> NDArray[np.float32]:
        """Return the reconstructions (N, C, H, W) in [0, 1] of new images.

        The images are taken as they are, so a run that learned to remove noise removes it from
        them. Arguments and errors are as in `encode`; a model without a decoder is a `UserError`.
        """
        batches = self.reconstructions(
            images, unreadable=unreadable, device=device, listener=listener
        )
        return np.concatenate([rebuilt for _, rebuilt in batches])

    def reconstructions(
        self,
        images: Any,
        *,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> Iterator[tuple[list[str], NDArray[np.float32]]]:
        """Yield names and reconstructions as `reconstruct` does, a batch at a time."""
        self.explored.check_decoder("reconstructs nothing")
        given = self.given_images(images, unreadable, listener)
        return reconstruct_images(self._model_on(device), given, listener)

    def sample(
        self, n: int = 64, *, source: Source | None = None, seed: int | None = None
    ) -> Samples:
        """Draw new images; their ``images`` are (n, C, H, W) in [0, 1].

        Args:
            n: number of images.
            source: the model's ``prior``, or a ``mixture`` of Gaussians fitted to the training
                latents; by default the prior, if the model has one.
            seed: seed of the draws, 0 to 2**31 - 1; by default derived from the run's.

        Raises:
            UserError: ``n`` is below 1, the model lacks a prior or decoder, or it is a transfer.
        """
        return self.explored.samples(n, source, COMPONENTS, seed)

    def predict(
        self,
        images: Any,
        *,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> ClassifiedImages:
        """Classify new images with a transfer's classifier; arguments and errors as in `encode`.

        Returns:
            The probability of each class (N, K); ``classes`` has the names of the best.

        Raises:
            UserError: the run is no transfer.
        """
        parts = self.predict_parts(images, unreadable=unreadable, device=device, listener=listener)
        return ClassifiedImages.joined(parts)

    def predict_parts(
        self,
        images: Any,
        *,
        unreadable: Unreadable = "refuse",
        device: Device = "auto",
        listener: Listener = ignore,
    ) -> Iterator[ClassifiedImages]:
        """Yield the results of `predict` in parts of up to 65,536 images, in constant memory."""
        if self.kind.points != "features":
            raise UserError(
                f"run {self.id} is not a classifier: train one on its encoder with "
                f"'{shell_command('transfer', self.path)}'"
            )
        given = self.given_images(images, unreadable, listener)
        return classified_parts(self._model_on(device), self.class_names, given, listener)

    def given_images(
        self, images: Any, unreadable: Unreadable = "refuse", listener: Listener = ignore
    ) -> GivenImages:
        """Return new images in the form of the run's images; files are not read yet.

        Arguments and errors are those of `encode`, which takes the result as ``images``, too.
        """
        form = ImageForm.of_data_set(
            self.config.dataset.options,
            self._context.image_shape,
            *stored_numbers(self._opened),
        )
        given = given_images(images, form, unreadable)
        if isinstance(given, GivenFiles) and given is not images:
            for note in given.notes():
                listener(Notice("image-files", note, "info"))
        return given

    def _model_on(self, device: Device) -> Any:
        chosen = resolve_device(device)
        if chosen.type == "cpu":
            return self.model
        return self._kept(f"model on {chosen}", lambda: deepcopy(self.model).to(chosen))

    def _fitted_map(self, name: str, emit: Listener) -> FittedMap:
        def fit() -> FittedMap:
            context = self._context
            part = next(part for part in made_maps(context) if part.label == name)
            return fitted_map(self._opened, part, context.seed, emit)

        return self._kept(f"map {name}", fit)

    def _refuse_transfer(self) -> None:
        if self.kind.points != "latents":
            raise UserError(
                f"run {self.id} is a transfer: it has features of the test images, before and "
                f"after, but no latents: open its parent run for latents"
            )

    @property
    def figures(self) -> dict[str, Path]:
        """The path of each figure's PNG, by name."""
        paths = self._folder.manifest.artefacts
        shown = (path for path in paths if path.startswith("figures/") and path.endswith(".png"))
        return {PurePosixPath(path).stem: self.path / path for path in shown}

    def __repr__(self) -> str:
        try:
            status = self.status
        except LatentkitError:
            status = "cannot be read"
        return printable(f"<Run {self.id}: {status}>")

    @in_files
    def _repr_html_(self) -> str:
        facts = title(self.id, self.status) + table(summary_rows(self.summary, self.kind))
        relative = {name: path.relative_to(self.path) for name, path in self.figures.items()}
        read = {n: partial(self._opened.read, path.as_posix()) for n, path in relative.items()}
        return f"<div>{facts}{map_pictures(read)}</div>"

    def _split_arrays(self, split: str) -> dict[str, NDArray[Any]]:
        self._refuse_transfer()
        if split not in run_files.SPLITS:
            raise UserError(
                f"there is no split {split!r}{did_you_mean(split, run_files.SPLITS)}; known "
                f"splits: {', '.join(run_files.SPLITS)}"
            )
        return self._folder.arrays(run_files.latents_path(split))

    def _map_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        if name not in self.maps:
            listed = ", ".join(self.maps) or "none"
            raise UserError(
                f"run {self.id} has no map {name!r}{did_you_mean(name, self.maps)}; it has "
                f"{listed}; to add it:  {shell_command('embed', self.path, '--embed', name)}"
            )
        return self._folder.arrays(f"embeddings/{name.replace(':', '.')}.npz")
