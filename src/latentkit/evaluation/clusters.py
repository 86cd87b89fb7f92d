"""Clusters against labels: accuracy of the best matching, mutual information, Rand index.

Each figure is a function of the contingency table, counts (..., K, C) of items by cluster and
class. Leading axes are allowed, so that a bootstrap computes a figure on all resamples at once.
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from latentkit.evaluation.probes import Features

MOST_FITTED = 10_000
STARTS = 4

Counts = NDArray[np.float64]


def k_means(train: Features, test: Features, k: int, seed: int) -> NDArray[np.int64]:
    """Return the cluster (M,) of each of ``test`` (M, D).

    The clusters are the best of `STARTS` runs of k-means on at most `MOST_FITTED` rows of ``train``
    (N, D).
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    rows = np.arange(len(train))
    if len(train) > MOST_FITTED:
        rows = np.sort(np.random.default_rng(seed).choice(len(train), MOST_FITTED, replace=False))
    model = KMeans(min(k, len(rows)), n_init=STARTS, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than clusters
        model.fit(train[rows].astype(np.float32, copy=False))
    found: NDArray[np.int64] = model.predict(test.astype(np.float32, copy=False)).astype(np.int64)
    return found


def indicators(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> Counts:
    """Return (M, K C): 1 in the column of an item's pair of cluster and class, else 0."""
    k, c = int(clusters.max()) + 1, int(labels.max()) + 1
    table = np.zeros((len(labels), k * c))
    table[np.arange(len(labels)), clusters * c + labels] = 1
    return table


def matched_accuracy(counts: Counts) -> Counts:
    """Return the accuracy of the best matching of clusters to classes (H. Kuhn)."""
    flat = counts.reshape(-1, *counts.shape[-2:])
    hits = [table[linear_sum_assignment(table, maximize=True)].sum() for table in flat]
    shares: Counts = np.reshape(hits, counts.shape[:-2]) / counts.sum((-2, -1))
    return shares


def normalised_mutual_information(counts: Counts) -> Counts:
    """Return the mutual information divided by the mean of both entropies; 1 if both are 0."""
    joint = counts / counts.sum((-2, -1), keepdims=True)
    clusters, classes = joint.sum(-1), joint.sum(-2)
    entropies = _entropy(clusters) + _entropy(classes)
    information = entropies - _entropy(joint.reshape(*joint.shape[:-2], -1))
    with np.errstate(invalid="ignore"):
        return np.where(entropies > 0, np.maximum(2 * information, 0) / entropies, 1.0)


def adjusted_rand_index(counts: Counts) -> Counts:
    """Return the Rand index, adjusted for chance (L. Hubert, P. Arabie 1985)."""
    pairs = _pairs(counts).sum((-2, -1))
    clusters, classes = _pairs(counts.sum(-1)).sum(-1), _pairs(counts.sum(-2)).sum(-1)
    expected = clusters * classes / _pairs(counts.sum((-2, -1)))
    most = (clusters + classes) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(most == expected, 1.0, (pairs - expected) / (most - expected))


def _entropy(shares: Counts) -> Counts:
    logs = np.log(np.where(shares > 0, shares, 1))
    total: Counts = -(shares * logs).sum(-1)
    return total


def _pairs(counts: Counts) -> Counts:
    return counts * (counts - 1) / 2
