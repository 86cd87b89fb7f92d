"""Figures of maps: points by class, and images on the map."""

from __future__ import annotations

from functools import partial

import numpy as np

from latentkit.config import MapConfig
from latentkit.figures.maps import map_scatter
from latentkit.figures.thumbnails import map_thumbnails
from latentkit.pipeline.context import DATA, EVALUATION, SPLITS, RunContext, map_paths
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.pipeline.points import map_points, points_text
from latentkit.pipeline.summary import quality_line


def map_figures(context: RunContext) -> list[Drawing]:
    """Return a scatter plot of each map; two-dimensional maps are also drawn with images."""
    found = []
    for part in context.config.embeddings:
        title = f"{part.name} map of the {points_text(part.map)}"
        found.append(Drawing(f"map-{part.slug}", title, partial(_map, context, part)))
        arrays = context.folder.arrays(map_paths(part)[0])
        if arrays["coordinates"].shape[1] == 2:
            draw = partial(_thumbnails, context, part)
            found.append(Drawing(f"map-{part.slug}-images", f"{title}, with images", draw))
    return found


def _map(context: RunContext, part: MapConfig) -> Drawn:
    coordinates = context.folder.arrays(map_paths(part)[0])["coordinates"]
    points = map_points(context.folder, part.map, context.seed)
    caption = _caption(context, part)
    figure = map_scatter(
        coordinates,
        points.labels,
        context.folder.json(DATA)["class_names"],
        _title(context, part, len(coordinates)),
        caption,
        part.name,
    )
    return figure, caption


def _thumbnails(context: RunContext, part: MapConfig) -> Drawn:
    arrays = context.folder.arrays(map_paths(part)[0])
    points = map_points(context.folder, part.map, context.seed)
    images = np.empty((len(points.index), *context.images("test").image_shape), np.uint8)
    for code, split in enumerate(SPLITS):
        own = points.split == code
        if own.any():
            source = context.images("test" if split == "test" else "train").images
            images[own] = source[points.index[own]]
    caption = _caption(context, part)
    figure = map_thumbnails(
        arrays["coordinates"],
        images,
        points.labels,
        context.folder.json(DATA)["class_names"],
        _title(context, part, len(images)),
        caption,
        part.name,
    )
    return figure, caption


def _title(context: RunContext, part: MapConfig, count: int) -> str:
    dimension = context.folder.json(EVALUATION)["latent_dim"]
    config = context.config
    return (
        f"{part.name} of {count:,} {points_text(part.map)} "
        f"({config.model.name}, {dimension} dimensions, {config.dataset.name})"
    )


def _caption(context: RunContext, part: MapConfig) -> str:
    return quality_line(context.folder.json(map_paths(part)[1])["quality"])
