"""Figures of exploration: traversals, grids, interpolations, samples and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.atomic import write_atomically
from latentkit.errors import LatentkitError, UserError
from latentkit.explore.compare_models import Settings
from latentkit.explore.explored_run import ExploredRun
from latentkit.explore.overview import overview
from latentkit.explore.samples import Arithmetic, Samples, TrainingNeighbours
from latentkit.explore.traversals import Interpolation, ManifoldGrid, Traversals
from latentkit.figures.class_points import class_groups, class_legend, scatter_classes
from latentkit.figures.image_grids import image_table, in_colour, wrapped
from latentkit.figures.style import empty_figure, house_style, save_png, save_svg, shown
from latentkit.plugin.images import as_floats
from latentkit.report.drawing import Drawing, Drawn
from latentkit.runs.context import StageContext, no_decoder_text
from latentkit.runs.folder import RunFolder

_POINTS = 3000
_POINT = 14  # square points
_GAP = 1.2  # points between tiles


def traversal_table(
    images: NDArray[np.floating[Any]],
    sigmas: NDArray[np.floating[Any]],
    row_names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a row of images for each latent dimension.

    Args:
        images: (M, S, C, H, W), in [0, 1].
        sigmas: (S,), value of the dimension in each column, in standard deviations.
        row_names: (M,), names of the dimensions.
        title: figure title.
        caption: text below the figure.
    """
    heads = [f"{sigma:+.3g}σ" if sigma else "0" for sigma in np.round(sigmas, 6)]
    return image_table(images, row_names, heads, title, caption=caption)


def manifold_figure(
    images: NDArray[np.floating[Any]],
    x: NDArray[np.floating[Any]],
    y: NDArray[np.floating[Any]],
    axis_names: tuple[str, str],
    points: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a decoded plane, and the same plane with latents drawn over it.

    Args:
        images: (R, K, C, H, W), in [0, 1]; ``y`` increases upwards.
        x: (K,), positions of the columns, in latent units.
        y: (R,), positions of the rows, in latent units.
        axis_names: names of the plane's two axes.
        points: (N, 2), latents in the plane's coordinates.
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
        caption: text below the figure.
    """
    canvas = np.concatenate(
        [np.concatenate([in_colour(image) for image in row], axis=1) for row in images[::-1]]
    )
    half = [(axis[1] - axis[0]) / 2 for axis in (x, y)]
    extent = (x[0] - half[0], x[-1] + half[0], y[0] - half[1], y[-1] + half[1])
    with house_style():
        figure = empty_figure(11.5, 5.6)
        panels = figure.subplots(1, 2, sharex=True, sharey=True)
        for axes, shades in zip(panels, (canvas, _pale(canvas)), strict=True):
            axes.imshow(shades, extent=extent, interpolation="nearest", aspect="auto")
            _part(axes, x, y)
            axes.set_box_aspect(1)
            axes.set_xlabel(f"{axis_names[0]}, latent units", fontsize=9)
            axes.tick_params(labelsize=7, colors="#888888")
        panels[0].set_ylabel(f"{axis_names[1]}, latent units", fontsize=9)
        rows = _drawn(points, np.array(extent))
        own = None if labels is None else labels[rows]
        groups = class_groups(own, class_names, len(rows))
        scatter_classes(panels[1], points[rows], groups, _POINT)
        panels[0].set_title("decoded", fontsize=10)
        panels[1].set_title(f"with {len(rows):,} of {len(points):,} test latents", fontsize=10)
        panels[1].set(xlim=extent[:2], ylim=extent[2:])
        if labels is not None:
            class_legend(figure, groups)
        figure.suptitle(title, x=0.01, ha="left", fontsize=12)
        if caption:
            figure.supxlabel(wrapped(caption, 11.5), x=0.01, ha="left", fontsize=8, color="#555555")
    return figure


def _part(axes: Axes, x: NDArray[np.floating[Any]], y: NDArray[np.floating[Any]]) -> None:
    """Draw thin white lines between the tiles centred at x (K,) and y (R,)."""
    for places, line in ((x, axes.axvline), (y, axes.axhline)):
        for place in (places[1:] + places[:-1]) / 2:
            line(place, color="white", lw=_GAP, zorder=0.5)


def _drawn(
    points: NDArray[np.floating[Any]], extent: NDArray[np.floating[Any]]
) -> NDArray[np.int64]:
    """Return the rows of the points within the axes, evenly thinned to at most `_POINTS`."""
    low, high = extent[::2], extent[1::2]
    inside = np.flatnonzero(((points >= low) & (points <= high)).all(axis=1))
    few = np.unique(np.linspace(0, len(inside) - 1, min(_POINTS, len(inside))).astype(int))
    return np.asarray(inside[few], np.int64)


def _pale(canvas: NDArray[np.floating[Any]]) -> NDArray[np.floating[Any]]:
    """Return a pale canvas (H, W, 3) to draw points on; invert grey images that are mostly dark."""
    grey = (canvas == canvas[..., :1]).all()
    return 1 - 0.3 * (canvas if grey and canvas.mean() < 0.5 else 1 - canvas)


_STAGE = "pictures"
_PER_ROW = 10
_ITEMS, _NEAREST = 6, 5  # test images, and training images shown for each
_NAME_WIDTH = 26
TITLES = {
    "traversal": "Along each dimension",
    "grid": "A plane of the latents, decoded",
    "interpolate": "From one image to another",
    "samples": "Decoded samples",
    "arithmetic": "Difference of two classes",
    "neighbours": "Nearest training images of samples",
    "settings": "The same images under several runs",
}
"""Heading of each view on a page."""
WRITERS = {".png": save_png, ".svg": save_svg}


def traversal_figure(run: ExploredRun, found: Traversals, item: int | None) -> Figure:
    """Draw traversals from a test item, or from the mean training latent if it is None."""
    start = "the mean training latent" if item is None else item_text(run, item)
    unit = found.weight_name
    names = [
        f"latent {dimension}\n{unit.partition(' ')[0]} {weight:.3g}"
        + ("" if item is None else f"\nitem at {at:+.2g}σ")
        for dimension, weight, at in zip(
            found.dimensions, found.weights, found.start[found.dimensions], strict=True
        )
    ]
    caption = (
        f"From {start}: each row changes one latent dimension and keeps the others. The columns "
        f"give its value in standard deviations of the training latents from their mean. Sorted "
        f"by {unit}; {len(names)} of {len(found.start)} dimensions."
    )
    title = f"{_model(run)}: latent traversals"
    return traversal_table(found.images, found.sigmas, names, title, caption)


def grid_figure(run: ExploredRun, found: ManifoldGrid) -> Figure:
    """Draw a decoded plane with the test latents on top."""
    flat = found.latents.shape[-1] == 2
    rest = "" if flat else " Test latents are projected onto the plane from any distance."
    return manifold_figure(
        found.images,
        found.x,
        found.y,
        found.names,
        found.points,
        run.labels() if run.labelled else None,
        run.class_names,
        f"{_model(run)}: a plane of the latents, decoded",
        f"On each axis, the grid spans the middle 98 % of the test latents.{rest}",
    )


def interpolation_figure(
    run: ExploredRun, found: Sequence[Interpolation], items: tuple[int, int]
) -> Figure:
    """Draw one or several paths between two test items, with the originals at the ends.

    If the images cannot be loaded, the originals are left out.
    """
    cells = np.stack([walk.images for walk in found])
    heads = [f"{share:.0%}" for share in found[0].positions]
    try:
        originals = run.images(np.array(items))
    except LatentkitError:
        originals = None
    if originals is not None:
        ends = np.full((2, len(found), *originals.shape[1:]), np.nan, np.float32)
        ends[:, 0] = originals
        cells = np.concatenate([ends[0][:, None], cells, ends[1][:, None]], axis=1)
        heads = ["original", *heads, "original"]
    names = [
        f"{walk.way}\nlength {walk.length:.3g}"
        + (f"\n{len(walk.through)} latents, k={walk.n_neighbors}" if walk.way == "graph" else "")
        for walk in found
    ]
    first, last = (item_text(run, item) for item in items)
    caption = (
        f"From {first} to {last}, in even steps. The length of each path is in latent units. "
        f"Graph: the shortest path over training latents, each connected to its k nearest; the "
        f"row gives the number of latents on the path."
    )
    kept = caption if any(walk.way == "graph" for walk in found) else caption.partition(" Graph")[0]
    return image_table(cells, names, heads, f"{_model(run)}: interpolation", caption=kept)


def samples_figure(run: ExploredRun, found: Sequence[Samples]) -> Figure:
    """Draw samples, starting a new row for each source."""
    rows, names = [], []
    for samples in found:
        for start in range(0, len(samples.images), _PER_ROW):
            row = np.full((_PER_ROW, *samples.images.shape[1:]), np.nan, np.float32)
            piece = samples.images[start : start + _PER_ROW]
            row[: len(piece)] = piece
            rows.append(row)
            names.append(samples.source.partition(" of ")[0] if start == 0 else "")
    sources = "; ".join(f"{len(samples.images)} from the {samples.source}" for samples in found)
    return image_table(
        np.stack(rows),
        names,
        [""] * _PER_ROW,
        f"{_model(run)}: decoded samples",
        caption=f"None of these is a test image: {sources}.",
    )


def arithmetic_figure(
    run: ExploredRun, found: Arithmetic, item: int, plus: str, minus: str
) -> Figure:
    """Draw an item with multiples of the difference of two classes added to its latent."""
    cells = np.concatenate([found.mean_images[::-1], found.images])[None]
    heads = [f"mean of\n{minus}", f"mean of\n{plus}"]
    heads += [f"+ {amount:.3g} ×" if amount else "item" for amount in found.amounts]
    return image_table(
        cells,
        [""],
        heads,
        f"{_model(run)}: {item_text(run, item)} + {plus} − {minus}",
        caption=(
            f"The mean training latent of {plus} minus that of {minus}, multiplied by the number "
            f"above each image, is added to the item's latent and decoded."
        ),
    )


def neighbours_figure(run: ExploredRun, found: TrainingNeighbours, names: Sequence[str]) -> Figure:
    """Draw items beside their nearest training images, by latents and by pixels."""
    count, k = found.in_latents.rows.shape
    gap = np.full((count, 1, *found.images.shape[1:]), np.nan, np.float32)
    sides = [as_floats(images) for images in (found.latent_images, found.pixel_images)]
    cells = np.concatenate([found.images[:, None], sides[0], gap, sides[1]], axis=1)
    heads = ["", *_ordinals("latents", k), "", *_ordinals("pixels", k)]
    near, pixel = found.in_latents, found.in_pixels
    notes = [
        ["", *(f"{d:.3g}" for d in a), "", *(f"{d:.3g}" for d in b)]
        for a, b in zip(near.distances, pixel.distances, strict=True)
    ]
    rows = [
        f"{name}\nlatents {a:.2f}×\npixels {b:.2f}×"
        for name, a, b in zip(names, near.ratios, pixel.ratios, strict=True)
    ]
    caption = (
        f"Below each training image: its Euclidean distance. Left: the distance to the nearest, "
        f"divided by the median for test items ({near.typical:.3g} in latents, "
        f"{pixel.typical:.3g} in pixels). A value far below 1× in both means a copy."
    )
    if found.n_searched < found.n_training:
        caption += (
            f" Pixels were compared with {found.n_searched:,} of {found.n_training:,} training "
            f"images, drawn at random."
        )
    title = f"{_model(run)}: nearest training images"
    return image_table(cells, rows, heads, title, notes=notes, caption=caption)


def settings_figure(run: ExploredRun, found: Settings, items: Sequence[int]) -> Figure:
    """Draw test items above their reconstructions by several runs."""
    cells = np.concatenate([found.originals[None], found.images])
    means = found.errors.mean(axis=1)
    wrapped = ["\n".join(wrap(name, _NAME_WIDTH, break_on_hyphens=False)) for name in found.names]
    names = ["original", *(f"{n}\nmean {m:.4f}" for n, m in zip(wrapped, means, strict=True))]
    notes = [[""] * len(items), *([f"{e:.4f}" for e in row] for row in found.errors)]
    dataset = run.context.config.dataset.name
    return image_table(
        cells,
        names,
        [f"test {item}" for item in items],
        f"{dataset}: the same items under different settings",
        notes=notes,
        caption="Below each reconstruction: its mean squared error per pixel.",
    )


def item_text(run: ExploredRun, row: int) -> str:
    """Return a test item's number as text, with its class if the data set has labels."""
    if not run.labelled:
        return f"test item {row}"
    return f"test item {row} ({shown(run.class_names, int(run.labels()[row]))})"


def write_figure(figure: Figure, path: Path) -> list[Path]:
    """Write a figure in the format of the path's suffix, or as both PNG and SVG without a suffix.

    Raises:
        UserError: the suffix is unknown.
    """
    if path.suffix and path.suffix not in WRITERS:
        raise UserError(f"{path}: a figure's file name must end in {' or '.join(WRITERS)}")
    chosen = [path.suffix] if path.suffix else list(WRITERS)
    paths = [path if path.suffix else path.with_name(f"{path.name}{suffix}") for suffix in chosen]
    for target in paths:
        write_atomically(target, partial(WRITERS[target.suffix], figure))
    return paths


def keep_figure(folder: RunFolder, name: str, figure: Figure) -> list[Path]:
    """Commit a figure to a run's folder, as PNG and as SVG.

    Raises:
        LockedError: another process is writing to the run's folder.
    """
    relatives = [f"figures/{name}{suffix}" for suffix in WRITERS]
    with folder.writing():
        for relative, write in zip(relatives, WRITERS.values(), strict=True):
            folder.commit(relative, _STAGE, partial(write, figure))
        folder.manifest.write(folder.path)
    return [folder.path / relative for relative in relatives]


def _ordinals(where: str, k: int) -> list[str]:
    return [f"{where} 1", *(str(number) for number in range(2, k + 1))]


def _model(run: ExploredRun) -> str:
    config = run.context.config
    dimension = run.latents().shape[1]
    return f"{config.model.name} on {config.dataset.name}, {dimension} latents"


def exploration_figures(context: StageContext) -> list[Drawing]:
    """Return the figures that ``latentkit explore`` draws by default, if the run allows them."""
    run = ExploredRun(context, context.model)
    if not run.has_decoder:
        return _without_decoder(run)
    found = overview(run)
    a, b = found.items
    drawings = []
    if found.traversals is not None:
        draw = partial(traversal_figure, run, found.traversals, a)
        drawings.append(_drawing("traversal", TITLES["traversal"], draw))
    if found.grid is not None:
        draw = partial(grid_figure, run, found.grid)
        drawings.append(_drawing("grid", TITLES["grid"], draw))
    if found.interpolations:
        draw = partial(interpolation_figure, run, found.interpolations, found.items)
        drawings.append(_drawing("interpolation", TITLES["interpolate"], draw))
    if found.samples:
        draw = partial(samples_figure, run, found.samples)
        drawings.append(_drawing("samples", TITLES["samples"], draw))
    if found.arithmetic is not None:
        plus, minus = (shown(run.class_names, int(run.labels()[row])) for row in (b, a))
        draw = partial(arithmetic_figure, run, found.arithmetic, a, plus, minus)
        drawings.append(_drawing("arithmetic", TITLES["arithmetic"], draw))
    if found.neighbours is not None:
        names = [f"sample {number}" for number in range(len(found.neighbours.images))]
        draw = partial(neighbours_figure, run, found.neighbours, names)
        drawings.append(_drawing("neighbours", TITLES["neighbours"], draw))
    return drawings


def _without_decoder(run: ExploredRun) -> list[Drawing]:
    """Return the figure of the nearest training images, and the others as absent ones."""
    rows = np.arange(min(_ITEMS, len(run.latents())))
    if run.labelled:
        rows = np.unique(run.labels(), return_index=True)[1][:_ITEMS]

    def draw() -> Figure:
        found = run.neighbours(run.images(rows), run.latents()[rows], _NEAREST, decoded=False)
        return neighbours_figure(run, found, [item_text(run, int(row)) for row in rows])

    why = no_decoder_text(run.context)
    absent = [
        Drawing(f"explored-{name}", TITLES[name], lambda: (draw(), ""), why)
        for name in TITLES
        if name not in ("neighbours", "settings")
    ]
    return [_drawing("neighbours", "Nearest training images of test images", draw), *absent]


def _drawing(name: str, title: str, draw: Callable[[], Figure]) -> Drawing:
    def drawn() -> Drawn:
        return draw(), ""  # these figures contain their caption

    return Drawing(f"explored-{name}", title, drawn)
