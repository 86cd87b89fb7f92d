"""Figures of how certain maps are: wrong neighbours as lines, and all maps side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from numpy.typing import NDArray

from latentkit.atomic import write_atomically
from latentkit.figures import style

_NEIGHBOURS = 10
_LINES = 150
_DOTS = "#b9c0cb"
_ROW = 0.45  # inches

Points = NDArray[np.floating[Any]]


def wrong_neighbours(
    vectors: Points, coordinates: Points, count: int = _LINES
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the worst false and the worst torn pairs of neighbours, (count, 2) each.

    A false pair is near on the map: one is among the 10 nearest of the other. In the vectors, they
    are apart by many times the distance to the 10th nearest. A torn pair is near in the vectors and
    apart on the map. A point is in at most one pair of each kind as the first of the two.

    Args:
        vectors: (N, D).
        coordinates: (N, 2 or 3).
        count: most pairs of each kind.
    """
    return _worst(coordinates, vectors, count), _worst(vectors, coordinates, count)


def _worst(near: Points, far: Points, count: int) -> NDArray[np.int64]:
    """Return pairs of neighbours in ``near`` that are farthest apart in ``far``."""
    from latentkit.neighbors import NeighborIndex

    k = min(_NEIGHBOURS, (len(near) - 1) // 2)
    rows = NeighborIndex(near).neighbors(k).indices
    reach = NeighborIndex(far).neighbors(k).distances[:, -1]
    away = np.stack([np.linalg.norm(far - far[rows[:, place]], axis=1) for place in range(k)], 1)
    times = away / np.maximum(reach, np.finfo(np.float32).tiny)[:, None]
    worst = times.argmax(1)
    first = np.arange(len(near))
    times, second = times[first, worst], rows[first, worst]
    chosen = np.argsort(-times, kind="stable")[:count]
    chosen = chosen[times[chosen] > 1]
    return np.stack([chosen, second[chosen]], axis=1)


def neighbour_errors(vectors: Points, coordinates: Points, title: str, caption: str = "") -> Figure:
    """Draw the worst false and torn neighbours of a map as lines.

    Of three-dimensional maps, the first two dimensions are drawn.

    Args:
        vectors: (N, D), what was mapped.
        coordinates: (N, 2 or 3).
        title: figure title.
        caption: text below the figure.
    """
    false, torn = wrong_neighbours(vectors, coordinates)
    flat = np.asarray(coordinates)[:, :2]
    with style.house_style():
        figure = style.empty_figure(11.0, 5.6)
        panels = (
            ("false: near on the map, far in the points", false, style.PALETTE[1]),
            ("torn: near in the points, far on the map", torn, style.PALETTE[0]),
        )
        for axes, (name, pairs, colour) in zip(figure.subplots(1, 2), panels, strict=True):
            size = float(np.clip(1e4 / len(flat), 2, 14))
            axes.scatter(*flat.T, s=size, c=_DOTS, linewidths=0, rasterized=True)
            axes.add_collection(
                LineCollection(list(flat[pairs]), colors=colour, linewidths=0.9, alpha=0.7)
            )
            ends = flat[pairs].reshape(-1, 2)
            axes.scatter(*ends.T, s=size + 6, c=colour, linewidths=0, zorder=3, rasterized=True)
            axes.set_title(f"{name} ({len(pairs):,} shown)", fontsize=10)
            axes.set(xticks=[], yticks=[])
            axes.set_aspect("equal", adjustable="datalim")
        style.describe(figure, title, caption)
    return figure


_MEASURES = (
    ("trustworthiness", "neighbours: trustworthiness", (0.5, 1.0)),
    ("spearman_correlation", "distances: Spearman", (0.0, 1.0)),
    ("moved", "moves when fitted again,\nshare of the map's size", None),
    ("seconds", "seconds to fit", None),
)


def maps_side_by_side(rows: Sequence[Mapping[str, Any]], title: str, caption: str = "") -> Figure:
    """Draw local and global quality, movement and seconds of maps as bars.

    Args:
        rows: one for each map, from `latentkit.maps.compare_maps.compare_maps`.
        title: figure title.
        caption: text below the figure.
    """
    names = [str(row["map"]) for row in rows]
    with style.house_style():
        figure = style.empty_figure(11.0, 1.7 + _ROW * len(rows))
        panels = figure.subplots(1, len(_MEASURES), sharey=True)
        for axes, (key, name, limits) in zip(panels, _MEASURES, strict=True):
            values = [np.nan if row[key] is None else float(row[key]) for row in rows]
            axes.barh(range(len(rows)), np.nan_to_num(values), color=style.PALETTE[0], height=0.6)
            largest = max([value for value in values if np.isfinite(value)], default=1.0) or 1.0
            low, high = limits or (0.0, largest * 1.05)
            for place, value in enumerate(values):
                shown = f" {value:.3g}" if np.isfinite(value) else " not measured"
                inside = np.clip(value, low, high) if np.isfinite(value) else low
                right = (inside - low) > 0.7 * (high - low)
                axes.text(
                    *(inside, place, f"{shown} " if right else shown),
                    va="center",
                    ha="right" if right else "left",
                    fontsize=8,
                    color="white" if right else "#1d2430",
                )
            axes.set_xlim(low, high)
            axes.set_title(name, fontsize=9)
            axes.tick_params(labelsize=8)
        panels[0].set_yticks(range(len(rows)), names)
        panels[0].invert_yaxis()
        style.describe(figure, title, caption)
    return figure


def write_side_by_side(found: Mapping[str, Any], title: str, path: Path) -> None:
    """Draw a comparison of maps into a .png or .svg file.

    Args:
        found: the comparison, from `latentkit.maps.compare_maps.compare_maps`.
        title: figure title.
        path: the file.

    Raises:
        StorageError: the file cannot be written.
    """
    figure = maps_side_by_side(found["maps"], title, advice_text(found))
    save = style.save_svg if path.suffix == ".svg" else style.save_png
    write_atomically(path, lambda file: save(figure, file))


def advice_text(found: Mapping[str, Any]) -> str:
    """Return the recommendations of a comparison, and its note, as sentences."""
    advice = [f"For {name}: {one['map']}." for name, one in found["recommended"].items()]
    return " ".join([*advice, found["note"]]).strip()
