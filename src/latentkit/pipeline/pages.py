"""The report stage: arrays of the run into figures, figures and figures' numbers into one page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.figures.history import loss_curves
from latentkit.figures.images import reconstruction_rows, sample_grid
from latentkit.figures.maps import map_scatter
from latentkit.figures.style import save_png
from latentkit.pipeline.context import (
    DATA,
    EVALUATION,
    HISTORY,
    REPORT,
    RunContext,
    map_paths,
)
from latentkit.pipeline.points import map_points, points_text
from latentkit.pipeline.summary import quality_line, summarise, summary_rows
from latentkit.plugin.protocols import Generative
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.targets import fault_of
from latentkit.report.page import Picture, Section, Table, render_page
from latentkit.runs.commit import write_bytes
from latentkit.runs.folder import CONFIG

_STAGE = "report"
_SHOWN = 10  # images in a row
_PRIOR_SAMPLES = 50


def report(context: RunContext) -> None:
    """Draw every figure of the run and write ``report.html``."""
    figures: list[tuple[str, str, Callable[[], tuple[Figure, str]]]] = [
        ("samples", "Input images", lambda: _samples(context)),
        ("reconstructions", "Original and reconstruction", lambda: _reconstructions(context)),
        ("loss", "Loss over epochs", lambda: _losses(context)),
    ]
    if isinstance(context.model, Generative):
        figures.append(("prior", "Samples from the prior", lambda: _prior(context)))
    for part in context.config.embeddings:
        draw = _drawer(context, part)
        title = f"{part.name} map of the {points_text(part.map)}"
        figures.append((f"map-{part.slug}", title, draw))
    pictures = [_picture(context, name, title, draw) for name, title, draw in figures]
    folder = context.folder
    summary = summarise(folder)
    facts = Table("", ("", "value"), summary_rows(summary))
    counts = summary["counts"]
    page = render_page(
        title=f"{summary['model']} on {summary['dataset']}",
        subtitle=(
            f"Run {folder.manifest.id}, {counts['train']:,} training, {counts['validation']:,} "
            f"validation and {counts['test']:,} test images"
        ),
        sections=[
            Section("Summary", tables=[facts]),
            Section("Figures", pictures=pictures),
        ],
        config_toml=folder.config_toml(),
        repeat_command=f"latentkit run --config {CONFIG}",
    )
    folder.commit(REPORT, _STAGE, lambda path: write_bytes(path, page.encode()))


def _picture(
    context: RunContext, name: str, title: str, draw: Callable[[], tuple[Figure, str]]
) -> Picture:
    figure, caption = draw()
    relative = f"figures/{name}.png"
    context.folder.commit(relative, _STAGE, lambda path: save_png(figure, path))
    return Picture(title, caption, (context.folder.path / relative).read_bytes(), key=name)


def _samples(context: RunContext) -> tuple[Figure, str]:
    images = context.images("train")
    title = f"{context.config.dataset.name}: training images"
    figure = sample_grid(images.images, images.labels, images.class_names, title)
    return figure, "The first training images of each class." if images.labels is not None else ""


def _reconstructions(context: RunContext) -> tuple[Figure, str]:
    rows, errors = reconstruction_example(context)
    corrupted = " from corrupted input" if context.corruption else ""
    title = f"{context.config.model.name}: test images and their reconstruction{corrupted}"
    figure = reconstruction_rows(rows, errors, title)
    return figure, "Below each reconstruction: its mean squared error a pixel to the original."


@torch.no_grad()
def reconstruction_example(
    context: RunContext,
) -> tuple[list[tuple[str, NDArray[Any]]], NDArray[np.float64]]:
    """Return rows of test images (original, corrupted if so, reconstruction) and their errors."""
    images = context.images("test")
    chosen = _one_of_each(images.labels, len(images))
    clean = context.device_images("test").batch(torch.from_numpy(chosen).to(context.device))
    inputs = context.evaluation_noise()(clean) if context.corruption else clean
    rebuilt = context.model.decode(context.model.encode(inputs)).float()
    rows = [("original", _array(clean))]
    if context.corruption:
        rows.append(("corrupted", _array(inputs)))
    rows.append(("reconstruction", _array(rebuilt)))
    errors = (rebuilt - clean).square().flatten(1).mean(1).double().cpu().numpy()
    return rows, errors


def _one_of_each(labels: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """Return rows to show: the first of each class, filled up with the first of all."""
    first = [] if labels is None else [int(np.argmax(labels == c)) for c in np.unique(labels)]
    rest = [row for row in range(min(n, 2 * _SHOWN)) if row not in first]
    return np.array([*first, *rest][: min(n, _SHOWN)])


def _array(images: torch.Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = images.cpu().contiguous().numpy()
    return array


def _losses(context: RunContext) -> tuple[Figure, str]:
    history = context.folder.json(HISTORY)["epochs"]
    title = f"{context.config.model.name} on {context.config.dataset.name}"
    figure = loss_curves(history, title)
    caption = (
        "Train: mean over the epoch's steps, while weights still move. Validation: after the epoch."
    )
    return figure, caption


def _prior(context: RunContext) -> tuple[Figure, str]:
    name = context.config.model.name
    generator = torch.Generator(context.device).manual_seed(stream_seed(context.seed, "prior"))
    with fault_of(f"model {name!r} failed to draw samples"):
        drawn = _array(context.model.sample(_PRIOR_SAMPLES, generator).float())
    figure = sample_grid(drawn, None, (), f"{name}: decoded draws from the prior")
    return figure, "No test image: latents drawn from the prior, and decoded."


def _drawer(context: RunContext, part: MapConfig) -> Callable[[], tuple[Figure, str]]:
    return lambda: _map(context, part)


def _map(context: RunContext, part: MapConfig) -> tuple[Figure, str]:
    folder = context.folder
    arrays_path, facts_path = map_paths(part)
    coordinates = folder.arrays(arrays_path)["coordinates"]
    points = map_points(folder, part.map, context.seed)
    facts = folder.json(facts_path)
    dimension = folder.json(EVALUATION)["latent_dim"]
    config = context.config
    title = (
        f"{part.name} of {len(coordinates):,} {points_text(part.map)} "
        f"({config.model.name}, {dimension} dimensions, {config.dataset.name})"
    )
    caption = quality_line(facts["quality"])
    figure = map_scatter(
        coordinates,
        points.labels,
        folder.json(DATA)["class_names"],
        title,
        caption,
        part.name,
    )
    return figure, caption
