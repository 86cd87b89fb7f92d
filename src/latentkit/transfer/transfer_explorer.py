"""What an explorer page shows of a transfer: features before and after training."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError, leaving_out, unexpected_content
from latentkit.explore.explorer_layout import Column, PageMap, PageSpace
from latentkit.explore.page_items import ChosenItems, On, image_keys
from latentkit.explore.page_maps import map_name, own_map, page_map, quality_figures, rows_of_keys
from latentkit.explore.page_spaces import Notes
from latentkit.explore.scale import Floats, latent_scale
from latentkit.maps.make import made_maps
from latentkit.runs import run_files
from latentkit.runs.context import StageContext, stored_class_names
from latentkit.transfer.transfer_stages import BEFORE, FEATURES

AFTER = "after"
_TEST = run_files.SPLITS.index("test")


class TransferSource:
    """A transfer as an explorer page shows it: a space before training, and one after.

    Args:
        context: the transfer's context.
    """

    def __init__(self, context: StageContext) -> None:
        self.context = context
        self.id = context.folder.manifest.id

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """Channels, height and width."""
        return self.context.image_shape

    def choose(self, on: On, notes: Notes) -> ChosenItems:
        """Return the test images that the transfer's maps show.

        Raises:
            UserError: other images are asked for.
        """
        if on != "test":
            raise UserError(
                f"run {self.id} is a transfer, which has features of the test images only: leave "
                f"out --on"
            )
        folder = self.context.folder
        arrays = folder.arrays(FEATURES)
        rows = self._mapped(len(arrays["labels"]))
        if len(rows) < len(arrays["labels"]):
            notes.add(
                f"{len(rows):,} of {len(arrays['labels']):,} test images are shown, those of the "
                f"transfer's maps"
            )
        return ChosenItems(
            on,
            np.full(len(rows), _TEST, np.int8),
            rows,
            rows,
            arrays["labels"][rows],
            stored_class_names(folder),
            None,
            self.context.image_shape,
        )

    def spaces(self, items: ChosenItems, notes: Notes, title: str) -> list[PageSpace]:
        """Return the space before training and the one after; one if they are equal."""
        arrays = self.context.folder.arrays(FEATURES)
        with unexpected_content(self.context.folder.path / FEATURES):
            index = arrays["index"]
            keys = image_keys(np.full(len(index), _TEST), index)
            rows = rows_of_keys(keys, items.keys)
            if rows is None:
                raise UserError(f"run {self.id} has no features of some of the page's images")
            same = np.array_equal(arrays[BEFORE], arrays[AFTER])
        return [
            self._space(arrays, items, rows, when, notes, title)
            for when in ((AFTER,) if same else (BEFORE, AFTER))
        ]

    def _space(
        self,
        arrays: dict[str, NDArray[Any]],
        items: ChosenItems,
        rows: NDArray[np.int64],
        when: str,
        notes: Notes,
        title: str,
    ) -> PageSpace:
        features = np.ascontiguousarray(arrays[when][rows], np.float32)
        scale = latent_scale(arrays[when])
        model = self.context.config.model.name
        maps: list[PageMap] = []
        with leaving_out(lambda why: notes.add(f"maps are left out: {why}")):
            maps = self._maps(items, features, when)
        if not maps and (own := own_map(features)) is not None:
            notes.add(f"run {self.id} has no map: the page has made one with PCA")
            maps = [own]
        return PageSpace(
            name=self.id,
            model=model,
            title=f"{title or model}, features {when} training",
            latents=features,
            mean=scale.mean,
            sigma=scale.sigma,
            weights=scale.weight,
            order=scale.order,
            columns=self._columns(arrays, rows, when),
            maps=maps,
            no_decoder="a transfer trains a classifier, which turns no features into images",
        )

    def _maps(self, items: ChosenItems, features: Floats, when: str) -> list[PageMap]:
        found: list[PageMap] = []
        folder, ending = self.context.folder, "" if when == AFTER else f"_{BEFORE}"
        for part in made_maps(self.context):
            arrays_path, facts_path = run_files.map_paths(part)
            arrays, facts = folder.arrays(arrays_path), folder.json(facts_path)
            with unexpected_content(folder.path / arrays_path, folder.path / facts_path):
                keys = image_keys(arrays["split"], arrays["index"])
                places = rows_of_keys(keys, items.keys)
                if places is None:
                    continue
                coordinates = arrays[f"coordinates{ending}"][places]
                known = arrays.get(f"trustworthiness{ending}")
                own = known[places] if known is not None and len(keys) == len(items) else None
                quality = quality_figures(facts[f"quality{ending}"])
            fitted_on = f"features {when} training"
            name = map_name(part)
            found.append(page_map(part.label, name, coordinates, features, own, quality, fitted_on))
        return found

    def _columns(
        self, arrays: dict[str, NDArray[Any]], rows: NDArray[np.int64], when: str
    ) -> list[Column]:
        probabilities = arrays[f"probabilities_{when}"][rows]
        names = stored_class_names(self.context.folder)
        with_head = when == AFTER or not bool(arrays["probed"])
        by = "the classifier" if with_head else "logistic regression on the features"
        return [
            Column(
                "predicted",
                "predicted class",
                probabilities.argmax(1),
                f"Class that {by} finds most probable, {when} training.",
                names,
            ),
            Column(
                "confidence",
                "confidence",
                probabilities.max(1),
                f"Probability that {by} gives to the predicted class.",
            ),
        ]

    def _mapped(self, count: int) -> NDArray[np.int64]:
        """Return the rows of the test images that all maps show; all of them without maps."""
        rows = np.arange(count)
        for part in made_maps(self.context):
            known = self.context.folder.arrays(run_files.map_paths(part)[0])["index"]
            rows = np.intersect1d(rows, known)
        return rows
