"""The maps of an explorer page: those of a run, and those that are made for the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import MapConfig, MapOptions
from latentkit.errors import leaving_out, unexpected_content
from latentkit.evaluation.card_sentences import reading_text
from latentkit.explore.explorer_layout import LinearInverse, PageMap
from latentkit.explore.page_columns import TRUST, trust
from latentkit.explore.page_items import ChosenItems, image_keys
from latentkit.explore.scale import Floats
from latentkit.maps.alignment import align
from latentkit.maps.make import made_maps, make_map, points_text
from latentkit.runs import run_files
from latentkit.runs.context import StageContext

_LINEAR = 1e-4  # largest deviation from a linear map, as a share of the map's spread
_FIGURES = ("trustworthiness", "continuity", "auc_r_nx", "knn_accuracy_map")
_NAME_LENGTH = 28
_GOLDEN = 0.6180339887498949
OWN = "page:pca"
"""Key of the map that is made for a page; no map of a run has it."""


def run_maps(
    context: StageContext,
    items: ChosenItems,
    latents: Floats,
    note: Callable[[str], None],
) -> list[PageMap]:
    """Return the maps of a run that show all items of a page.

    A map is a picture of the points that it is fitted on. So on a page of more than the test
    images, a map that does not show all of them is fitted again, on the page's items, with the
    run's options.

    Args:
        context: the run.
        items: the page's items, N of them.
        latents: (N, D), theirs.
        note: receives why a map is left out.
    """
    found: list[PageMap] = []
    covered: set[tuple[str, str]] = set()
    others: list[MapConfig] = []
    for part in made_maps(context):
        shown = _shown(context, part, items, latents)
        if shown is None:
            others.append(part)
        else:
            found.append(shown)
            covered.add(_embedding(part))
    for part in others:
        if items.on == "test":
            note(
                f"map {part.label} is left out, because it shows {points_text(part.map)}, and this "
                f"page shows the test images: add --on all to see it"
            )
        elif _embedding(part) not in covered:
            covered.add(_embedding(part))
            with leaving_out(partial(_left_out, note, part.label)):
                found.append(_fitted_again(context, part, items, latents))
    return found


def _left_out(note: Callable[[str], None], label: str, why: str) -> None:
    note(f"map {label} is left out: {why}")


def _embedding(part: MapConfig) -> tuple[str, str]:
    """Return what is equal in maps that differ only in the points that they show."""
    options = part.options.model_dump_json() if part.options is not None else ""
    return part.name, options


def _shown(
    context: StageContext, part: MapConfig, items: ChosenItems, latents: Floats
) -> PageMap | None:
    """Return a map of the run at the items; None if it does not show all of them."""
    arrays_path, facts_path = run_files.map_paths(part)
    arrays, facts = context.folder.arrays(arrays_path), context.folder.json(facts_path)
    with unexpected_content(context.folder.path / arrays_path):
        keys = image_keys(arrays["split"], arrays["index"])
        rows = rows_of_keys(keys, items.keys)
        if rows is None:
            return None
        coordinates = arrays["coordinates"][rows]
        known = arrays.get("trustworthiness")
        own = None if known is None else known[rows]
    with unexpected_content(context.folder.path / facts_path):
        figures = quality_figures(facts["quality"])
        reading = reading_text(facts)
    whole = len(keys) == len(items)
    return page_map(
        part.label,
        map_name(part),
        coordinates,
        latents,
        own if whole else None,
        figures,
        points_text(part.map),
        reading=reading,
    )


def map_name(part: MapConfig) -> str:
    """Return a map's name for readers: its method's own, and what it shows unless that is usual.

    A method's own name is what its summary has before a colon, as in ``t-SNE: keeps ...``.
    """
    name, colon, _ = part.part.spec.summary.partition(":")
    if not colon or len(name) > _NAME_LENGTH:
        name = part.name
    return name if part.map.on == "test" else f"{name} ({part.map.on})"


def rows_of_keys(known: NDArray[np.int64], asked: NDArray[np.int64]) -> NDArray[np.int64] | None:
    """Return the place in ``known`` of each key; None if one is missing."""
    order = np.argsort(known, kind="stable")
    places = np.searchsorted(known[order], asked).clip(max=len(known) - 1)
    rows: NDArray[np.int64] = order[places]
    return rows if np.array_equal(known[rows], asked) else None


def _fitted_again(
    context: StageContext, part: MapConfig, items: ChosenItems, latents: Floats
) -> PageMap:
    without = part.map.model_copy(update={"stability": 0})  # of the run's map, not of this one
    made = make_map(
        replace(part, map=without),
        np.ascontiguousarray(latents, np.float32),
        items.labels,
        seed=context.seed,
        emit=context.emit,
        threads=context.config.run.threads,
    )
    coordinates, own = made.arrays["coordinates"], made.arrays["trustworthiness"]
    figures = quality_figures(made.document["quality"])
    text = f"the {len(items):,} images of this page"
    name = map_name(replace(part, map=MapOptions()))
    reading = reading_text(made.document)
    return page_map(part.label, name, coordinates, latents, own, figures, text, reading=reading)


def quality_figures(quality: Mapping[str, Any]) -> dict[str, float]:
    """Return the main figures of a map's quality, without those that are missing."""
    found = {name: quality.get(name) for name in _FIGURES}
    return {name: float(one["value"]) for name, one in found.items() if one is not None}


def page_map(
    key: str,
    name: str,
    coordinates: NDArray[Any],
    latents: Floats,
    own_trust: NDArray[np.float32] | None,
    figures: Mapping[str, float],
    fitted_on: str,
    about: str = "",
    reading: str = "",
) -> PageMap:
    """Return a map with trust of every item and, if it is linear, its inverse.

    Args:
        key: short name of the map.
        name: name for readers.
        coordinates: (N, 2 or 3).
        latents: (N, D).
        own_trust: (N,), trust that is known already, NaN where it is not; None for none.
        figures: measured quality.
        fitted_on: the points that it was fitted on, in words.
        about: a sentence on the map.
        reading: sentences on what may be read from it.
    """
    values = own_trust
    if values is None or not np.isfinite(values).all():
        values = trust(latents, coordinates)
    return PageMap(
        key=key,
        name=name,
        coordinates=coordinates,
        about=f"{reading} {about or f'Fitted on {fitted_on}; {TRUST}'}".strip(),
        fitted_on=fitted_on,
        trust=values,
        figures=figures,
        inverse=linear_inverse(coordinates, latents),
    )


def linear_inverse(coordinates: NDArray[Any], latents: Floats) -> LinearInverse | None:
    """Return how a linear map turns back into latents; None if the map is not linear.

    A map is linear if its coordinates are a linear function of the latents. Its inverse is the
    regression of the latents on the coordinates, which for PCA are the axes themselves.

    Args:
        coordinates: (N, 2 or 3).
        latents: (N, D).
    """
    y, z = np.asarray(coordinates, np.float64), np.asarray(latents, np.float64)
    if len(z) <= z.shape[1] + 1:  # any map of so few points is linear
        return None
    here, there = y.mean(0), z.mean(0)
    y, z = y - here, z - there
    spread = float(np.square(y).sum())
    if not spread:
        return None
    forward = np.linalg.lstsq(z.T @ z, z.T @ y, rcond=None)[0]
    if float(np.square(z @ forward - y).sum()) > _LINEAR**2 * spread:
        return None
    axes = np.linalg.lstsq(y.T @ y, y.T @ z, rcond=None)[0]
    return LinearInverse(there - here @ axes, axes)


def own_map(latents: Floats, reference: NDArray[Any] | None = None) -> PageMap | None:
    """Return a map of latents (N, D) along their two directions of largest variance.

    With one latent, the second coordinate only spreads the points, and means nothing.

    Args:
        latents: of the items.
        reference: (N, 2 or 3), a map of the same items that this one is turned and scaled to fit.

    Returns:
        The map; None if all latents are equal, or there are fewer than two.
    """
    n, d = latents.shape
    centred = np.asarray(latents, np.float64) - latents.mean(0, dtype=np.float64)
    if n < 2 or not centred.any():
        return None
    if d == 1:
        spread = (np.arange(n) * _GOLDEN % 1 - 0.5) * np.ptp(centred) / 2
        coordinates = np.stack([latents[:, 0].astype(np.float64), spread], 1)
        inverse = LinearInverse(np.zeros(1), np.array([[1.0], [0.0]]))
        about = "The one latent from left to right; the vertical place only spreads the points."
        return PageMap(
            OWN, "The latent", coordinates, about, _HERE, trust(latents, coordinates), {}, inverse
        )
    dims = 2 if reference is None else min(d, reference.shape[1])
    values, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :dims].T
    axes *= np.sign(axes[np.arange(dims), np.abs(axes).argmax(1)])[:, None]
    coordinates = centred @ axes.T
    about = (
        f"Made for this page: the {dims} directions in which these latents vary most, which have "
        f"{float(values[::-1][:dims].sum() / values.sum()):.0%} of their variance"
    )
    if reference is not None and reference.shape[1] == dims:
        try:
            coordinates = align(coordinates, reference)(coordinates)
            about += ", turned and scaled to fit the map of the final weights"
        except ValueError:  # all points of one map are equal
            pass
    return page_map(OWN, "PCA", coordinates, latents, None, {}, _HERE, f"{about}; {TRUST}")


_HERE = "the images of this page"
