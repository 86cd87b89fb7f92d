"""Probes: simple classifiers on frozen features, fitted on training and measured on test items."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import linear

N_NEIGHBORS = 10
MOST_ITERATIONS = 100
_MOST_DIMENSIONS = 64  # with more dimensions, all distances are computed
_TEST_ROWS, _TRAIN_ROWS = 1024, 8192  # at once, to limit the memory
_PART = 2**20  # values processed at once, so that they stay in the processor's cache

Features = NDArray[np.float32] | NDArray[np.uint8]
"""Rows of features. To save memory, bytes become float32 only a few rows at a time."""
Labels = NDArray[np.int64]


def labelled_rows(labels: Labels, share: float, seed: int) -> NDArray[np.int64]:
    """Return the rows whose labels a probe may use: a share of each class, at least one row.

    With one seed, the rows of a smaller share are a subset of those of a larger share.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    chosen = []
    for label in np.unique(labels):
        own = order[labels[order] == label]
        chosen.append(own[: max(1, round(share * len(own)))])
    return np.sort(np.concatenate(chosen))


def linear_probe(train: Features, labels: Labels, test: Features) -> Labels:
    """Return the labels (M,) that logistic regression predicts for ``test`` (M, D).

    The regression is multinomial with an L2 penalty (scikit-learn's C = 1). The features (N, D) are
    centred, and all are divided by one number, the root of their mean variance, so that their
    relative scales stay. The fit takes at most `MOST_ITERATIONS` iterations of L-BFGS (D. Liu,
    J. Nocedal 1989) in float32.
    """
    classes, scores = _scores(train, labels, test)
    found: Labels = classes[scores.argmax(1).numpy()]
    return found


def linear_probabilities(
    train: Features, labels: Labels, test: Features, n_classes: int
) -> NDArray[np.float32]:
    """Return the probability (M, n_classes) that `linear_probe` gives each label of ``test``."""
    classes, scores = _scores(train, labels, test)
    probabilities = np.zeros((len(test), n_classes), np.float32)
    probabilities[:, classes] = scores.softmax(1).numpy()
    return probabilities


def _scores(train: Features, labels: Labels, test: Features) -> tuple[Labels, Tensor]:
    """Return the classes (K,) in ``labels``, and the logits (M, K) of ``test``."""
    classes, targets = np.unique(labels, return_inverse=True)
    weights, constant = _logistic_regression(
        _tensor(train), torch.from_numpy(targets), len(classes)
    )
    return classes, torch.cat(
        [linear(part, weights, constant) for _, part in _parts(_tensor(test))]
    )


def _tensor(features: Features) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(features))


def _parts(inputs: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """Yield (N, D) a few rows at a time: their slice, and the rows as float32."""
    size = max(1, _PART // inputs.shape[1])
    for start in range(0, len(inputs), size):
        rows = slice(start, start + size)
        yield rows, inputs[rows].float()


def _centre_and_scale(inputs: Tensor) -> tuple[Tensor, float]:
    """Return the mean (D,) and the root of the mean variance, or 1 if nothing varies."""
    n, d = inputs.shape
    center = torch.zeros(d, dtype=torch.float64)
    for _, part in _parts(inputs):
        center += part.sum(0, dtype=torch.float64) / n
    squares = sum(float((part - center).square().sum()) for _, part in _parts(inputs))
    return center.float(), math.sqrt(squares / (n * d)) or 1.0


def _logistic_regression(inputs: Tensor, targets: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """Return weights (classes, D) and constants (classes,) for the original inputs (N, D).

    The fitted and penalised weights are those for centred and scaled inputs. Such inputs are never
    stored, because those of a large set of images would be the largest array in memory. Classes are
    rows throughout and the gradient is written by hand, which is several times faster on a CPU.
    """
    n, d = inputs.shape
    center, scale = _centre_and_scale(inputs)
    fitted = torch.zeros(classes, d + 1)
    known = torch.zeros(classes, n).scatter_(0, targets[None], 1.0)
    optimiser = torch.optim.LBFGS(
        [fitted],
        max_iter=MOST_ITERATIONS,
        tolerance_grad=1e-5,
        tolerance_change=1e-8,
        history_size=10,
        line_search_fn="strong_wolfe",
    )

    def unscaled() -> tuple[Tensor, Tensor]:
        weights = fitted[:, :-1] / scale
        return weights, fitted[:, -1] - weights @ center

    def objective() -> Tensor:
        weights, constant = unscaled()
        loss = fitted[:, :-1].double().square().sum() / (2 * n)
        gradient = torch.zeros_like(fitted)
        by_weights, by_constant = gradient[:, :-1], gradient[:, -1]
        for rows, part in _parts(inputs):
            scores = torch.addmm(constant[:, None], weights, part.T).log_softmax(0)
            loss -= scores.gather(0, targets[None, rows]).double().sum() / n
            excess = scores.exp_().sub_(known[:, rows]).div_(n)  # d loss / d scores
            by_weights.addmm_(excess, part)
            by_constant += excess.sum(1)
        # Chain rule from weights of the original inputs to the fitted ones, and the penalty.
        by_weights.addr_(by_constant, center, alpha=-1).div_(scale).add_(
            fitted[:, :-1], alpha=1 / n
        )
        fitted.grad = gradient
        return loss

    optimiser.step(objective)  # type: ignore[no-untyped-call]
    return unscaled()


def nearest(train: Features, test: Features, k: int) -> NDArray[np.int64]:
    """Return the rows (M, k) of ``train`` (N, D) nearest to each of ``test`` (M, D), in order."""
    if train.shape[1] <= _MOST_DIMENSIONS:
        from latentkit.neighbors import NeighborIndex

        return NeighborIndex(train).query(test, k).indices.astype(np.int64)
    # Centre the rows: differences of large squares would lose the distances to rounding.
    center = train.mean(0, dtype=np.float64).astype(np.float32)
    queries = torch.from_numpy(test - center)
    # Reuse buffers: a new block for each product would fragment the memory.
    points = torch.empty(min(_TRAIN_ROWS, len(train)), train.shape[1])
    distances = torch.empty(_TEST_ROWS, len(points))
    best = torch.full((len(test), k), torch.inf)
    rows = torch.zeros((len(test), k), dtype=torch.int64)
    for start in range(0, len(train), _TRAIN_ROWS):
        part = train[start : start + _TRAIN_ROWS]
        np.subtract(part, center, out=points[: len(part)].numpy())
        squares = points[: len(part)].square().sum(1)
        for first in range(0, len(test), _TEST_ROWS):
            asked = slice(first, first + _TEST_ROWS)
            block = distances[: len(queries[asked]), : len(part)]
            # The squared norm of the query is left out: it does not change the order.
            torch.addmm(squares, queries[asked], points[: len(part)].T, alpha=-2, out=block)
            found = block.topk(min(k, len(part)), largest=False)
            values = torch.cat([best[asked], found.values], 1)
            places = torch.cat([rows[asked], found.indices + start], 1)
            best[asked], order = values.topk(k, largest=False)
            rows[asked] = places.gather(1, order)
    return rows.numpy()


def vote(neighbors: NDArray[np.int64], labels: Labels) -> Labels:
    """Return the most common label (M,) of the neighbours (M, k); on a tie, the nearest one's."""
    given = labels[neighbors]
    counts = (given[:, :, None] == given[:, None, :]).sum(2)
    winner = counts.argmax(1)  # the first of the largest
    chosen: Labels = given[np.arange(len(given)), winner]
    return chosen


def knn_probe(train: Features, labels: Labels, test: Features) -> Labels:
    """Return the labels (M,) of ``test`` by vote of its `N_NEIGHBORS` nearest in ``train``."""
    return vote(nearest(train, test, min(N_NEIGHBORS, len(train))), labels)


def confusion(truth: Labels, found: Labels, classes: int) -> NDArray[np.int64]:
    """Return how many items of each class (rows) were given each label (columns)."""
    counts = np.bincount(truth * classes + found, minlength=classes * classes)
    return counts.reshape(classes, classes)
