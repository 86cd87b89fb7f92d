"""Figures of maps: points by class, images on the map, several maps side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray

from latentkit.config import MapConfig
from latentkit.evaluation.card_sentences import reading_text
from latentkit.evaluation.card_tables import quality_line
from latentkit.figures import class_points, style
from latentkit.figures.image_grids import pixels
from latentkit.figures.shown_images import displayed
from latentkit.maps.certainty_figures import advice_text, maps_side_by_side, neighbour_errors
from latentkit.maps.compare_maps import compare_maps
from latentkit.maps.make import made_maps, map_points, points_text
from latentkit.report.drawing import Drawing, Drawn
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.summary import map_facts

_NAME_SIZE = 8  # points
_OPAQUE, _PALE = 0.8, 0.12


def map_scatter(
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
    *,
    certainty: NDArray[np.floating[Any]] | None = None,
    islands: NDArray[np.integer[Any]] | None = None,
) -> Figure:
    """Draw a 2-D or 3-D map.

    Args:
        coordinates: (N, 2) or (N, 3).
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the map's quality.
        axis_name: label of each axis; the axis number is appended.
        certainty: (N,), 0 to 1; uncertain points are paler. None draws all alike.
        islands: (N,), from 0; numbers are written on a 2-D map from 1. None for none.
    """
    flat = coordinates.shape[1] == 2
    with style.house_style():
        figure = style.empty_figure(8.0, 6.0)
        axes: Any = figure.add_subplot(projection=None if flat else "3d")
        size = float(np.clip(2e4 / len(coordinates), 4, 28))
        groups = class_points.class_groups(labels, class_names, len(coordinates))
        alpha = _OPAQUE if certainty is None else _PALE + (_OPAQUE - _PALE) * certainty
        class_points.scatter_classes(axes, coordinates, groups, size, alpha=alpha)
        dress_map(axes, axis_name, flat)
        if flat and labels is not None:
            _name_classes(axes, coordinates, labels, class_names)
        if flat and islands is not None:
            _number_islands(axes, coordinates, islands)
        style.describe(figure, title, caption)
        if labels is not None:
            class_points.class_legend(figure, groups)
    return figure


def _name_classes(
    axes: Axes,
    coordinates: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_names: Sequence[str],
) -> None:
    """Write each class's name near its median point, without overlaps."""
    classes = np.unique(labels)
    if len(classes) > class_points.MOST_CLASSES:
        return
    names = [style.shown(class_names, int(label)) for label in classes]
    medians = np.array([np.median(coordinates[labels == label], axis=0) for label in classes])
    for name, (x, y) in zip(names, _spread(axes, names, medians), strict=True):
        axes.text(
            x,
            y,
            name,
            ha="center",
            va="center",
            fontsize=_NAME_SIZE,
            weight="bold",
            path_effects=[withStroke(linewidth=2.5, foreground="white")],
        )


def _number_islands(
    axes: Axes, coordinates: NDArray[np.floating[Any]], islands: NDArray[np.integer[Any]]
) -> None:
    """Write each island's number, from 1, at its point nearest to its median, if there are two."""
    count = int(islands.max()) + 1
    for island in range(count if count > 1 else 0):
        members = coordinates[islands == island]
        away = np.square(members - np.median(members, axis=0)).sum(1)
        axes.annotate(
            str(island + 1),
            members[away.argmin()],
            xytext=(0, -11),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=_NAME_SIZE - 1,
            color="white",
            bbox={"boxstyle": "round,pad=0.25", "fc": "#1d2430", "ec": "white", "lw": 0.6},
        )


def _spread(
    axes: Axes, names: Sequence[str], places: NDArray[np.floating[Any]]
) -> NDArray[np.floating[Any]]:
    """Move names (M,) at positions (M, 2) upwards until they no longer overlap.

    Returns:
        Positions (M, 2) in data coordinates.
    """
    axes.apply_aspect()
    to_pixels, to_data = axes.transData, axes.transData.inverted()
    pixel = axes.get_figure(root=True).dpi / 72  # type: ignore[union-attr]
    height = 1.25 * _NAME_SIZE * pixel
    widths = [0.68 * _NAME_SIZE * pixel * len(name) for name in names]
    pixels = to_pixels.transform(places)
    placed: list[int] = []
    for name in np.argsort(pixels[:, 1], kind="stable"):
        for other in placed:
            near = abs(pixels[name, 0] - pixels[other, 0]) < (widths[name] + widths[other]) / 2
            if near and abs(pixels[name, 1] - pixels[other, 1]) < height:
                pixels[name, 1] = pixels[other, 1] + height
        placed.append(int(name))
    return np.asarray(to_data.transform(pixels))


def dress_map(axes: Any, axis_name: str, flat: bool) -> None:
    """Label the axes of a map; give both axes of a 2-D map the same scale."""
    for number, letter in enumerate("xy" if flat else "xyz", 1):
        getattr(axes, f"set_{letter}label")(f"{axis_name} {number}".strip(), fontsize=9)
    axes.tick_params(labelsize=7, colors="#888888")
    if flat:
        axes.set_aspect("equal", adjustable="datalim")


_COLUMNS = 3
_PANEL = 2.9  # inches
_LEGEND = 1.8


@dataclass(frozen=True)
class Panel:
    """One small map.

    Args:
        title: text above it.
        note: text below it, such as the meaning of its axes.
        coordinates: (N, 2).
        labels: (N,) or None.
    """

    title: str
    note: str
    coordinates: NDArray[np.floating[Any]]
    labels: NDArray[np.integer[Any]] | None


def map_grid(
    panels: Sequence[Panel], class_names: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Draw maps side by side, with one legend for all of them.

    Args:
        panels: one map or more, all of the same images.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure.
    """
    columns = min(_COLUMNS, max(2, len(panels)))  # one column would be narrower than the title
    lines = -(-len(panels) // columns)
    with style.house_style():
        width = columns * _PANEL + (_LEGEND if panels[0].labels is not None else 0.2)
        figure = style.empty_figure(width, lines * (_PANEL + 0.2) + 0.6)
        grid = figure.subplots(lines, columns, squeeze=False).ravel()
        for axes, panel in zip(grid, panels, strict=False):
            count = len(panel.coordinates)
            groups = class_points.class_groups(panel.labels, class_names, count)
            size = float(np.clip(6e3 / count, 1.5, 14))
            class_points.scatter_classes(axes, panel.coordinates, groups, size, layers=4)
            axes.set_title(panel.title, fontsize=9)
            axes.set_xlabel(panel.note, fontsize=8, color="#555555")
            axes.set(xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
        for axes in grid[len(panels) :]:
            axes.set_visible(False)
        style.describe(figure, title, caption)
        if panels[0].labels is not None:
            class_points.class_legend(
                figure, class_points.class_groups(panels[0].labels, class_names, count)
            )
    return figure


def map_pair(
    before: NDArray[np.floating[Any]],
    after: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
) -> Figure:
    """Draw a map before and after on the same axes, and how the classes moved.

    The third panel has an arrow for each class, from its median before to its median after. Of
    three-dimensional maps, the first two dimensions are drawn.

    Args:
        before: (N, 2) or (N, 3).
        after: as ``before``, aligned to it.
        labels: (N,).
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the maps' quality.
        axis_name: label of each axis; the axis number is appended.
    """
    flat = [np.asarray(points)[:, :2] for points in (before, after)]
    with style.house_style():
        figure = style.empty_figure(13.5, 5.0)
        panels = figure.subplots(1, 3)
        groups = class_points.class_groups(labels, class_names, len(labels))
        size = float(np.clip(1e4 / len(labels), 3, 20))
        for axes, points, name in zip(panels, flat, ("before", "after"), strict=False):
            class_points.scatter_classes(axes, points, groups, size)
            axes.set_title(name, fontsize=10)
        panels[2].set_title("class medians, from before to after", fontsize=10)
        for points in flat:
            class_points.scatter_classes(panels[2], points, groups, size, layers=1, alpha=_PALE)
        _arrows(panels[2], flat[0], flat[1], labels)
        low, high = np.concatenate(flat).min(0), np.concatenate(flat).max(0)
        for axes in panels:  # panels of equal size with equal data limits show the same region
            axes.update_datalim([low, high])
            axes.autoscale_view()
            dress_map(axes, axis_name, flat=True)
        style.describe(figure, title, caption)
        class_points.class_legend(figure, groups)
    return figure


def _arrows(
    axes: Any,
    before: NDArray[np.floating[Any]],
    after: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]],
) -> None:
    classes = np.unique(labels)
    if len(classes) > class_points.MOST_CLASSES:
        return
    for label in classes:
        start, end = (np.median(points[labels == label], axis=0) for points in (before, after))
        colour, marker = style.class_style(int(label))
        axes.annotate(
            "",
            xy=end,
            xytext=start,
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#1d2430",
                "lw": 1.2,
                "shrinkA": 0,
                "shrinkB": 0,
            },
        )
        look: Any = {"marker": marker, "ls": "none"}
        edge = style.edge_colour(colour)
        axes.plot(*start, ms=class_points.marker_width(marker, 5), mfc="white", mec=edge, **look)
        axes.plot(*end, ms=class_points.marker_width(marker, 8), mfc=colour, mec="#1d2430", **look)


_SIZE = 11.5, 9.0  # inches
_PLOT = 8.0  # inches, approximate width of the map itself
_THUMBNAIL = 0.33  # inches, the longer side
_GAP = 1.08  # least distance of two thumbnails, in thumbnail sides


def map_thumbnails(
    coordinates: NDArray[np.floating[Any]],
    image: Callable[[int], NDArray[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
    axis_name: str = "",
) -> Figure:
    """Draw a 2-D map with as many thumbnails as fit without overlap.

    Args:
        coordinates: (N, 2).
        image: function from a row of the coordinates to its image (C, H, W), as stored or float
            in [0, 1]. Only images that are drawn are asked for, because all may not fit in memory.
        labels: (N,) or None; the frame of a thumbnail has the colour of its class.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure, such as the map's quality.
        axis_name: label of each axis; the axis number is appended.
    """
    low, high = coordinates.min(axis=0), coordinates.max(axis=0)
    unit = float((high - low).max()) / _PLOT or 1.0  # map units per inch
    height, width = image(0).shape[1:]
    sides = np.array([width, height]) / max(width, height) * _THUMBNAIL * unit
    chosen = _without_overlap(coordinates, sides * _GAP)
    with style.house_style():
        figure = style.empty_figure(*_SIZE)
        axes = figure.subplots()
        groups = class_points.class_groups(labels, class_names, len(coordinates))
        class_points.scatter_classes(axes, coordinates, groups, 5, alpha=0.5)
        for row in chosen:
            colour = style.PALETTE[0] if labels is None else style.class_style(int(labels[row]))[0]
            _lay(axes, coordinates[row], image(int(row)), sides, colour)
        axes.autoscale_view()
        dress_map(axes, axis_name, flat=True)
        said = f"{len(chosen):,} of {len(coordinates):,} images are shown, each at its own point."
        style.describe(figure, title, f"{caption.rstrip('. ')}. {said}" if caption else said)
        if labels is not None:
            class_points.class_legend(figure, groups)
    return figure


def _without_overlap(
    points: NDArray[np.floating[Any]], sides: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return rows of points (N, 2), chosen in random order, whose boxes do not overlap."""
    placed = np.full((len(points), 2), np.inf)
    rows: list[int] = []
    for row in np.random.default_rng(0).permutation(len(points)):
        apart = np.abs(placed[: len(rows)] - points[row]) >= sides
        if apart.any(axis=1).all():
            placed[len(rows)] = points[row]
            rows.append(int(row))
    return np.array(rows, dtype=np.int64)


def _lay(
    axes: Any,
    centre: NDArray[np.floating[Any]],
    image: NDArray[Any],
    sides: NDArray[np.floating[Any]],
    colour: str,
) -> None:
    left, bottom = centre - sides / 2
    right, top = centre + sides / 2
    drawn = AxesImage(
        axes, cmap="gray", interpolation="nearest", extent=(left, right, bottom, top), zorder=3
    )
    drawn.set_data(pixels(image))
    drawn.set_clim(0, 1)
    axes.add_image(drawn)
    axes.add_patch(
        Rectangle((left, bottom), *sides, fill=False, edgecolor=colour, linewidth=1.2, zorder=4)
    )


def map_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of each map that was made, and one of all maps.

    Each has a scatter plot and its wrong neighbours; maps in 2-D are also drawn with images.
    """
    parts = made_maps(context)
    found = []
    if parts:
        found.append(Drawing("maps", "All maps side by side", partial(_side_by_side, context)))
    for part in parts:
        title = f"{part.name} map of the {points_text(part.map)}"
        found.append(Drawing(f"map-{part.slug}", title, partial(_map, context, part)))
        arrays = context.folder.arrays(run_files.map_paths(part)[0])
        if arrays["coordinates"].shape[1] == 2:
            draw = partial(_thumbnails, context, part)
            found.append(Drawing(f"map-{part.slug}-images", f"{title}, with images", draw))
        draw = partial(_wrong_neighbours, context, part)
        found.append(Drawing(f"map-{part.slug}-errors", f"{title}: wrong neighbours", draw))
    return found


def _side_by_side(context: StageContext) -> Drawn:
    found = compare_maps(map_facts(context.folder), made_maps(context), None, "latents")
    caption = advice_text(found)
    title = f"Maps of {context.config.model.name} on {context.config.dataset.name}"
    return maps_side_by_side(found["maps"], title, caption), caption


def point_certainty(arrays: Mapping[str, NDArray[Any]]) -> NDArray[np.float64] | None:
    """Return how certain each point (N,) of a map is, 0 to 1; None if that was not measured.

    It is 1 for a point that moves by at most a tenth of the map's size in refits, and 0 for half of
    it. Without refits, it is 1 for a trustworthiness of 0.95 and more, and 0 for 0.6. Points that
    were not measured are as certain as the median.

    Args:
        arrays: the arrays of a map.
    """
    if "spread" in arrays:
        found = (_MOVED[1] - arrays["spread"].astype(np.float64)) / (_MOVED[1] - _MOVED[0])
    elif "trustworthiness" in arrays:
        found = (arrays["trustworthiness"] - _TRUST[0]) / (_TRUST[1] - _TRUST[0])
    else:
        return None
    known = np.isfinite(found)
    if not known.any():
        return None
    return np.clip(np.where(known, found, np.median(found[known])), 0.0, 1.0)


_MOVED = 0.1, 0.5
_TRUST = 0.6, 0.95


def pale_text(arrays: Mapping[str, NDArray[Any]]) -> str:
    """Return a sentence that says which points are drawn pale."""
    if "spread" in arrays:
        return "Pale points move when the map is fitted again."
    if "trustworthiness" in arrays:
        return "The neighbours of pale points are not their neighbours in the latents."
    return ""


def _map(context: StageContext, part: MapConfig) -> Drawn:
    arrays = context.folder.arrays(run_files.map_paths(part)[0])
    points = map_points(context.folder, part.map, context.seed)
    caption = f"{_caption(context, part)} {pale_text(arrays)}"
    figure = map_scatter(
        arrays["coordinates"],
        points.labels,
        context.folder.json(run_files.DATA)["class_names"],
        _title(context, part, len(points.index)),
        caption,
        part.name,
        certainty=point_certainty(arrays),
        islands=arrays.get("island"),
    )
    return figure, caption


def _wrong_neighbours(context: StageContext, part: MapConfig) -> Drawn:
    coordinates = context.folder.arrays(run_files.map_paths(part)[0])["coordinates"]
    points = map_points(context.folder, part.map, context.seed)
    caption = (
        "The worst pairs among each point's 10 nearest, by distance in times the distance to the "
        "10th nearest. A sample: other points have wrong neighbours, too."
    )
    title = f"Wrong neighbours: {_title(context, part, len(coordinates))}"
    return neighbour_errors(points.latents, coordinates, title, caption), caption


def _thumbnails(context: StageContext, part: MapConfig) -> Drawn:
    arrays = context.folder.arrays(run_files.map_paths(part)[0])
    points = map_points(context.folder, part.map, context.seed)

    def image(row: int) -> NDArray[Any]:
        of_test = run_files.SPLITS[points.split[row]] == "test"
        stored = context.images("test" if of_test else "train")
        return displayed(np.asarray(stored.images[points.index[row]]), stored.display_channels)

    caption = _caption(context, part)
    figure = map_thumbnails(
        arrays["coordinates"],
        image,
        points.labels,
        context.folder.json(run_files.DATA)["class_names"],
        _title(context, part, len(points.index)),
        caption,
        part.name,
    )
    return figure, caption


def _title(context: StageContext, part: MapConfig, count: int) -> str:
    dimension = context.folder.json(run_files.EVALUATION)["latent_dim"]
    config = context.config
    return (
        f"{part.name} of {count:,} {points_text(part.map)} "
        f"({config.model.name}, {dimension} dimensions, {config.dataset.name})"
    )


def _caption(context: StageContext, part: MapConfig) -> str:
    facts = context.folder.json(run_files.map_paths(part)[1])
    quality = facts["quality"]
    return f"{reading_text(facts)} {quality_line(quality)}."
