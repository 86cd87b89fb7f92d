"""Figures of the latent space: pairs of dimensions, the code of one image, KL per dimension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.figures.class_points import Group, class_groups, class_legend, scatter_classes
from latentkit.figures.image_grids import bare, show_image
from latentkit.figures.shown_images import unit_range
from latentkit.figures.style import PALETTE, bins, describe, empty_figure, house_style

_MOST_DIMENSIONS = 6
_MOST_POINTS = 4000  # in a panel
_PANEL = 1.7  # inches
_LEGEND = 2.0  # inches
_LEGEND_LINE = 0.2
_NUMBERED = 32  # with more bars, their numbers do not fit
_GREY = "#94a4a2"
_PALE = "#dde1e5"  # grid lines behind points


def latent_scatter(
    latents: NDArray[np.floating[Any]],
    labels: NDArray[np.integer[Any]] | None,
    class_names: Sequence[str],
    title: str,
) -> Figure:
    """Draw latents for each pair of dimensions, and a histogram of each dimension.

    Latents of three dimensions are also drawn in 3-D. Of more than four dimensions, the six with
    the largest variance are drawn.

    Args:
        latents: (N, D).
        labels: (N,) or None.
        class_names: name of each label.
        title: figure title.
    """
    count, dimensions = latents.shape
    chosen, said = _dimensions(latents)
    rows = np.unique(np.linspace(0, count - 1, min(_MOST_POINTS, count)).astype(int))
    few = latents[rows]
    groups = class_groups(labels, class_names, count)
    few_groups = class_groups(None if labels is None else labels[rows], class_names, len(rows))
    size = float(np.clip(6e3 / len(rows), 2, 14))
    side = len(chosen) * _PANEL
    with house_style():
        beside = max(side, 4.5) if dimensions == 3 else 0.0
        height = max(side, 3.2, len(groups) * _LEGEND_LINE + 0.3) + 0.6
        figure = empty_figure(max(side, 4.0) + beside + _LEGEND, height)
        n = len(chosen)
        grid = figure.add_gridspec(n, 2 * n if beside else n)
        for row in range(n):
            for column in range(row + 1):
                axes = figure.add_subplot(grid[row, column])
                if row == column:
                    _histogram(axes, latents[:, chosen[row]], groups)
                else:
                    pair = few[:, [chosen[column], chosen[row]]]
                    scatter_classes(axes, pair, few_groups, size, layers=4)
                _dress_panel(axes, row, column, chosen)
        if beside:
            with mpl.rc_context({"grid.color": _PALE}):
                space = figure.add_subplot(grid[:, n:], projection="3d")
            _draw_in_space(space, few, few_groups, size)
        if len(rows) < count and n > 1:
            said += f" Each scatter panel shows {len(rows):,} of them."
        by_class = "" if labels is None else ", stacked by class"
        describe(figure, title, f"{count:,} latents. Diagonal: histograms{by_class}.{said}")
        if labels is not None:
            class_legend(figure, groups)
    return figure


def _dimensions(latents: NDArray[np.floating[Any]]) -> tuple[list[int], str]:
    """Return the dimensions to draw, and the part of the caption that explains the choice."""
    total = latents.shape[1]
    if total <= 4:
        return list(range(total)), ""
    largest = np.argsort(-latents.var(axis=0), kind="stable")[:_MOST_DIMENSIONS]
    said = f" Shown: the {len(largest)} of {total} dimensions with the largest variance, sorted."
    return [int(d) for d in largest], said


def _histogram(axes: Axes, values: NDArray[np.floating[Any]], groups: Sequence[Group]) -> None:
    colours = [colour for _, _, (colour, _) in groups]
    parts = [values[rows] for _, rows, _ in groups]
    bars = bins(len(values))
    axes.hist(parts, bins=bars, stacked=True, color=colours, histtype="stepfilled")
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def _dress_panel(axes: Axes, row: int, column: int, chosen: Sequence[int]) -> None:
    axes.tick_params(labelsize=6, colors="#888888", length=2)
    if row == len(chosen) - 1:
        axes.set_xlabel(f"latent {chosen[column]}", fontsize=8)
    if column == 0 and row > 0:
        axes.set_ylabel(f"latent {chosen[row]}", fontsize=8)


def _draw_in_space(
    axes: Any, latents: NDArray[np.floating[Any]], groups: Sequence[Group], size: float
) -> None:
    scatter_classes(axes, latents, groups, size, layers=4)
    axes.tick_params(labelsize=6, colors="#888888")
    axes.set_box_aspect(None, zoom=0.88)  # the layout leaves no room for labels of 3-D axes
    for number, letter in enumerate("xyz"):
        getattr(axes, f"set_{letter}label")(f"latent {number}", fontsize=8)


def encoded_item(
    image: NDArray[Any],
    latents: NDArray[np.floating[Any]],
    posterior_std: NDArray[np.floating[Any]] | None,
    reconstruction: NDArray[Any] | None,
    title: str,
    *,
    clean: NDArray[Any] | None = None,
) -> Figure:
    """Draw one image, its code, and the image decoded from it, if there is one.

    Args:
        image: (C, H, W), uint8 or float in [0, 1].
        latents: (D,), for a VAE the posterior mean.
        posterior_std: (D,), standard deviation of the posterior, or None.
        reconstruction: (C, H, W), as ``image``; None if the model has no decoder.
        title: figure title.
        clean: (C, H, W), the clean image if ``image`` is corrupted; the error is measured against
            it.
    """
    dimensions = np.arange(len(latents))
    with house_style():
        figure = empty_figure(9.5, 2.9)
        shares = (1, 2.4) if reconstruction is None else (1, 2.4, 1)
        left, middle, *right = figure.subplots(1, len(shares), width_ratios=shares)
        show_image(left, image)
        left.set_title("input", loc="center", fontsize=9)
        bare(left)
        if reconstruction is not None:
            difference = unit_range(image if clean is None else clean) - unit_range(reconstruction)
            show_image(right[0], reconstruction)
            right[0].set_title("decoded", loc="center", fontsize=9)
            right[0].set_xlabel(f"MSE {np.square(difference).mean():.4f}", fontsize=8)
            bare(right[0])
        name = "code" if posterior_std is None else "posterior mean ± 1 standard deviation"
        middle.bar(dimensions, latents, width=0.8, color=PALETTE[0])
        if posterior_std is not None:
            thin = max(0.4, min(1.5, 48 / len(latents)))
            middle.errorbar(
                dimensions, latents, posterior_std, fmt="none", ecolor="#1d2430", elinewidth=thin
            )
        middle.axhline(0, color="#555555", lw=0.6)
        _number_bars(middle, dimensions)
        middle.set_title(name, loc="center", fontsize=9)
        middle.set(xlabel="latent dimension", ylabel="value")
        describe(figure, title)
    return figure


def kl_bars(kl: NDArray[np.floating[Any]], title: str, threshold: float = 0.01) -> Figure:
    """Draw the KL divergence of each latent dimension from its prior, largest first.

    Args:
        kl: (D,), in nats, averaged over images.
        title: figure title.
        threshold: in nats; a dimension below it carries almost no information.
    """
    order = np.argsort(-kl, kind="stable")
    above = int((kl > threshold).sum())
    with house_style():
        figure = empty_figure(7.2, 3.6)
        axes = figure.subplots()
        places = np.arange(len(kl))
        axes.bar(
            places[:above], kl[order[:above]], color=PALETTE[0], label=f"above threshold: {above}"
        )
        if above < len(kl):
            rest = kl[order[above:]]
            axes.bar(places[above:], rest, color=_GREY, label=f"below threshold: {len(rest)}")
        axes.axhline(
            threshold, color=PALETTE[2], ls="--", lw=1, label=f"threshold: {threshold:g} nats"
        )
        _number_bars(axes, order)
        axes.set(xlabel="latent dimension, by KL", ylabel="KL (nats per image)")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")
        describe(figure, title, f"{kl.sum():.4g} nats in total, in {len(kl)} dimensions.")
    return figure


def code_curve(counts: NDArray[np.integer[Any]], size: int, title: str) -> Figure:
    """Draw how often each code occurs, most frequent first, beside codes that are all as frequent.

    Args:
        counts: (U,), how often each code that occurs does, most frequent first.
        size: number of all codes.
        title: figure title.
    """
    shares = counts / counts.sum()
    with house_style():
        figure = empty_figure(7.2, 3.6)
        axes = figure.subplots()
        axes.stairs(shares, fill=True, color=PALETTE[0], label="codes that occur")
        axes.axhline(1 / size, color=PALETTE[2], ls="--", lw=1, label="all equally frequent")
        axes.set(xlabel="code, by frequency", ylabel="share of all codes")
        axes.set_xlim(0, size)
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")
        describe(figure, title, f"{len(counts):,} of {size:,} codes occur.")
    return figure


def _number_bars(axes: Axes, numbers: NDArray[np.integer[Any]]) -> None:
    """Write each bar's dimension below it, if there is room."""
    if len(numbers) <= _NUMBERED:
        axes.set_xticks(np.arange(len(numbers)), [str(number) for number in numbers], fontsize=7)
    elif np.any(np.diff(numbers) != 1):
        axes.set_xticks([])  # the bars are sorted, so positions are not dimension numbers
    axes.set_xlim(-0.7, len(numbers) - 0.3)
