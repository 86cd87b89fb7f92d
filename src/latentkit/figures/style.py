"""A common style for all figures, with colours that colour-blind readers can distinguish."""

from __future__ import annotations

import io
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from cycler import cycler
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.markers import MarkerStyle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

DPI = 160

# M. Petroff, arXiv:2107.02270: ten colours chosen for the three common colour deficiencies.
PALETTE: tuple[str, ...] = (
    "#3f90da",
    "#ffa90e",
    "#bd1f01",
    "#94a4a2",
    "#832db6",
    "#a96b59",
    "#e76300",
    "#b9ac70",
    "#717581",
    "#92dadd",
)
MARKERS: tuple[str, ...] = ("o", "s", "^", "D", "v", "P", "X", "<", ">", "*")
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

_PALE = 0.55  # from this luminance on, a mark on white needs an edge
_DARKER = 0.6
_AREA_COUNTS = 2 / 3

_NAME_LENGTH = 28  # characters
_CAPTION_DENSITY = 15.5  # characters per inch

_CLIP = re.compile(r"(?<=url\(#)p[0-9a-f]{10}(?=\))|(?<=<clipPath id=\")p[0-9a-f]{10}(?=\")")

_STYLE: Any = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,  # tick labels show full values, without an offset
    "axes.prop_cycle": cycler(color=PALETTE),
    "legend.frameon": False,
    "figure.constrained_layout.w_pad": 0.08,  # inches
    "figure.constrained_layout.h_pad": 0.06,
    "image.cmap": "gray",
    "text.parse_math": False,  # a dollar sign in a class name is not math
    "svg.fonttype": "none",
    "svg.hashsalt": "latentkit",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Use latentkit's figure style within the block; restore the caller's settings after it.

    The user's own settings, such as TeX for all text, have no effect, so that a figure looks the
    same everywhere and needs no programs.
    """
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def class_style(label: int) -> tuple[str, str]:
    """Return colour and marker of a class.

    Both repeat after ten classes, but the markers are shifted by one, so that pairs stay unique.
    """
    return PALETTE[label % len(PALETTE)], MARKERS[(label + label // len(PALETTE)) % len(MARKERS)]


@cache
def marker_scale(marker: str) -> float:
    """Return the factor for a marker's size ``s`` at which it looks as large as a dot.

    The factor is a compromise between equal area and equal width.
    """
    return math.pow(_covered("o") / _covered(marker), _AREA_COUNTS)


def _covered(marker: str) -> float:
    style = MarkerStyle(marker)
    (outline,) = style.get_path().transformed(style.get_transform()).to_polygons()
    x, y = np.asarray(outline).T
    return float(abs(x @ np.roll(y, 1) - y @ np.roll(x, 1)) / 2)


@cache
def edge_colour(colour: str) -> str:
    """Return the colour of a mark's edge: its own, or a darker one if it is pale on white."""
    red, green, blue = to_rgb(colour)
    luminance = 0.2126 * red**2.2 + 0.7152 * green**2.2 + 0.0722 * blue**2.2  # sRGB, approximately
    darker = red * _DARKER, green * _DARKER, blue * _DARKER
    return to_hex(darker) if luminance > _PALE else colour


def save_png(figure: Figure, path: Path | io.BytesIO) -> None:
    """Write a figure as PNG at `DPI`, without a date or version, so that bytes are repeatable."""
    figure.set_dpi(DPI)
    # Drawing computes the layout. ``savefig`` would draw the figure a second time for it.
    with house_style():
        FigureCanvasAgg(figure).print_png(path, metadata={"Software": None})  # type: ignore[no-untyped-call]


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG, without a date or version, so that bytes are repeatable."""
    buffer = io.StringIO()
    with house_style():
        figure.savefig(buffer, format="svg", dpi=DPI, metadata={"Date": None, "Creator": None})
    path.write_text(_renumbered(buffer.getvalue()), encoding="utf-8")


def _renumbered(svg: str) -> str:
    """Replace the ids of clipping paths by numbers.

    The ids are hashes of the layout, whose last digits vary from run to run.
    """
    ids = dict.fromkeys(_CLIP.findall(svg))
    numbers = {found: f"clip{number}" for number, found in enumerate(ids, 1)}
    return _CLIP.sub(lambda match: numbers[match[0]], svg)


def empty_figure(width: float, height: float) -> Figure:
    """Return an empty figure without a window; sizes are in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def shown(names: Sequence[str], label: int) -> str:
    """Return the name of a class, shortened if it is long, or its number if it has no name."""
    return cut(names[label]) if label < len(names) else str(label)


def cut(text: str, length: int = _NAME_LENGTH) -> str:
    """Shorten a text to at most ``length`` characters by replacing its middle with an ellipsis."""
    half = (length - 1) // 2
    return text if len(text) <= length else f"{text[:half]}…{text[-half:]}"


def describe(figure: Figure, title: str, caption: str = "") -> None:
    """Add title and caption to a figure; wrap the caption to the figure's width."""
    figure.suptitle(title, x=0.01, ha="left", fontsize=11)
    if caption:
        wrapped = textwrap.fill(caption, max(40, int(figure.get_figwidth() * _CAPTION_DENSITY)))
        figure.supxlabel(wrapped, x=0.01, ha="left", fontsize=8, color="#555555")


def bins(count: int) -> int:
    """Return the number of histogram bars for ``count`` values: 8 to 60."""
    return min(60, max(8, math.isqrt(count)))


class EpochLocator(MaxNLocator):
    """Ticks at whole epochs; the first epoch is 1."""

    def __init__(self) -> None:
        super().__init__(integer=True, steps=[1, 2, 5, 10])

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Return round epoch numbers between two epochs; numbers below 1 become 1."""
        ticks = super().tick_values(vmin, vmax)
        return sorted({max(1.0, round(tick)) for tick in ticks})  # one epoch has fractional ticks


def log_ticks(axis: Axis) -> None:
    """Label a logarithmic axis with plain numbers instead of powers of ten."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())
