"""Probes: simple classifiers on frozen features, fitted on training items, judged on test items."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from latentkit.neighbors import NeighborIndex

N_NEIGHBORS = 10
MOST_ITERATIONS = 100
_MOST_DIMENSIONS = 64  # above, all distances are computed
_ROWS = 1024

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def labelled_rows(labels: Labels, share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows whose labels a probe may see: a share of each class, one or more of it.

    With one seed a smaller share is part of a larger one.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        own = order[labels[order] == label]
        chosen.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(chosen))


def linear_probe(train: Features, labels: Labels, test: Features) -> Labels:
    """Return the labels (M,) that logistic regression gives ``test`` (M, D).

    Multinomial with an L2 penalty (scikit-learn's C = 1) on features (N, D) that are centred and
    divided by the root of their mean variance, so that their shape stays; `MOST_ITERATIONS` of
    L-BFGS (D. Liu, J. Nocedal 1989) in float32.
    """
    classes, scores = _scores(train, labels, test)
    found: Labels = classes[scores.argmax(1).numpy()]
    return found


def linear_probabilities(
    train: Features, labels: Labels, test: Features, n_classes: int
) -> Features:
    """Return the probability (M, n_classes) that `linear_probe` gives each label of ``test``."""
    classes, scores = _scores(train, labels, test)
    probabilities: Features = np.zeros((len(test), n_classes), np.float32)
    probabilities[:, classes] = scores.softmax(1).numpy()
    return probabilities


def _scores(train: Features, labels: Labels, test: Features) -> tuple[Labels, Tensor]:
    """Return the classes (K,) that there are, and the logits (M, K) of ``test``."""
    classes, targets = np.unique(labels, return_inverse=True)
    center = train.mean(0)
    scale = np.float32(math.sqrt(float(train.var(0).mean())) or 1.0)
    inputs = torch.from_numpy((train - center) / scale)
    weights = _logistic_regression(inputs, torch.from_numpy(targets), len(classes))
    scores = torch.from_numpy((test - center) / scale) @ weights[:-1] + weights[-1]
    return classes, scores


def _logistic_regression(inputs: Tensor, targets: Tensor, classes: int) -> Tensor:
    """Return the weights (D + 1, classes) for inputs (N, D), the last row for the constant."""
    n, d = inputs.shape
    weights = torch.zeros(d + 1, classes, requires_grad=True)
    optimiser = torch.optim.LBFGS(
        [weights],
        max_iter=MOST_ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-8,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def objective() -> Tensor:
        optimiser.zero_grad()
        scores = torch.addmm(weights[-1], inputs, weights[:-1])
        loss = cross_entropy(scores, targets) + weights[:-1].square().sum() / (2 * n)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return weights.detach()


def nearest(train: Features, test: Features, k: int) -> NDArray[np.int64]:
    """Return the rows (M, k) of ``train`` (N, D) nearest to each of ``test`` (M, D), in order."""
    if train.shape[1] <= _MOST_DIMENSIONS:
        return NeighborIndex(train).query(test, k).indices.astype(np.int64)
    center = train.mean(0)  # differences of large squares would drown the distances
    points, queries = torch.from_numpy(train - center), torch.from_numpy(test - center)
    squares = points.square().sum(1)
    found = [
        torch.addmm(squares, batch, points.T, alpha=-2).topk(k, largest=False).indices
        for batch in torch.split(queries, _ROWS)
    ]
    return torch.cat(found).numpy()


def vote(neighbors: NDArray[np.int64], labels: Labels) -> Labels:
    """Return the commonest label (M,) of the neighbours (M, k); of several, the nearest one's."""
    given = labels[neighbors]
    counts = (given[:, :, None] == given[:, None, :]).sum(2)
    winner = counts.argmax(1)  # the first of the largest
    chosen: Labels = given[np.arange(len(given)), winner]
    return chosen


def knn_probe(train: Features, labels: Labels, test: Features) -> Labels:
    """Return the labels (M,) that the `N_NEIGHBORS` nearest of ``train`` (N, D) give ``test``."""
    return vote(nearest(train, test, min(N_NEIGHBORS, len(train))), labels)


def confusion(truth: Labels, found: Labels, classes: int) -> NDArray[np.int64]:
    """Return how many items of each class (rows) were given each label (columns)."""
    counts = np.bincount(truth * classes + found, minlength=classes * classes)
    return counts.reshape(classes, classes)
