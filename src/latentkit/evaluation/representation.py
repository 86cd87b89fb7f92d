"""Representation on the evaluation card: probes and clusters, on latents and baselines.

Each figure is a function of the contingency table, counts (..., K, C) of items by cluster and
class. Leading axes are allowed, so that a bootstrap computes a figure on all resamples at once.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import cached_property, lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import csr_array
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d, linear

from latentkit.data.batches import DeviceImages
from latentkit.errors import UserError
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.inference import encode
from latentkit.evaluation.measuring import MOST_PROBED, Json, MeasuringHarness
from latentkit.plugin.events import StageProgress
from latentkit.plugin.images import Pixels
from latentkit.training.processes import Arrays, Pieces, piece

N_NEIGHBORS = 10
MOST_ITERATIONS = 100
_MOST_DIMENSIONS = 64  # with more dimensions, all distances are computed
_TEST_ROWS, _TRAIN_ROWS = 1024, 8192  # at once, to limit the memory
_PART = 2**20  # values processed at once, so that they stay in the processor's cache

Features = NDArray[np.float32] | Pixels
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


def indicators(clusters: NDArray[np.int64], labels: NDArray[np.int64]) -> csr_array:
    """Return (M, K C): 1 in the column of an item's pair of cluster and class, else 0.

    It is sparse, because a table of many classes has far more pairs than there are items.
    """
    k, c = int(clusters.max()) + 1, int(labels.max()) + 1
    m = len(labels)
    return csr_array((np.ones(m), (np.arange(m), clusters * c + labels)), shape=(m, k * c))


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


SHARES = (0.01, 0.1, 1.0)
"""Shares of the training labels that probes are trained on."""
_SIDE = 32  # height and width of a reduced image
_OWN = "latents"
# Spaces of features, and the cache name of what is measured there. It is empty if the features
# depend on the run's weights or model, because such results cannot be shared between runs.
_SPACES = {
    _OWN: "",
    "pca": "probes of pca of {}",
    "random_encoder": "",
    "raw_pixels": "probes of raw pixels",
}
_PROBES, _KMEANS, _WIDTH = ("linear", "knn"), "k-means", "n_features"
Pair = tuple[Features, Features]


def representation_pieces(harness: MeasuringHarness) -> Pieces:
    """Return what probes and k-means find in each space of features, as pieces of work."""
    trial = _trial(harness)
    return {} if isinstance(trial, str) else trial.pieces


def representation(harness: MeasuringHarness) -> Json:
    """Measure how well probes and k-means recover the labels from latents.

    Baselines are PCA, a random encoder and raw pixels.
    """
    trial = _trial(harness)
    if isinstance(trial, str):
        harness.leave_out("representation", trial)
        return {}
    _ = harness.pca_train  # the card says what is drawn, also if PCA is fitted elsewhere
    found: Json = {}
    for done, (name, once) in enumerate(_SPACES.items()):
        harness.emit(StageProgress("evaluate", done, len(_SPACES), f"probes of {name}"))
        measure = partial(trial.of, name)
        if name == _OWN:
            found[name], hits = measure()
            harness.arrays |= {f"{probe}_hits": of.astype(np.float64) for probe, of in hits.items()}
            continue
        kept = once.format(harness.model.latent_dim)
        with harness.optional(f"representation of the baseline {name}"):
            found[name], hits = harness.once(kept, measure) if kept else measure()
            harness.arrays |= {f"{name}_{probe}_hits": of for probe, of in hits.items()}
    return {
        "representation": {
            "n_train": len(trial.train_labels),
            "n_test": len(trial.test_labels),
            "n_classes": trial.classes,
            "knn": {"n_neighbors": N_NEIGHBORS},
            "linear": {"penalty": "l2", "C": 1.0, "max_iter": MOST_ITERATIONS},
            "kmeans": {"n_fitted": min(MOST_FITTED, len(trial.train_labels))},
            "spaces": found,
        }
    }


Hits = dict[str, NDArray[np.bool_]]
"""By probe, whether each test image was given its label, with all training labels."""


def _trial(harness: MeasuringHarness) -> _Trial | str:
    """Return what measures the spaces of features, or why they cannot be measured."""
    train_labels, test_labels = harness.context.images("train").labels, harness.test_labels
    if train_labels is None or test_labels is None:
        return "probes and clusters need labels"
    known = _chosen(train_labels[harness.context.split.train], harness.probed_train)
    truth = _chosen(test_labels, harness.probed_test)
    if len(np.unique(known)) < 2 or len(np.unique(truth)) < 2:
        return "all images are of one class"
    return _Trial(harness, known, truth)


class _Trial:
    """Applies the same probes and k-means to every space of features."""

    def __init__(
        self, harness: MeasuringHarness, train_labels: Labels, test_labels: Labels
    ) -> None:
        self.harness = harness
        self.train_labels = train_labels
        self.test_labels = test_labels
        if harness.probed_test is not None:
            harness.arrays["probed_rows"] = harness.probed_test
        self.classes = len(np.unique(train_labels))
        seed = harness.seed("labels")
        self.rows = {share: labelled_rows(train_labels, share, seed) for share in SHARES}
        self._features = lru_cache(1)(partial(_features, harness))

    @cached_property
    def bootstrap(self) -> Bootstrap:
        """Draws of the test images that are probed, made only where there are intervals to find."""
        if self.harness.probed_test is None:
            return self.harness.bootstrap
        return Bootstrap(len(self.test_labels), self.harness.seed("probes"))

    @property
    def pieces(self) -> Pieces:
        """What each probe and k-means finds in each space, as pieces of work."""
        # An attribute would refer to this object, and keep features until the collector comes.
        return {
            f"{what} of {space}": partial(self._found, space, what)
            for space in _SPACES
            for what in (*_PROBES, _KMEANS)
        }

    def of(self, space: str) -> tuple[Json, Hits]:
        found: Json = {}
        of_images: Hits = {}
        own = space == _OWN
        for probe in _PROBES:
            given = self._piece(space, probe)
            found |= {"n_features": int(given[_WIDTH]), probe: []}
            for share, rows in self.rows.items():
                hits = given[str(share)] == self.test_labels
                accuracy = asdict(self.bootstrap.of_mean(hits))
                found[probe].append({"share": share, "n_labels": len(rows), "accuracy": accuracy})
                if share == 1.0:
                    of_images[probe] = hits
                    if own:
                        self.harness.arrays[f"{probe}_labels"] = given[str(share)]
        if own:
            names = self.harness.class_names
            counts = confusion(self.test_labels, self.harness.arrays["linear_labels"], len(names))
            found["confusion"] = {"probe": "linear", "counts": counts.tolist()}
        found["kmeans"] = self._clusters(self._piece(space, _KMEANS)["clusters"])
        return found, of_images

    def _piece(self, space: str, what: str) -> Arrays:
        name = f"{what} of {space}"
        return piece(name, self.pieces[name])

    def _found(self, space: str, what: str) -> Arrays:
        """Return the labels or clusters (M,) that a probe or k-means finds for the test images."""
        train, test = self._features(space)
        if what == _KMEANS:
            seed = self.harness.seed(_KMEANS)
            return {"clusters": k_means(train, test, self.classes, seed)}
        fit = linear_probe if what == "linear" else knn_probe
        labels = {
            str(share): fit(_chosen(train, rows), self.train_labels[rows], test)
            for share, rows in self.rows.items()
        }
        return {_WIDTH: np.array(train.shape[1]), **labels}

    def _clusters(self, clusters: Labels) -> Json:
        columns = indicators(clusters, self.test_labels)
        shape = (int(clusters.max()) + 1, int(self.test_labels.max()) + 1)
        figures: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
            "accuracy": matched_accuracy,
            "nmi": normalised_mutual_information,
            "ari": adjusted_rand_index,
        }

        def figure(name: str) -> Json:
            return asdict(
                self.bootstrap.of(
                    lambda sums: figures[name](sums.reshape(*sums.shape[:-1], *shape)), columns
                )
            )

        return {"n_clusters": self.classes, **{name: figure(name) for name in figures}}


def _features(harness: MeasuringHarness, space: str) -> Pair:
    """Return the features of a space for the training and test images that are probed."""
    rows = harness.probed_train, harness.probed_test
    if space == _OWN:
        of_splits = zip(("train", "test"), rows, strict=True)
        train, test = (_chosen(harness.latents[split], few) for split, few in of_splits)
        return train, test
    if space == "pca":
        features: Callable[[DeviceImages], Features] = harness.pca.codes
    elif space == "random_encoder":
        model = harness.context.random_model()
        if getattr(model, "pretrained", False):
            _check_random(harness.model, model)
        features = partial(encode, model)
    else:
        features = _pixels
    of_images = zip((harness.train, harness.test), rows, strict=True)
    train, test = (features(all_ if few is None else all_.subset(few)) for all_, few in of_images)
    return train, test


def _check_random(model: Any, random: Any) -> None:
    """Refuse a random encoder that has the weights with which the model arrives.

    Raises:
        UserError: they are the same.
    """
    state = random.state_dict()
    if all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items()):
        raise UserError("the model loads its own weights, also when random ones are asked for")


def _chosen(values: Any, rows: NDArray[np.int64] | None) -> Any:
    """Return rows of an array, without a copy if the (ascending) rows are all of them."""
    return values if rows is None or len(rows) == len(values) else values[rows]


def _pixels(images: DeviceImages) -> Features:
    """Return the stored pixels as rows (N, P); large images are reduced by average pooling."""
    if images.values_of_image <= MOST_PROBED:
        return images.stored_rows()
    reduced = np.empty((0, 0), dtype=np.float32)
    done = 0
    for batch in images.in_order():
        flat = adaptive_avg_pool2d(batch, _SIDE).cpu().contiguous().flatten(1).numpy()
        if not done:
            reduced = np.empty((len(images), flat.shape[1]), dtype=np.float32)
        reduced[done : done + len(flat)] = flat
        done += len(flat)
    return reduced
