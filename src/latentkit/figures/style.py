"""One look for all figures, and colours that colour-blind readers can tell apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

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

_STYLE: Any = {
    "figure.dpi": DPI,
    "savefig.dpi": DPI,
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": cycler(color=PALETTE),
    "legend.frameon": False,
    "image.cmap": "gray",
    "svg.fonttype": "none",
    "svg.hashsalt": "latentkit",
}


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in the house style; the caller's settings come back afterwards."""
    with mpl.rc_context(_STYLE):
        yield


def class_style(label: int) -> tuple[str, str]:
    """Return colour and marker of a class; both repeat, out of step, after ten classes."""
    return PALETTE[label % len(PALETTE)], MARKERS[(label + label // len(PALETTE)) % len(MARKERS)]


def save_png(figure: Figure, path: Path) -> None:
    """Write a figure at `DPI`, with nothing in it that depends on the day."""
    figure.savefig(path, format="png", dpi=DPI, metadata={"Software": None})


def save_svg(figure: Figure, path: Path) -> None:
    """Write a figure as SVG with its text as text, and nothing that depends on the day."""
    with house_style():
        figure.savefig(path, format="svg", dpi=DPI, metadata={"Date": None})


def empty_figure(width: float, height: float) -> Figure:
    """Return a figure without a window; sizes in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def shown(names: Sequence[str], label: int) -> str:
    """Return the name of a class, or its number."""
    return names[label] if label < len(names) else str(label)
