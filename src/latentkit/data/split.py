"""Draw validation images from the training set; the test set is never used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Index = NDArray[np.int64]


@dataclass(frozen=True)
class TrainValidationSplit:
    """Sorted row numbers of the training set; together the two arrays contain every row."""

    train: Index
    validation: Index


def split_train_validation(
    n: int, labels: NDArray[Any] | None, share: float, seed: int
) -> TrainValidationSplit:
    """Draw validation rows, stratified by label.

    Args:
        n: number of training images.
        labels: int, shape (n,), or None for a draw that is not stratified.
        share: share of validation rows, between 0 and 1. Each side gets at least one row.
        seed: the same seed gives the same split.

    Returns:
        The split. Each class gives its exact quota rounded down; the classes with the largest
        remainders give one row more, until the total is right.

    Raises:
        ValueError: there are fewer than two rows.
    """
    if n < 2:
        raise ValueError("a split needs at least two images")
    total = min(max(round(n * share), 1), n - 1)
    generator = np.random.default_rng(seed)
    if labels is None:
        groups = [np.arange(n)]
    else:
        groups = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    quotas = _largest_remainders(np.array([len(group) for group in groups]), total)
    drawn = [
        generator.permutation(group)[:quota] for group, quota in zip(groups, quotas, strict=True)
    ]
    validation = np.sort(np.concatenate(drawn))
    train = np.setdiff1d(np.arange(n), validation, assume_unique=True)
    return TrainValidationSplit(train, validation)


def _largest_remainders(sizes: Index, total: int) -> Index:
    """Divide ``total`` in proportion to ``sizes`` (Hamilton's method of largest remainders)."""
    exact = sizes * (total / sizes.sum())
    quotas = np.asarray(np.floor(exact), dtype=np.int64)
    short = total - int(quotas.sum())
    quotas[np.argsort(quotas - exact, kind="stable")[:short]] += 1
    return np.asarray(quotas)
