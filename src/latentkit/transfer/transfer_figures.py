"""The figures of a transfer, and its stage ``report``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter
from numpy.typing import NDArray

from latentkit.config import FITS, MapConfig
from latentkit.errors import unexpected_content
from latentkit.evaluation.card_sentences import reading_text
from latentkit.evaluation.card_tables import quality_line
from latentkit.figures import style
from latentkit.figures.error_figures import class_bars, name_axes
from latentkit.figures.image_grids import image_rows
from latentkit.figures.training_figures import loss_curves
from latentkit.maps.make import made_maps
from latentkit.maps.map_figures import map_pair, map_scatter
from latentkit.report.assemble import Outline, write_report
from latentkit.report.drawing import Drawing, Drawn
from latentkit.runs import run_files
from latentkit.runs.context import StageContext
from latentkit.runs.kind import RunKind
from latentkit.runs.summary import summarise, summary_rows
from latentkit.transfer.fit import class_names
from latentkit.transfer.transfer_stages import FEATURES
from latentkit.transfer.transfer_tables import MODE_NAMES, Card, comparison_caption

_COUNTED = 20  # with more classes, percentages do not fit in the cells
FEWEST = 10
"""Least number of images in a bin whose accuracy is part of a curve."""
_INK = "#1d2430"

Counts = NDArray[np.integer[Any]]


def confusion_change(
    before: Counts, after: Counts, class_names: Sequence[str], title: str, caption: str = ""
) -> Figure:
    """Draw two confusion matrices and the difference of their shares side by side.

    Args:
        before: (K, K), counts; rows are true classes, columns are predicted classes.
        after: (K, K), as ``before``.
        class_names: name of each class.
        title: figure title.
        caption: text below the figure.
    """
    shares = [matrix / np.maximum(matrix.sum(1, keepdims=True), 1) for matrix in (before, after)]
    names = [style.shown(class_names, label) for label in range(len(before))]
    side = float(np.clip(0.36 * len(before), 2.4, 7.0))
    with style.house_style():
        figure = style.empty_figure(3 * side + 3.6, side + 1.5)
        left, middle, right = figure.subplots(1, 3)
        for axes, matrix, share, when in (
            (left, before, shares[0], "before"),
            (middle, after, shares[1], "after"),
        ):
            accuracy = np.trace(matrix) / max(int(matrix.sum()), 1)
            picture = axes.imshow(
                share, cmap=style.SEQUENTIAL, vmin=0, vmax=1, interpolation="nearest"
            )
            axes.set_title(f"{when}: accuracy {accuracy:.4f}", fontsize=9)
            _write(axes, share, share > 0.5)
            name_axes(axes, names)
        figure.colorbar(picture, ax=[left, middle], label="share of the true class", shrink=0.7)
        change = shares[1] - shares[0]
        most = max(float(np.abs(change).max()), 0.01)
        picture = right.imshow(
            change, cmap=style.DIVERGING, vmin=-most, vmax=most, interpolation="nearest"
        )
        right.set_title("after minus before", fontsize=9)
        _write(right, change, np.abs(change) < 0.6 * most, signed=True)
        name_axes(right, names)
        figure.colorbar(picture, ax=right, label="change in share", shrink=0.7)
        for axes in (middle, right):
            axes.set_ylabel("")
        style.describe(figure, title, caption)
    return figure


def _write(
    axes: Axes,
    values: NDArray[np.floating[Any]],
    dark: NDArray[np.bool_],
    *,
    signed: bool = False,
) -> None:
    """Write percentages into the cells, in dark or white text; omit those that round to 0."""
    if len(values) > _COUNTED:
        return
    for row, column in np.ndindex(values.shape):
        per_cent = round(100 * float(values[row, column]))
        if per_cent:
            colour = _INK if dark[row, column] else "white"
            text = f"{per_cent:+d}" if signed else str(per_cent)
            axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour)


def confused_examples(pairs: Sequence[tuple[str, NDArray[Any]]], title: str) -> Figure:
    """Draw misclassified images, one row for each pair of true and predicted class.

    Args:
        pairs: the label of each pair, and its images (N, C, H, W).
        title: figure title.
    """
    return image_rows([(style.cut(name, 60), images) for name, images in pairs], title)


def reliability(
    curves: Sequence[tuple[str, NDArray[np.floating[Any]]]],
    n_images: int,
    title: str,
    caption: str = "",
) -> Figure:
    """Draw a reliability diagram: accuracy over confidence.

    Bins with fewer than `FEWEST` images are drawn hollow and are not joined by the line.

    Args:
        curves: name of each classifier, and (B, 3) for its bins: confidence, accuracy, share of
            the images.
        n_images: number of images in all bins of a curve.
        title: figure title.
        caption: text below the figure.
    """
    with style.house_style():
        figure = style.empty_figure(5.6, 5.2)
        upper, lower = figure.subplots(2, 1, height_ratios=(3, 1), sharex=True)
        upper.plot([0, 1], [0, 1], ":", color=_INK, lw=1, label="perfect calibration")
        for (name, bins), colour, marker in zip(curves, style.PALETTE[1::-1], "so", strict=False):
            confidence, accuracy, share = bins.T
            look: Any = {"ms": 4, "color": colour}
            few = too_few(bins, n_images)
            sure = np.where(few, np.nan, accuracy)
            upper.plot(confidence, sure, f"{marker}-", label=name, clip_on=False, **look)
            look_few: Any = {**look, "mfc": "white", "alpha": 0.5, "clip_on": False}
            upper.plot(confidence[few], accuracy[few], marker, **look_few)
            lower.plot(confidence, share, f"{marker}-", **look)
        upper.set(ylabel="accuracy", xlim=(0, 1), ylim=(0, 1))
        lower.set(xlabel="confidence", ylabel="share of images", ylim=(0, None))
        for axes in (upper, lower):
            axes.grid(alpha=0.25)
        upper.legend()
        style.describe(figure, title, caption)
    return figure


def too_few(bins: NDArray[np.floating[Any]], n_images: int) -> NDArray[np.bool_]:
    """Return which bins (B, 3) of `reliability` have fewer than `FEWEST` images."""
    return np.asarray(np.rint(bins[:, 2] * n_images) < FEWEST)


_EDGE = 0.02

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Curve:
    """One way of training.

    Args:
        name: name in the legend.
        values: (S,), mean accuracy for each number of labels.
        low: (S,), low end of its interval; NaN if there is no interval.
        high: (S,), high end of its interval, likewise.
        points: (S, R), accuracy of each repetition.
    """

    name: str
    values: Floats
    low: Floats
    high: Floats
    points: Floats


def label_efficiency(
    n_labels: NDArray[np.integer[Any]], curves: Sequence[Curve], title: str, caption: str = ""
) -> Figure:
    """Draw accuracy over the number of labels, with intervals, for each way of training.

    Args:
        n_labels: (S,), numbers of labels.
        curves: one curve for each way of training.
        title: figure title.
        caption: text below the figure.
    """
    with style.house_style():
        figure = style.empty_figure(7.4, 4.4)
        axes = figure.subplots()
        for place, curve in enumerate(curves):
            colour, marker = style.PALETTE[place], style.MARKERS[place]
            # Shift the curves sideways so that overlapping intervals stay distinguishable.
            across = n_labels * 1.06 ** (place - (len(curves) - 1) / 2)
            reach = np.nan_to_num([curve.values - curve.low, curve.high - curve.values])
            axes.errorbar(
                across,
                curve.values,
                yerr=np.maximum(reach, 0),
                marker=marker,
                ms=5,
                color=colour,
                capsize=3,
                lw=1.4,
                label=curve.name,
            )
            for column in curve.points.T:
                axes.plot(across, column, ".", color=colour, ms=3, alpha=0.6)
        axes.set_xscale("log")
        axes.set_xticks(n_labels)
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.tick_params(axis="x", which="minor", length=0)
        axes.set(xlabel="labels", ylabel="accuracy on the test images")
        axes.grid(alpha=0.25)
        low, high = axes.get_ylim()
        axes.set_ylim(max(low, -_EDGE), min(high, 1 + _EDGE))  # intervals may exceed [0, 1]
        figure.legend(loc="outside right upper")
        style.describe(figure, title, caption)
    return figure


def comparison_figures(context: StageContext) -> list[Drawing]:
    """Return the label-efficiency curve if the card has a comparison, else nothing."""
    if "comparison" not in _card(context):
        return []
    return [Drawing("efficiency", "Accuracy over labels", partial(_efficiency, context))]


def training_figures(context: StageContext) -> list[Drawing]:
    """Return the curves of loss and accuracy over epochs."""
    return [Drawing("loss", "Loss and accuracy over epochs", partial(_losses, context))]


def confusion_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of confusions, recall and calibration."""
    found = [
        Drawing("confusion-change", "Confusions, before and after", partial(_change, context)),
        Drawing("recall", "Recall of each class", partial(_recall, context)),
        Drawing("calibration", "Confidence and accuracy", partial(_calibration, context)),
    ]
    if _card(context)["confused"]:
        found.append(Drawing("confused", "Most confused images", partial(_examples, context)))
    return found


def feature_maps(context: StageContext) -> list[Drawing]:
    """Return the maps of features; before and after training if training changed them."""
    found = []
    for part in made_maps(context):
        held = context.folder.json(run_files.map_paths(part)[1])["aligned_to"] is None
        title = f"{part.name} of the features{'' if held else ', before and after'}"
        draw = partial(_map if held else _map_pair, context, part)
        found.append(Drawing(f"features-{part.slug}", title, draw))
    return found


def _card(context: StageContext) -> Card:
    card: Card = context.folder.json(run_files.EVALUATION)
    return card


def _name(context: StageContext) -> str:
    card, config = _card(context), context.config
    return (
        f"{config.model.name} on {config.dataset.name}, {MODE_NAMES[card['mode']]} with "
        f"{card['labels']['n']:,} labels"
    )


def _efficiency(context: StageContext) -> Drawn:
    found = _card(context)["comparison"]
    curves = []
    for mode in FITS:
        rows = [row["accuracy"] for row in found["rows"] if row["mode"] == mode]
        low, high = (
            np.array([np.nan if row[end] is None else row[end] for row in rows])
            for end in ("low", "high")
        )
        values, points = (np.array([row[key] for row in rows]) for key in ("value", "values"))
        curves.append(Curve(MODE_NAMES[mode], values, low, high, points))
    counts = np.array([row["n_labels"] for row in found["rows"] if row["mode"] == FITS[0]])
    config, caption = context.config, comparison_caption(found)
    title = f"{config.model.name} on {config.dataset.name}: accuracy over the number of labels"
    return label_efficiency(counts, curves, title, caption), caption


def _losses(context: StageContext) -> Drawn:
    history = context.folder.json(run_files.HISTORY)["epochs"]
    figure = loss_curves(history, _name(context), "nats")
    return figure, "Cross-entropy and accuracy. No choice is based on the validation images."


def _before_name(context: StageContext) -> str:
    return f"Before: {_card(context)['before_is']}"


def _change(context: StageContext) -> Drawn:
    card = _card(context)
    caption = f"Shares of the true class, in per cent. {_before_name(context)}."
    before, after = (np.array(card[when]["confusion"]) for when in ("before", "after"))
    names = class_names(context)
    return confusion_change(before, after, names, _name(context), caption), caption


def _recall(context: StageContext) -> Drawn:
    card = _card(context)
    kept = [
        (after, before)
        for after, before in zip(card["after"]["classes"], card["before"]["classes"], strict=True)
        if after["recall"] is not None
    ]
    ends = ("value", "low", "high")
    figure = class_bars(
        np.array([[after["recall"][end] for end in ends] for after, _ in kept]),
        np.array([before["recall"]["value"] for _, before in kept]),
        [after["class"] for after, _ in kept],
        _name(context),
        "recall",
        "before",
        "after",
    )
    return figure, f"After training, with 95 % intervals. {_before_name(context)}."


def _calibration(context: StageContext) -> Drawn:
    card = _card(context)
    curves = []
    for when in ("before", "after"):
        bins = [
            [one[k] for k in ("confidence", "accuracy", "share")]
            for one in card[when]["calibration"]
        ]
        error = card[when]["expected_calibration_error"]["value"]
        curves.append((f"{when}: calibration error {error:.4f}", np.array(bins)))
    count = card["n_images"]
    caption = f"{count:,} test images in bins of equal width. {_before_name(context)}."
    if any(too_few(bins, count).any() for _, bins in curves):
        caption += f" Hollow marks: bins with fewer than {FEWEST} images."
    return reliability(curves, count, _name(context), caption), caption


def _examples(context: StageContext) -> Drawn:
    images, card = context.images("test").images, _card(context)
    pairs = [
        (f"{one['true']} → {one['given']}: {one['count']}", images[np.array(one["images"])])
        for one in card["confused"]
    ]
    figure = confused_examples(pairs, f"{_name(context)}: true class → predicted class: images")
    return figure, "The wrongly classified test images with the highest confidence."


def _map(context: StageContext, part: MapConfig) -> Drawn:
    """Draw a single map, because training did not change the features."""
    arrays, facts, labels = _mapped(context, part)
    held = _card(context)["mode"] == "probe"
    which = "Features of the frozen encoder" if held else "Features, unchanged by training"
    reading = reading_text(facts, "features")
    caption = f"{reading} {which}: {quality_line(facts['quality'], 'features')}."
    names = class_names(context)
    title = f"{_mapped_text(context, part, len(labels))},\n{_name(context)}"
    return map_scatter(arrays["coordinates"], labels, names, title, caption, part.name), caption


def _map_pair(context: StageContext, part: MapConfig) -> Drawn:
    arrays, facts, labels = _mapped(context, part)
    caption = (
        f"Before: {quality_line(facts['quality_before'], 'features')}. "
        f"After: {quality_line(facts['quality'], 'features')}. "
        f"Aligned by Procrustes analysis: disparity "
        f"{facts['aligned_to']['disparity']:.3f}."
    )
    figure = map_pair(
        arrays["coordinates_before"],
        arrays["coordinates"],
        labels,
        class_names(context),
        f"{_mapped_text(context, part, len(labels))}, {_name(context)}",
        caption,
        part.name,
    )
    return figure, caption


def _mapped(
    context: StageContext, part: MapConfig
) -> tuple[dict[str, NDArray[Any]], dict[str, Any], NDArray[np.int64]]:
    """Return the arrays of a map, its facts, and the labels of its points."""
    arrays_path, facts_path = run_files.map_paths(part)
    arrays = context.folder.arrays(arrays_path)
    labels = context.folder.arrays(FEATURES)["labels"][arrays["index"]]
    return arrays, context.folder.json(facts_path), labels


def _mapped_text(context: StageContext, part: MapConfig, count: int) -> str:
    n_features = _card(context)["features"]["n"]
    return f"{part.name} of {n_features} features of {count:,} test images"


_OUTLINE: Outline = (
    ("Did pre-training help?", comparison_figures),
    ("Training", training_figures),
    ("Confusions", confusion_figures),
    ("Features", feature_maps),
)


def report_transfer(context: StageContext, *, kind: RunKind, svg: bool = False) -> None:
    """Draw every figure of the transfer and write ``report.html``; ``svg`` adds SVG files."""
    folder = context.folder
    summary = summarise(folder, kind)
    summary["seconds"].pop("report", None)  # of an earlier report
    with unexpected_content(folder.path / run_files.EVALUATION, folder.path / run_files.DATA):
        card, counts = folder.json(run_files.EVALUATION), folder.json(run_files.DATA)["counts"]
        subtitle = (
            f"Run {folder.manifest.id}, parent {card['parent'] or 'none'}, "
            f"{card['labels']['n']:,} of {counts['train']:,} training labels, "
            f"{counts['validation']:,} validation and {counts['test']:,} test images"
        )
        tables = kind.tables(card)
    write_report(
        context,
        _OUTLINE,
        title=f"Transfer: {summary['model']} on {summary['dataset']}",
        subtitle=subtitle,
        summary=summary_rows(summary, kind),
        card=tables,
        svg=svg,
    )
