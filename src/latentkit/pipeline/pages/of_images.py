"""Figures of images: samples, reconstructions, their errors, and draws from the prior."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.figures.errors import class_bars, error_histogram, robustness_curve
from latentkit.figures.images import reconstruction_rows, sample_grid
from latentkit.pipeline.context import EVALUATION, FIGURES_OF_IMAGES, RunContext
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.plugin.protocols import Generative, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.targets import fault_of

_SHOWN = 10  # images in a row
_EXTREMES = 6  # best images, and as many worst images
_PRIOR_SAMPLES = 50


def data_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of the input images."""
    return [Drawing("samples", "Input images", lambda: _samples(context))]


def reconstruction_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of reconstructions, their errors and samples from the prior."""
    card = context.folder.json(EVALUATION)
    found = [
        Drawing(
            "reconstructions", "Original and reconstruction", lambda: _reconstructions(context)
        ),
        Drawing("errors", "Smallest and largest errors", lambda: _errors(context)),
    ]
    if "classes" in card:
        found.append(Drawing("classes", "Error of each class", lambda: _classes(context)))
    if "robustness" in card:
        found.append(Drawing("robustness", "Error over corruption", lambda: _robustness(context)))
    if provides(context.model, Generative):
        found.append(Drawing("prior", "Samples from the prior", lambda: _prior(context)))
    return found


def _samples(context: RunContext) -> Drawn:
    images = context.images("train")
    title = f"{context.config.dataset.name}: training images"
    figure = sample_grid(images.images, images.labels, images.class_names, title)
    return figure, "The first training images of each class." if images.labels is not None else ""


def _reconstructions(context: RunContext) -> Drawn:
    rows, errors = reconstruction_example(context)
    corrupted = " from corrupted input" if context.corruption else ""
    title = f"{context.config.model.name}: test images and their reconstruction{corrupted}"
    figure = reconstruction_rows(rows, errors, title)
    return figure, "Below each reconstruction: its mean squared error per pixel."


def reconstruction_example(
    context: RunContext,
) -> tuple[list[tuple[str, NDArray[Any]]], NDArray[np.float64]]:
    """Return rows of test images, and the mean squared error of each reconstruction.

    The rows are originals, corrupted images if the run corrupts its inputs, and reconstructions.
    """
    images = context.images("test")
    clean, inputs, rebuilt = rebuild(context, one_of_each(images.labels, len(images)))
    rows = [("original", as_array(clean))]
    if context.corruption:
        rows.append(("corrupted", as_array(inputs)))
    rows.append(("reconstruction", as_array(rebuilt)))
    errors = (rebuilt - clean).square().flatten(1).mean(1).double().cpu().numpy()
    return rows, errors


@torch.no_grad()
def rebuild(
    context: RunContext, rows: NDArray[np.int64], *, corrupted: bool = True, model: Any = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return test images, the model's inputs and its reconstructions, each (B, C, H, W).

    Args:
        context: the run.
        rows: indices (B,) of the test images.
        corrupted: whether to apply the run's corruption, if it has one, to the inputs.
        model: the model to use; None for the run's own.
    """
    model = model or context.model
    clean = context.device_images("test").batch(torch.from_numpy(rows).to(context.device))
    noise = context.corruption and corrupted
    inputs = context.evaluation_noise()(clean) if noise else clean
    return clean, inputs, model.decode(model.encode(inputs)).float()


def as_array(images: torch.Tensor) -> NDArray[np.float32]:
    """Return images as a C-ordered NumPy array."""
    array: NDArray[np.float32] = images.cpu().contiguous().numpy()
    return array


def one_of_each(labels: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """Return up to 10 rows: the first image of each class, then the first other images."""
    first = [] if labels is None else [int(np.argmax(labels == c)) for c in np.unique(labels)]
    rest = [row for row in range(min(n, 2 * _SHOWN)) if row not in first]
    return np.array([*first, *rest][: min(n, _SHOWN)])


def _errors(context: RunContext) -> Drawn:
    errors = context.folder.arrays(FIGURES_OF_IMAGES)["mse"]
    order = np.argsort(errors, kind="stable")
    shown = min(_EXTREMES, len(errors) // 2)
    best, worst = order[:shown], order[::-1][:shown]
    clean, _, rebuilt = rebuild(context, np.concatenate([best, worst]), corrupted=False)
    images, made = as_array(clean), as_array(rebuilt)
    figure = error_histogram(
        errors,
        images[:shown],
        made[:shown],
        errors[best],
        images[shown:],
        made[shown:],
        errors[worst],
        f"{context.config.model.name}: reconstruction error of {len(errors):,} test images",
    )
    return figure, "Images with the smallest and the largest errors, above their reconstructions."


def _classes(context: RunContext) -> Drawn:
    classes = context.folder.json(EVALUATION)["classes"]
    figure = class_bars(
        np.array([[one["mse"][key] for key in ("value", "low", "high")] for one in classes]),
        np.array([one["pca_mse"]["value"] for one in classes]),
        [one["class"] for one in classes],
        f"{context.config.model.name}: test error by class",
    )
    return figure, "Bars: errors with 95 % intervals. Marks: PCA with as many dimensions."


def _robustness(context: RunContext) -> Drawn:
    found = context.folder.json(EVALUATION)["robustness"]
    points = found["points"]
    kinds = points[0]["strengths"]
    alone = len(kinds) == 1
    name = f"{kinds[0]['corruption']}: {kinds[0]['option']}" if alone else "times the strength"

    def figures(key: str) -> NDArray[np.float64]:
        return np.array([[point[key][end] for end in ("value", "low", "high")] for point in points])

    def strength(point: dict[str, Any]) -> float:
        return float(point["strengths"][0]["value"] if alone else point["factor"])

    trained = next(strength(point) for point in points if point["factor"] == 1.0)
    figure = robustness_curve(
        np.array([strength(point) for point in points]),
        figures("mse"),
        figures("mse_of_corrupted"),
        name,
        f"{context.config.model.name}: error over the strength of the corruption",
        trained,
    )
    return figure, f"Errors against the clean images, over {found['n_images']:,} test images."


def _prior(context: RunContext) -> Drawn:
    name = context.config.model.name
    generator = torch.Generator(context.device).manual_seed(stream_seed(context.seed, "prior"))
    with fault_of(f"model {name!r} failed to draw samples"):
        sampled = as_array(context.model.sample(_PRIOR_SAMPLES, generator).float())
    figure = sample_grid(sampled, None, (), f"{name}: decoded draws from the prior")
    return figure, "These are not test images: the latents are drawn from the prior and decoded."
