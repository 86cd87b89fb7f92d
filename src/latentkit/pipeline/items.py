"""Test items as users name them: a number, or ``class:NAME[:i]``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError, did_you_mean

_PREFIX = "class:"


def item_row(
    item: int | str, count: int, labels: NDArray[np.int64] | None, class_names: Sequence[str]
) -> int:
    """Return the row of a test item.

    Args:
        item: the item's number from 0, as an integer or as text; ``class:NAME`` for the first
            item of a class, or ``class:NAME:i`` for its item number i, counted from 0.
        count: number of test items.
        labels: (count,), or None if the data set has no labels.
        class_names: name of each label.

    Raises:
        UserError: the item does not exist.
    """
    if isinstance(item, str) and item.startswith(_PREFIX):
        return _row_in_class(item, labels, class_names)
    text = str(item).strip()
    if not text.removeprefix("-").isdecimal():
        raise UserError(
            f"{text!r} is not a test item: give a number from 0 to {count - 1}, or class:NAME[:i]"
        )
    row = int(text)
    if not 0 <= row < count:
        raise UserError(f"there is no test item {row}: give a number from 0 to {count - 1}")
    return row


def class_label(name: str, class_names: Sequence[str]) -> int:
    """Return the label of a class, ignoring case if the name is still unique.

    Raises:
        UserError: the class does not exist; the message suggests the nearest name.
    """
    if name in class_names:
        return list(class_names).index(name)
    folded = [known.casefold() for known in class_names]
    if folded.count(name.casefold()) == 1:
        return folded.index(name.casefold())
    raise UserError(
        f"there is no class {name!r}{did_you_mean(name, class_names)}; known classes: "
        f"{', '.join(class_names) or 'none'}"
    )


def _row_in_class(item: str, labels: NDArray[np.int64] | None, class_names: Sequence[str]) -> int:
    if labels is None:
        raise UserError(f"item {item!r}: the data set has no labels; name items by their number")
    name, colon, number = item.removeprefix(_PREFIX).rpartition(":")
    if not (colon and number.isdecimal()):
        name, number = item.removeprefix(_PREFIX), "0"
    rows = np.flatnonzero(labels == class_label(name, class_names))
    if int(number) >= len(rows):
        there = f"give a number from 0 to {len(rows) - 1}" if len(rows) else "it has no test items"
        raise UserError(f"class {name!r} has no test item {number}: {there}")
    return int(rows[int(number)])
