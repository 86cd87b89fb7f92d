"""Which labels a classifier may see."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.evaluation.probes import labelled_rows

Labels = NDArray[np.int64]


def draw_labelled(labels: Labels, wanted: float | int, seed: int) -> NDArray[np.int64]:
    """Return the rows (M,), in order, whose labels are given.

    Args:
        labels: (N,), those of the training images.
        wanted: a share of each class, as a float up to 1, one label or more of it; or how many
            in all, as an int, drawn in proportion to the classes.
        seed: with one seed, a smaller draw by share is part of a larger one.

    Raises:
        UserError: more labels are wanted than there are.
    """
    if isinstance(wanted, float):
        return labelled_rows(labels, wanted, seed)
    if wanted > len(labels):
        raise UserError(
            f"{wanted:,} labels are asked for and there are {len(labels):,} training images: "
            f"give at most so many with --labels"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    sizes = np.bincount(labels)
    # Each row's place in its class, from 0 to 1: the first `wanted` of all are in proportion.
    places = np.empty(len(labels))
    for label in np.flatnonzero(sizes):
        own = order[labels[order] == label]
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
    chosen = order[np.argsort(places[order], kind="stable")[:wanted]]
    return np.sort(chosen)


def check_classes(given: Labels, known: Labels, class_names: tuple[str, ...], dataset: str) -> None:
    """Refuse labels that leave a class out.

    Args:
        given: the labels that the classifier sees.
        known: all labels of training and test images.
        class_names: name of each label.
        dataset: for the message.

    Raises:
        UserError: there is one class only, or one that is not among those given.
    """
    classes = np.unique(known)
    if len(classes) < 2:
        raise UserError(f"dataset {dataset!r} has one class only: there is nothing to tell apart")
    missing = np.setdiff1d(classes, given)
    if len(missing):
        names = ", ".join(repr(class_names[label]) for label in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"the {len(given):,} labels that are given hold none of class {names}{more}: give more "
            f"with --labels, or a share such as --labels 10%, which takes some of each class"
        )


def label_text(wanted: float | int) -> str:
    """Return a share as ``10%``, a number of labels as ``500``."""
    return f"{100 * wanted:.6g}%" if isinstance(wanted, float) else str(wanted)
