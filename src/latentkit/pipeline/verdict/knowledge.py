"""Representation part of the evaluation card: simple probes on latents and on baselines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch.nn.functional import adaptive_avg_pool2d

from latentkit.data.batches import DeviceImages
from latentkit.evaluation.clusters import (
    MOST_FITTED,
    adjusted_rand_index,
    indicators,
    k_means,
    matched_accuracy,
    normalised_mutual_information,
)
from latentkit.evaluation.inference import encode
from latentkit.evaluation.probes import (
    MOST_ITERATIONS,
    N_NEIGHBORS,
    Features,
    Labels,
    confusion,
    knn_probe,
    labelled_rows,
    linear_probe,
)
from latentkit.pipeline.verdict.judge import Json, Judge
from latentkit.plugin.events import StageProgress

SHARES = (0.01, 0.1, 1.0)
"""Shares of the training labels that probes are trained on."""
MOST_ITEMS = 60_000
_MOST_VALUES = 3_072  # of an image; larger images are reduced
_SIDE = 32  # height and width of a reduced image
_OWN = "latents"
Pair = tuple[Features, Features]


def representation(judge: Judge) -> Json:
    """Measure how well probes and k-means recover the labels from latents.

    Baselines are PCA, a random encoder and raw pixels.
    """
    train_labels, test_labels = judge.context.images("train").labels, judge.test_labels
    if train_labels is None or test_labels is None:
        judge.leave_out("representation", "probes and clusters need labels")
        return {}
    rows = judge.context.split.train
    if len(np.unique(train_labels[rows])) < 2 or len(np.unique(test_labels)) < 2:
        judge.leave_out("representation", "all images are of one class")
        return {}
    kept = np.arange(len(rows))
    if len(rows) > MOST_ITEMS:
        generator = np.random.default_rng(judge.seed("training items"))
        kept = np.sort(generator.choice(len(rows), MOST_ITEMS, replace=False))
    trial = _Trial(judge, train_labels[rows][kept], test_labels)
    spaces = _spaces(judge)
    found: Json = {}
    for done, (name, features, once) in enumerate(spaces):
        judge.context.tell(StageProgress("evaluate", done, len(spaces), f"probes of {name}"))
        measure = partial(_measure, trial, features, kept, own=name == _OWN)
        found[name] = judge.once(once, measure) if once else measure()
    return {
        "representation": {
            "n_train": len(kept),
            "n_classes": trial.classes,
            "knn": {"n_neighbors": N_NEIGHBORS},
            "linear": {"penalty": "l2", "C": 1.0, "max_iter": MOST_ITERATIONS},
            "kmeans": {"n_fitted": min(MOST_FITTED, len(kept))},
            "spaces": found,
        }
    }


def _measure(
    trial: _Trial, features: Callable[[], Pair], kept: NDArray[np.int64], *, own: bool
) -> Json:
    train, test = features()
    return trial.of(_chosen(train, kept), test, own=own)


class _Trial:
    """Applies the same probes and k-means to every space of features."""

    def __init__(self, judge: Judge, train_labels: Labels, test_labels: Labels) -> None:
        self.judge = judge
        self.train_labels = train_labels
        self.test_labels = test_labels
        self.classes = len(np.unique(train_labels))
        seed = judge.seed("labels")
        self.rows = {share: labelled_rows(train_labels, share, seed) for share in SHARES}

    def of(self, train: Features, test: Features, *, own: bool) -> Json:
        found: Json = {"n_features": train.shape[1]}
        for probe, fit in (("linear", linear_probe), ("knn", knn_probe)):
            found[probe] = []
            for share, rows in self.rows.items():
                given = fit(_chosen(train, rows), self.train_labels[rows], test)
                hits = (given == self.test_labels).astype(np.float64)
                accuracy = self.judge.mean(hits)
                found[probe].append({"share": share, "n_labels": len(rows), "accuracy": accuracy})
                if own and share == 1.0:
                    self.judge.arrays[f"{probe}_hits"] = hits
                    self.judge.arrays[f"{probe}_labels"] = given
        if own:
            names = self.judge.class_names
            counts = confusion(self.test_labels, self.judge.arrays["linear_labels"], len(names))
            found["confusion"] = {"probe": "linear", "counts": counts.tolist()}
        found["kmeans"] = self._clusters(train, test)
        return found

    def _clusters(self, train: Features, test: Features) -> Json:
        clusters = k_means(train, test, self.classes, self.judge.seed("k-means"))
        columns = indicators(clusters, self.test_labels)
        shape = (int(clusters.max()) + 1, int(self.test_labels.max()) + 1)
        figures: dict[str, Callable[[NDArray[np.float64]], NDArray[np.float64]]] = {
            "accuracy": matched_accuracy,
            "nmi": normalised_mutual_information,
            "ari": adjusted_rand_index,
        }

        def figure(name: str) -> Json:
            return asdict(
                self.judge.bootstrap.of(
                    lambda sums: figures[name](sums.reshape(*sums.shape[:-1], *shape)), columns
                )
            )

        return {"n_clusters": self.classes, **{name: figure(name) for name in figures}}


def _spaces(judge: Judge) -> list[tuple[str, Callable[[], Pair], str]]:
    """Return (name, function, cache name) of each space that probes are trained on.

    The function returns features of training and of test images. The cache name is empty if the
    features depend on the run's model, because such results cannot be shared between runs.
    """

    def latents() -> Pair:
        return judge.latents("train"), judge.latents("test")

    def pca() -> Pair:
        return judge.pca.codes(judge.train), judge.pca.codes(judge.test)

    def random_encoder() -> Pair:
        model = judge.context.new_model()
        return encode(model, judge.train), encode(model, judge.test)

    def raw_pixels() -> Pair:
        return _pixels(judge.train), _pixels(judge.test)

    return [
        (_OWN, latents, ""),
        ("pca", pca, f"probes of pca of {judge.model.latent_dim}"),
        ("random_encoder", random_encoder, ""),
        ("raw_pixels", raw_pixels, "probes of raw pixels"),
    ]


def _chosen(features: Features, rows: NDArray[np.int64]) -> Features:
    """Return rows of features, without a copy if the (ascending) rows are all of them."""
    return features if len(rows) == len(features) else features[rows]


def _pixels(images: DeviceImages) -> Features:
    """Return the stored pixels as rows (N, P); large images are reduced by average pooling."""
    if images.values_of_image <= _MOST_VALUES:
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
