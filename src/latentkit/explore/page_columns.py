"""What an explorer page says of each item: error, novelty, predicted class and trust in a map."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.data.batches import EVALUATION_BATCH
from latentkit.errors import leaving_out
from latentkit.evaluation.inference import decode
from latentkit.evaluation.representation import N_NEIGHBORS, nearest, vote
from latentkit.explore.explored_run import ExploredRun
from latentkit.explore.explorer_layout import Column
from latentkit.explore.page_items import ChosenItems, image_keys, pixels_of
from latentkit.explore.scale import Floats
from latentkit.maps.quality import point_trust
from latentkit.plugin.images import as_floats
from latentkit.runs import run_files
from latentkit.training.device import resolve_threads

TRUST_NEIGHBOURS = 10
TRUST = (
    "the trust of an item is 1 if its 10 neighbours in the map are its 10 nearest in the latents, "
    "less by how far down the order of latents they are, and about 0.5 in a random map "
    "(trustworthiness, Venna and Kaski 2001)."
)


def columns(run: ExploredRun, items: ChosenItems, latents: Floats) -> list[Column]:
    """Return the columns of an autoencoder or encoder that can be had.

    Args:
        run: the run.
        items: the page's items, N of them.
        latents: (N, D), theirs.
    """
    found: list[Column] = []
    with leaving_out(lambda _: None):  # there is no decoder, or the images are not in place
        found.append(_error(run, items, latents))
    return [*found, *_of_neighbours(run, items, latents)]


def _error(run: ExploredRun, items: ChosenItems, latents: Floats) -> Column:
    """Return the error of each reconstruction, from the evaluation card if that has it."""
    folder = run.context.folder
    given = "image and its reconstruction"
    card = run_files.FIGURES_OF_IMAGES
    if items.only_test and card in folder.manifest.artefacts:
        known = folder.arrays(card).get("mse")
        if known is not None and known.shape == (len(run.latents()),):
            if run.context.corruption:
                given = "image and the reconstruction from its corrupted version"
            return _error_column(known[items.row], given)
    run.check_decoder("reconstructs nothing")
    errors = np.empty(len(items))
    rows = np.arange(len(items))
    for part in np.array_split(rows, -(-len(rows) // EVALUATION_BATCH)):
        rebuilt = decode(run.model, latents[part], run.context.device)
        off = rebuilt - as_floats(pixels_of(items, run.context, part))
        errors[part] = np.square(off).reshape(len(part), -1).mean(1, dtype=np.float64)
    return _error_column(errors, given)


def _error_column(errors: NDArray[Any], given: str) -> Column:
    about = f"Mean squared error per pixel between {given}; pixels are from 0 to 1."
    return Column("error", "reconstruction error", errors, about)


def _of_neighbours(run: ExploredRun, items: ChosenItems, latents: Floats) -> list[Column]:
    """Return novelty, and the class of the nearest training latents if there are labels."""
    train = run.latents("train")
    asked = min(N_NEIGHBORS + 1, len(train))
    keys = _training_keys(run)
    rows = _without_themselves(nearest(train, latents, asked), items.keys, keys)
    if not rows.shape[1]:
        return []
    away = np.linalg.norm(train[rows[:, 0]].astype(np.float64) - latents, axis=1)
    about = (
        "Distance to the nearest latent of a training image, in latent units; far from all of them "
        "is new to the model."
    )
    found = [Column("novelty", "novelty", away, about)]
    if run.labelled:
        about = (
            f"Most common class of the {rows.shape[1]} training images whose latents are nearest; "
            f"an item is not its own neighbour."
        )
        classes = vote(rows, run.labels("train"))
        found.append(Column("predicted", "predicted class", classes, about, run.class_names))
    return found


def _training_keys(run: ExploredRun) -> NDArray[np.int64]:
    index = run.context.folder.arrays(run_files.latents_path("train"))["index"]
    return image_keys(np.full(len(index), run_files.SPLITS.index("train")), index)


def _without_themselves(
    rows: NDArray[np.int64], items: NDArray[np.int64], training: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return all but one of each item's neighbours (N, k): not itself, or else not the last.

    Args:
        rows: (N, k), rows of the training images.
        items: (N,), the keys of the items; see `image_keys`.
        training: (M,), the keys of the run's training images.
    """
    among = np.isin(items, training).any()
    most = min(N_NEIGHBORS, len(training) - 1 if among else len(training))
    itself = training[rows] == items[:, None]
    order = np.argsort(itself, axis=1, kind="stable")  # those that are not itself come first
    return np.take_along_axis(rows, order, 1)[:, :most]


def trust(latents: Floats, coordinates: NDArray[Any]) -> NDArray[np.float32]:
    """Return the trustworthiness (N,) of each item in a map; `TRUST` defines it.

    Args:
        latents: (N, D).
        coordinates: (N, 2 or 3).
    """
    n = len(latents)
    k = min(TRUST_NEIGHBOURS, (n - 1) // 2)
    if k < 1:
        return np.full(n, np.nan, np.float32)
    centred = np.ascontiguousarray(latents - latents.mean(0), np.float32)
    return point_trust(centred, coordinates, k, resolve_threads(0)).astype(np.float32)
