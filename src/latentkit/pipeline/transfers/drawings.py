"""The figures of a transfer."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.config import FITS, MapConfig
from latentkit.figures.confusions import (
    FEWEST,
    confused_examples,
    confusion_change,
    reliability,
    too_few,
)
from latentkit.figures.efficiency import Curve, label_efficiency
from latentkit.figures.errors import class_bars
from latentkit.figures.history import loss_curves
from latentkit.figures.map_pairs import map_pair
from latentkit.figures.maps import map_scatter
from latentkit.pipeline.context import EVALUATION, HISTORY, RunContext, map_paths
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.pipeline.summary import quality_line
from latentkit.pipeline.transfers.building import class_names
from latentkit.pipeline.transfers.stages import FEATURES
from latentkit.pipeline.transfers.tables import MODE_NAMES, Card, comparison_caption


def comparison_figures(context: RunContext) -> list[Drawing]:
    """Return the label-efficiency curve if the card has a comparison, else nothing."""
    if "comparison" not in _card(context):
        return []
    return [Drawing("efficiency", "Accuracy over labels", partial(_efficiency, context))]


def training_figures(context: RunContext) -> list[Drawing]:
    """Return the curves of loss and accuracy over epochs."""
    return [Drawing("loss", "Loss and accuracy over epochs", partial(_losses, context))]


def confusion_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of confusions, recall and calibration."""
    found = [
        Drawing("confusion-change", "Confusions, before and after", partial(_change, context)),
        Drawing("recall", "Recall of each class", partial(_recall, context)),
        Drawing("calibration", "Confidence and accuracy", partial(_calibration, context)),
    ]
    if _card(context)["confused"]:
        found.append(Drawing("confused", "Most confused images", partial(_examples, context)))
    return found


def feature_maps(context: RunContext) -> list[Drawing]:
    """Return the maps of features; before and after training if training changed them."""
    found = []
    for part in context.config.embeddings:
        held = context.folder.json(map_paths(part)[1])["aligned_to"] is None
        title = f"{part.name} of the features{'' if held else ', before and after'}"
        draw = partial(_map if held else _map_pair, context, part)
        found.append(Drawing(f"features-{part.slug}", title, draw))
    return found


def _card(context: RunContext) -> Card:
    card: Card = context.folder.json(EVALUATION)
    return card


def _name(context: RunContext) -> str:
    card, config = _card(context), context.config
    return (
        f"{config.model.name} on {config.dataset.name}, {MODE_NAMES[card['mode']]} with "
        f"{card['labels']['n']:,} labels"
    )


def _efficiency(context: RunContext) -> Drawn:
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


def _losses(context: RunContext) -> Drawn:
    history = context.folder.json(HISTORY)["epochs"]
    figure = loss_curves(history, _name(context), "nats")
    return figure, "Cross-entropy and accuracy. No choice is based on the validation images."


def _before_name(context: RunContext) -> str:
    return f"Before: {_card(context)['before_is']}"


def _change(context: RunContext) -> Drawn:
    card = _card(context)
    caption = f"Shares of the true class, in per cent. {_before_name(context)}."
    before, after = (np.array(card[when]["confusion"]) for when in ("before", "after"))
    names = class_names(context)
    return confusion_change(before, after, names, _name(context), caption), caption


def _recall(context: RunContext) -> Drawn:
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


def _calibration(context: RunContext) -> Drawn:
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


def _examples(context: RunContext) -> Drawn:
    images, card = context.images("test").images, _card(context)
    pairs = [
        (f"{one['true']} → {one['given']}: {one['count']}", images[np.array(one["images"])])
        for one in card["confused"]
    ]
    figure = confused_examples(pairs, f"{_name(context)}: true class → predicted class: images")
    return figure, "The wrongly classified test images with the highest confidence."


def _map(context: RunContext, part: MapConfig) -> Drawn:
    """Draw a single map, because training did not change the features."""
    arrays, facts, labels = _mapped(context, part)
    held = _card(context)["mode"] == "probe"
    which = "Features of the frozen encoder" if held else "Features, unchanged by training"
    caption = f"{which}: {quality_line(facts['quality'], 'features')}."
    names = class_names(context)
    title = f"{_mapped_text(context, part, len(labels))},\n{_name(context)}"
    return map_scatter(arrays["coordinates"], labels, names, title, caption, part.name), caption


def _map_pair(context: RunContext, part: MapConfig) -> Drawn:
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
    context: RunContext, part: MapConfig
) -> tuple[dict[str, NDArray[Any]], dict[str, Any], NDArray[np.int64]]:
    """Return the arrays of a map, its facts, and the labels of its points."""
    arrays_path, facts_path = map_paths(part)
    arrays = context.folder.arrays(arrays_path)
    labels = context.folder.arrays(FEATURES)["labels"][arrays["index"]]
    return arrays, context.folder.json(facts_path), labels


def _mapped_text(context: RunContext, part: MapConfig, count: int) -> str:
    n_features = _card(context)["features"]["n"]
    return f"{part.name} of {n_features} features of {count:,} test images"
