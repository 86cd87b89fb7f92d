"""`Run`: the results of a run, read from its folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.api.places import given_data_dir
from latentkit.api.shown import map_pictures, table, title
from latentkit.config import RunConfig, find_part
from latentkit.errors import UserError, did_you_mean
from latentkit.pipeline.context import (
    DATA,
    EVALUATION,
    HISTORY,
    SPLITS,
    RunContext,
    build_model,
    latents_path,
    load_weights,
)
from latentkit.pipeline.explored import ExploredRun
from latentkit.pipeline.plugin_files import registry_of
from latentkit.pipeline.stored import stored_config
from latentkit.pipeline.summary import map_facts, summarise, summary_rows
from latentkit.pipeline.transfers.building import trained_classifier
from latentkit.pipeline.transfers.stages import FEATURES
from latentkit.plugin.events import ignore
from latentkit.registry.catalogue import Registry
from latentkit.runs.folder import RunFolder


class Run:
    """The results of a finished or unfinished run; each file's hash is checked on reading.

    `latentkit.run` and `latentkit.open` return one. A result that does not exist yet raises
    `latentkit.errors.IntegrityError`, whose message says how to finish the run. A missing or
    changed file raises the same error. A notebook shows a run as a table of its main figures and
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
        >>> run.coordinates("isomap")
        Traceback (most recent call last):
        latentkit.errors.UserError: run ... has no map 'isomap'; it has pca: 'latentkit embed ...
    """

    def __init__(self, folder: RunFolder, registry: Registry | None = None) -> None:
        self._folder = folder
        self._given_registry = registry

    @cached_property
    def _registry(self) -> Registry:
        return self._given_registry or registry_of(self._folder.manifest)

    @property
    def id(self) -> str:
        """The name of the run's folder."""
        return self._folder.manifest.id

    @property
    def path(self) -> Path:
        """The run's folder."""
        return self._folder.path

    @property
    def status(self) -> str:
        """``running``, ``stopped``, ``finished``, ``interrupted``, ``failed`` or ``pruned``.

        ``stopped`` means that the run did not end, but no process is working on it.
        """
        status = self._folder.manifest.status
        stopped = status == "running" and not self._folder.is_being_written()
        return "stopped" if stopped else status

    @cached_property
    def config(self) -> RunConfig:
        """The resolved configuration."""
        return stored_config(self._folder, self._registry)

    @property
    def summary(self) -> dict[str, Any]:
        """The run's figures as a JSON object."""
        return {**summarise(self._folder), "status": self.status}

    @property
    def history(self) -> Sequence[Mapping[str, Any]]:
        """One record per epoch: ``epoch``, ``train`` and ``validation`` loss terms, ``seconds``."""
        epochs: Sequence[Mapping[str, Any]] = self._folder.json(HISTORY)["epochs"]
        return epochs

    @property
    def evaluation(self) -> dict[str, Any]:
        """The evaluation card, with the quality of every map under ``"maps"``."""
        maps = {facts["map"]: facts["quality"] for facts in map_facts(self._folder)}
        return {**self._folder.json(EVALUATION), "maps": maps}

    def latents(self, split: str = "test") -> NDArray[np.float32]:
        """Return latents (N, latent_dim) of ``train``, ``validation`` or ``test`` images."""
        latents: NDArray[np.float32] = self._split_arrays(split)["latents"]
        return latents

    def features(self, when: str = "after") -> NDArray[np.float32]:
        """Return a transfer's features (N, F) of the test images, ``before`` or ``after`` training.

        Raises:
            UserError: the run is not a transfer, or ``when`` is neither of the two.
        """
        if not self._is_transfer or when not in ("before", "after"):
            raise UserError(
                f"run {self.id} has no features {when!r}: only transfers have them, 'before' "
                f"and 'after'"
            )
        features: NDArray[np.float32] = self._folder.arrays(FEATURES)[when]
        return features

    def labels(self, split: str = "test") -> NDArray[np.int64] | None:
        """Return the labels (N,) in the order of `latents`, or None if there are none."""
        return self._split_arrays(split).get("labels")

    def index(self, split: str = "test") -> NDArray[np.int64]:
        """Return the row (N,) of each latent in the data set's training or test images."""
        index: NDArray[np.int64] = self._split_arrays(split)["index"]
        return index

    @property
    def maps(self) -> list[str]:
        """The names of the run's maps."""
        return [facts["map"] for facts in map_facts(self._folder)]

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

    def map_index(self, name: str) -> tuple[NDArray[np.int64], list[str]]:
        """Return the row (N,) and the name of the split (N) of each point's image.

        Raises:
            UserError: the run has no such map.
        """
        arrays = self._map_arrays(name)
        return arrays["index"], [SPLITS[code] for code in arrays["split"]]

    @property
    def class_names(self) -> tuple[str, ...]:
        """The name of each label."""
        return tuple(self._folder.json(DATA)["class_names"])

    @cached_property
    def model(self) -> Any:
        """The trained ``torch.nn.Module`` on the CPU, in eval mode, with ``encode`` and ``decode``.

        For a transfer it is a classifier: called with images, it returns logits (B, K).
        """
        if self._is_transfer:
            return trained_classifier(self._context)
        part = self.config.model
        target = find_part(self._registry, "model", part).target()
        channels, height, width = self._folder.json(DATA)["image_shape"]
        model = build_model(target, part, (channels, height, width))
        return load_weights(model, self._folder).eval()

    @cached_property
    def explored(self) -> ExploredRun:
        """Latents, images and model for `latentkit.explore`, each loaded once.

        Raises:
            UserError: the run is a transfer, which has no latent space.
        """
        self._refuse_transfer()
        return ExploredRun(self._context, self.model)

    @cached_property
    def _context(self) -> RunContext:
        data = given_data_dir() or Path(self._folder.manifest.data_dir)
        return RunContext(
            self.config, self._registry, data, torch.device("cpu"), self._folder, ignore
        )

    @property
    def _is_transfer(self) -> bool:
        return "transfer" in self._folder.manifest.config

    def _refuse_transfer(self) -> None:
        if self._is_transfer:
            raise UserError(
                f"run {self.id} is a transfer: it has features of the test images, before and "
                f"after, but no latents: open its parent run for latents"
            )

    @property
    def figures(self) -> dict[str, Path]:
        """The path of each figure's PNG, by name."""
        paths = self._folder.manifest.artefacts
        shown = (path for path in paths if path.startswith("figures/") and path.endswith(".png"))
        found = (self.path / path for path in shown)
        return {path.stem: path for path in found}

    def __repr__(self) -> str:
        return f"<Run {self.id}: {self.status}>"

    def _repr_html_(self) -> str:
        facts = title(self.id, self.status) + table(summary_rows(self.summary))
        return f"<div>{facts}{map_pictures(self.figures)}</div>"

    def _split_arrays(self, split: str) -> dict[str, NDArray[Any]]:
        self._refuse_transfer()
        if split not in SPLITS:
            raise UserError(
                f"there is no split {split!r}{did_you_mean(split, SPLITS)}; known splits: "
                f"{', '.join(SPLITS)}"
            )
        return self._folder.arrays(latents_path(split))

    def _map_arrays(self, name: str) -> dict[str, NDArray[Any]]:
        if name not in self.maps:
            listed = ", ".join(self.maps) or "none"
            raise UserError(
                f"run {self.id} has no map {name!r}{did_you_mean(name, self.maps)}; it has "
                f"{listed}: 'latentkit embed {self.path} --embed {name}' adds it"
            )
        return self._folder.arrays(f"embeddings/{name.replace(':', '.')}.npz")
