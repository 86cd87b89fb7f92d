"""The evaluation card of a transfer as tables and rows of text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentkit.evaluation.card_tables import difference_text, duplicates_table, interval_text
from latentkit.report.page import Table

Card = Mapping[str, Any]

MODE_NAMES = {"probe": "probe", "finetune": "fine-tuned", "scratch": "from scratch"}
_FIGURES = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("expected_calibration_error", "expected calibration error"),
    ("log_loss", "log loss, nats"),
)
_MISSING = "–"


def transfer_tables(card: Card) -> list[Table]:
    """Return a transfer's evaluation card as tables."""
    tables = [_classifier(card), _classes(card)]
    if "without_duplicates" in card:
        names = {key: (name, 4) for key, name in _FIGURES}
        names |= {f"{key}_before": (f"{name}, before", 4) for key, name in _FIGURES}
        tables.insert(1, duplicates_table(card["without_duplicates"], names))
    if card["confused"]:
        rows = [
            (f"{one['true']} taken for {one['given']}", f"{one['count']:,}", f"{one['share']:.3f}")
            for one in card["confused"]
        ]
        tables.append(Table("Most confused", ("", "images", "share of the true class"), rows))
    if "comparison" in card:
        tables.insert(0, _comparison(card["comparison"]))
    return tables


def transfer_rows(card: Card) -> list[tuple[str, str]]:
    """Return the main results of a transfer's card as rows of name and text."""
    labels, features = card["labels"], card["features"]
    rows = [
        (
            "Classifier",
            f"{MODE_NAMES[card['mode']]}, {labels['n']:,} labels, parent {_parent(card)}",
        ),
        ("Features", f"{features['n']:,} of the model's {features['of']}"),
        ("Test accuracy", interval_text(card["after"]["accuracy"], 4)),
        (f"Before: {card['before_is']}", interval_text(card["before"]["accuracy"], 4)),
        ("Balanced accuracy", interval_text(card["after"]["balanced_accuracy"], 4)),
        ("Calibration error", interval_text(card["after"]["expected_calibration_error"], 4)),
    ]
    for one in card.get("comparison", {}).get("rows", ()):
        rows.append((f"{MODE_NAMES[one['mode']]}, {one['n_labels']:,} labels", _accuracy(one)))
    return rows


def comparison_caption(found: Card) -> str:
    """Return a caption that says what the intervals of a comparison mean."""
    return (
        f"Means over {len(found['seeds'])} seeds (dots) with 95 % intervals (bars). Seeds change "
        f"the labels, the head and the order of images, but not the pre-trained encoder."
    )


def _parent(card: Card) -> str:
    return str(card["parent"] or "none")


def _classifier(card: Card) -> Table:
    rows = [
        (name, interval_text(card["after"][key], 4), interval_text(card["before"][key], 4))
        for key, name in _FIGURES
    ]
    gained = interval_text(card["accuracy_gained"], 4)
    title = f"Classifier, {MODE_NAMES[card['mode']]} with {card['labels']['n']:,} labels"
    header = ("", "after", f"before ({card['before_is']})")
    return Table(title, header, [*rows, ("accuracy gained, image by image", gained, "")])


def _classes(card: Card) -> Table:
    rows = []
    for after, before in zip(card["after"]["classes"], card["before"]["classes"], strict=True):
        cells = [_figure(one[key]) for key in ("precision", "recall") for one in (after, before)]
        rows.append((after["class"], f"{after['n_images']:,}", *cells))
    header = ("", "images", "precision", "before", "recall", "before")
    return Table("By class", header, rows)


def _figure(figure: Card | None) -> str:
    return _MISSING if figure is None else interval_text(figure, 3)


def _comparison(found: Card) -> Table:
    rows = [
        (
            f"{MODE_NAMES[one['mode']]}, {one['labels']} of labels"
            if "%" in one["labels"]
            else f"{MODE_NAMES[one['mode']]}, {one['labels']} labels",
            f"{one['n_labels']:,}",
            _mean(one["accuracy"]),
            _mean(one["balanced_accuracy"]),
            _mean(one["expected_calibration_error"]),
            _difference(one.get("above_scratch")),
        )
        for one in found["rows"]
    ]
    seeds = len(found["seeds"])
    return Table(
        f"Means over {seeds} seed{'s' if seeds > 1 else ''}; * if the interval excludes 0",
        ("", "labels", "accuracy", "balanced", "calibration error", "accuracy above scratch"),
        rows,
    )


def _accuracy(one: Card) -> str:
    text = _mean(one["accuracy"])
    above = one.get("above_scratch")
    return text if above is None else f"{text}; above scratch by {_difference(above)}"


def _mean(figure: Card) -> str:
    if figure["low"] is None:
        return f"{figure['value']:.4f}"
    return interval_text(figure, 4)


def _difference(figure: Card | None) -> str:
    if figure is None:
        return _MISSING
    if figure["low"] is None:
        return f"{figure['value']:+.4f}"
    return difference_text(figure, 4)
