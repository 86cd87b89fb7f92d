"""Selection of the labels that a classifier is trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.evaluation.probes import labelled_rows

Labels = NDArray[np.int64]


def draw_labelled(labels: Labels, wanted: float | int, seed: int) -> NDArray[np.int64]:
    """Return the rows (M,), in ascending order, whose labels the classifier may use.

    Args:
        labels: (N,), those of the training images.
        wanted: a float up to 1 is the share of each class, with at least one label of each. An
            int is the total number, drawn in proportion to the classes.
        seed: seed of the draw. With the same seed, a smaller share is a subset of a larger one.

    Raises:
        UserError: there are fewer labels than wanted.
    """
    if isinstance(wanted, float):
        return labelled_rows(labels, wanted, seed)
    if wanted > len(labels):
        raise UserError(
            f"{wanted:,} labels are asked for and there are {len(labels):,} training images: "
            f"use a smaller number for --labels"
        )
    order = np.random.default_rng(seed).permutation(len(labels))
    sizes = np.bincount(labels)
    # The place of each row in its class, from 0 to 1. The `wanted` rows with the smallest places
    # then contain the classes in proportion.
    places = np.empty(len(labels))
    for label in np.flatnonzero(sizes):
        own = order[labels[order] == label]
        places[own] = (np.arange(len(own)) + 0.5) / len(own)
    chosen = order[np.argsort(places[order], kind="stable")[:wanted]]
    return np.sort(chosen)


def check_classes(given: Labels, known: Labels, class_names: tuple[str, ...], dataset: str) -> None:
    """Refuse labels in which a class is missing.

    Args:
        given: the labels that the classifier may use.
        known: all labels of training and test images.
        class_names: name of each label.
        dataset: name of the dataset, for the message.

    Raises:
        UserError: there is only one class, or a class is not among the given labels.
    """
    classes = np.unique(known)
    if len(classes) < 2:
        raise UserError(f"dataset {dataset!r} has one class only: choose one with two or more")
    missing = np.setdiff1d(classes, given)
    if len(missing):
        names = ", ".join(repr(class_names[label]) for label in missing[:3])
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UserError(
            f"the {len(given):,} labels include none of class {names}{more}: use more --labels, or "
            f"a share such as --labels 10%, which includes every class"
        )


def label_text(wanted: float | int) -> str:
    """Return a share as text such as ``10%``, and a number of labels as ``500``."""
    return f"{100 * wanted:.6g}%" if isinstance(wanted, float) else str(wanted)
