"""Figures of the best trials: their latent spaces, and their first weights over epochs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import LatentkitError, PluginError
from latentkit.evaluation.inference import encode
from latentkit.figures.map_grids import Panel, map_grid
from latentkit.figures.weights import kernels_over_epochs
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.pipeline.pages.of_training import first_kernels
from latentkit.pipeline.studies.drawings import Missing, SearchedStudy
from latentkit.pipeline.studies.tables import number_text

MOST_RUNS = 6
_MAPS = "Latent spaces of the best trials"
_WEIGHTS = "First weights of the best trials"

Best = Mapping[int, RunContext]
"""The runs of the best trials by trial number, best first."""

Kernels = NDArray[np.float32]


def map_figures(study: SearchedStudy, best: Best, missing: Missing) -> list[Drawing]:
    """Return small maps of the validation latents of the best trials."""
    panels: list[Panel] = []
    names: tuple[str, ...] = ()
    for number, context in _readable(best, missing, _MAPS):
        try:
            panels.append(_panel(_trial_text(study, number), context))
            names = context.images("train").class_names
        except LatentkitError as error:
            missing[f"Latent space of trial {number}"] = str(error)
    if not panels:
        return []

    def draw() -> Drawn:
        title = f"{study.title}: latents of validation images"
        return map_grid(panels, names, title, "Best first."), ""

    return [Drawing("latents", _MAPS, draw)]


def weight_figures(study: SearchedStudy, best: Best, missing: Missing) -> list[Drawing]:
    """Return the first layers of the best trials, at each epoch whose weights were kept."""
    rows: list[tuple[str, Mapping[int, Kernels]]] = []
    for number, context in _readable(best, missing, _WEIGHTS):
        title = f"First weights of trial {number}"
        try:
            kernels = _kept_kernels(context)
        except LatentkitError as error:
            missing[title] = str(error)
            continue
        if kernels:
            rows.append((_trial_text(study, number), kernels))
        else:
            missing[title] = "its run kept no weights after epochs: set training.snapshots"
    if not rows:
        return []

    def draw() -> Drawn:
        return kernels_over_epochs(rows, f"{study.title}: weights of the first layer"), ""

    return [Drawing("weights", _WEIGHTS, draw)]


def _readable(best: Best, missing: Missing, title: str) -> Iterator[tuple[int, RunContext]]:
    """Yield the best few runs; if there are none, record why the figure is missing."""
    if not best:
        missing[title] = "there is no run of a completed trial"
    for number in list(best)[:MOST_RUNS]:
        yield number, best[number]


def _trial_text(study: SearchedStudy, number: int) -> str:
    trial = next((one for one in study.result.trials if one.number == number), None)
    if trial is None or trial.state != "complete":
        return f"trial {number}"
    values = ", ".join(number_text(goal.value(trial)) for goal in study.goals)
    return f"trial {number}: {values}"


def _panel(title: str, context: RunContext) -> Panel:
    """Return the map of a run's validation latents.

    Raises:
        LatentkitError: its model or its images cannot be loaded, or latents are not finite.
    """
    latents = encode(context.model, context.device_images("validation"))
    if not np.isfinite(latents).all():
        raise PluginError("the model's latents of the validation images are not all finite")
    labels = context.images("train").labels
    coordinates, note = in_two_dimensions(latents)
    own = None if labels is None else labels[context.split.validation]
    return Panel(title, note, coordinates, own)


def in_two_dimensions(latents: NDArray[np.float32]) -> tuple[NDArray[np.float64], str]:
    """Return latents (N, D) as coordinates (N, 2), and a note that says how they were made.

    One or two latents are used as they are. With more, the coordinates are the first two principal
    components. The sign of each component makes its largest loading positive.
    """
    values = latents.astype(np.float64)
    count = values.shape[1]
    if count <= 2:
        padded = np.zeros((len(values), 2))
        padded[:, :count] = values
        return padded, "the 2 latents themselves" if count == 2 else "the one latent, horizontally"
    centred = values - values.mean(axis=0)
    variances, axes = np.linalg.eigh(centred.T @ centred)  # in ascending order
    first = axes[:, :-3:-1]
    first *= np.sign(first[np.abs(first).argmax(axis=0), [0, 1]])
    kept = variances[-2:].sum() / (variances.sum() or 1.0)
    return centred @ first, f"PCA of {count} latents, {kept:.0%} of their variance"


def _kept_kernels(context: RunContext) -> dict[int, Kernels]:
    """Return the first layer's weights as kernels (K, C, h, w), by epoch.

    Raises:
        LatentkitError: weights cannot be read, or the model has no such layer.
    """
    found = {}
    for epoch, model in context.snapshots().items():
        kernels = first_kernels(model)
        if kernels is None:
            kernels = _first_dense(model, context.image_shape)
        if kernels is None:
            raise PluginError("its model begins with neither a convolution nor a dense layer")
        found[epoch] = kernels
    return found


def _first_dense(model: Any, image_shape: tuple[int, int, int]) -> Kernels | None:
    """Return the first matrix (K, D): as K images if its inputs are pixels, else as one image."""
    for tensor in model.parameters():
        if tensor.ndim == 2:
            matrix: Kernels = tensor.detach().float().cpu().contiguous().numpy()
            pixels = matrix.shape[1] == np.prod(image_shape)
            return matrix.reshape(-1, *image_shape) if pixels else matrix[None, None]
    return None
