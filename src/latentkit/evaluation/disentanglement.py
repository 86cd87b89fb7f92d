"""Disentanglement: whether single latents encode single true factors (MIG, DCI, SAP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation.measuring import Json, MeasuringHarness
from latentkit.training.processes import Arrays, Pieces, piece

BINS = 20
MOST_ITEMS = 5_000
TREES = 50

Factors = NDArray[np.float64]


@dataclass(frozen=True)
class Disentanglement:
    """Disentanglement of latents whose factors are known. Values range from 0 to 1, except R^2.

    Args:
        mig: mutual information gap (R. Chen et al., NeurIPS 2018): the information about a factor
            in the best latent minus that in the second best, as a share of the factor's entropy.
        disentanglement: DCI (C. Eastwood, C. Williams, ICLR 2018): whether a latent encodes one
            factor only.
        completeness: DCI: whether a factor is encoded in one latent only.
        informativeness: DCI: how well all latents together predict each factor on test items:
            accuracy for a categorical factor; R^2 for a continuous one, which may be below 0.
        sap: separated attribute predictability (A. Kumar et al., ICLR 2018): how much better the
            best single latent predicts a factor linearly than the second best.
        mig_by_factor: the mutual information gap of each factor, (F,).
        importance: how important each latent (rows) is for each factor (columns); columns add up
            to 1.
    """

    mig: float
    disentanglement: float
    completeness: float
    informativeness: NDArray[np.float64]
    sap: float
    mig_by_factor: NDArray[np.float64]
    importance: NDArray[np.float64]


def measure_disentanglement(
    train: NDArray[np.float32],
    train_factors: Factors,
    test: NDArray[np.float32],
    test_factors: Factors,
    seed: int,
) -> Disentanglement:
    """Measure the disentanglement of latents (N, D), (M, D) with factors (N, F), (M, F).

    Predictors are fitted on at most `MOST_ITEMS` training items and measured on at most as many
    test items. A factor is categorical if it takes at most `BINS` values, all whole numbers. Any
    other factor is continuous. For MIG, continuous factors and latents are cut into `BINS` equal
    parts.
    """
    train, train_factors = _some(train, train_factors, seed)
    test, test_factors = _some(test, test_factors, seed)
    gaps = mutual_information_gaps(test, test_factors)
    importance, informativeness = _forests(train, train_factors, test, test_factors, seed)
    return Disentanglement(
        mig=float(gaps.mean()),
        disentanglement=disentanglement(importance),
        completeness=completeness(importance),
        informativeness=informativeness,
        sap=_sap(train, train_factors, test, test_factors),
        mig_by_factor=gaps,
        importance=importance,
    )


def has_kinds(factor: NDArray[np.float64]) -> bool:
    """Return whether a factor (N,) is categorical: it takes few values, all whole numbers."""
    values = np.unique(factor)
    return len(values) <= BINS and bool((values == np.rint(values)).all())


def mutual_information_gaps(latents: NDArray[np.floating[Any]], factors: Factors) -> Factors:
    """Return each factor's mutual information gap, (F,), from latents (N, D), factors (N, F)."""
    codes = [_binned(column) for column in latents.T]
    gaps = []
    for factor in factors.T:
        kinds = np.unique(factor, return_inverse=True)[1] if has_kinds(factor) else _binned(factor)
        entropy = _information(kinds, kinds)
        known = sorted([_information(code, kinds) for code in codes] + [0.0], reverse=True)
        gaps.append((known[0] - known[1]) / entropy if entropy else 0.0)
    return np.array(gaps)


def disentanglement(importance: NDArray[np.float64]) -> float:
    """Return DCI's disentanglement from importances (D, F): 1 - entropy, averaged by weight."""
    weights = importance.sum(1)
    if importance.shape[1] == 1 or not weights.sum():
        return 1.0 if weights.sum() else 0.0
    scores = 1 - _row_entropies(importance) / np.log(importance.shape[1])
    return float((weights * scores).sum() / weights.sum())


def completeness(importance: NDArray[np.float64]) -> float:
    """Return DCI's completeness from importances (D, F): the mean over factors of 1 - entropy."""
    if len(importance) == 1:
        return 1.0
    return float((1 - _row_entropies(importance.T) / np.log(len(importance))).mean())


def _some(
    latents: NDArray[np.float32], factors: Factors, seed: int
) -> tuple[NDArray[np.float32], Factors]:
    if len(latents) <= MOST_ITEMS:
        return latents, factors
    rows = np.random.default_rng(seed).choice(len(latents), MOST_ITEMS, replace=False)
    return latents[rows], factors[rows]


def _binned(values: NDArray[np.floating[Any]]) -> NDArray[np.int64]:
    """Return which of `BINS` equal parts of the range each value is in."""
    edges = np.linspace(values.min(), values.max(), BINS + 1)[1:-1]
    return np.searchsorted(edges, values, side="right")


def _information(a: NDArray[np.int64], b: NDArray[np.int64]) -> float:
    """Return the mutual information of two codes (N,) in nats."""
    joint = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(joint, (a, b), 1 / len(a))
    apart = joint.sum(1, keepdims=True) * joint.sum(0)
    there = joint > 0
    return float((joint[there] * np.log(joint[there] / apart[there])).sum())


def _row_entropies(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = matrix.sum(1, keepdims=True)
    # A row of zeros has no information, so it counts as uniform.
    shares = np.where(totals > 0, matrix, 1.0) / np.where(totals > 0, totals, matrix.shape[1])
    entropies: NDArray[np.float64] = -(shares * np.log(np.where(shares > 0, shares, 1))).sum(1)
    return entropies


def _forests(
    train: NDArray[np.float32],
    train_factors: Factors,
    test: NDArray[np.float32],
    test_factors: Factors,
    seed: int,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return importances (D, F) and test scores (F,) of one random forest per factor."""
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    columns, scores = [], []
    for factor, truth in zip(train_factors.T, test_factors.T, strict=True):
        forest = RandomForestClassifier if has_kinds(factor) else RandomForestRegressor
        model = forest(TREES, max_features=None, min_samples_leaf=5, random_state=seed % 2**32)
        model.fit(train, factor)
        columns.append(model.feature_importances_)
        scores.append(model.score(test, truth))
    return np.column_stack(columns), np.array(scores)


def _sap(
    train: NDArray[np.float32],
    train_factors: Factors,
    test: NDArray[np.float32],
    test_factors: Factors,
) -> float:
    gaps = []
    for factor, truth in zip(train_factors.T, test_factors.T, strict=True):
        if has_kinds(factor):
            scores = [
                _kinds_from(*pair, factor, truth) for pair in zip(train.T, test.T, strict=True)
            ]
        else:
            scores = [_squared_correlation(latent, truth) for latent in test.T]
        best, second = sorted([*scores, 0.0], reverse=True)[:2]
        gaps.append(best - second)
    return float(np.mean(gaps))


def _kinds_from(
    latent: NDArray[np.float32], test: NDArray[np.float32], factor: Factors, truth: Factors
) -> float:
    """Return the test accuracy of logistic regression from one latent (N,)."""
    from sklearn.linear_model import LogisticRegression

    if len(np.unique(factor)) == 1:
        return float((truth == factor[0]).mean())
    center, scale = latent.mean(), latent.std() or 1.0
    model = LogisticRegression(C=100.0).fit(((latent - center) / scale)[:, None], factor)
    return float(model.score(((test - center) / scale)[:, None], truth))


def _squared_correlation(latent: NDArray[np.float32], truth: Factors) -> float:
    """Return the squared correlation of one latent (N,) with a continuous factor (N,)."""
    if not latent.std() or not truth.std():
        return 0.0
    return float(np.corrcoef(latent, truth)[0, 1] ** 2)


def factor_pieces(harness: MeasuringHarness) -> Pieces:
    """Return the measures of factors as a piece of work; none if the images have no factors."""
    train, test = (harness.context.images(split).factors for split in ("train", "test"))
    if train is None or test is None:
        return {}
    known, truth = train[harness.context.split.train], test

    def make() -> Arrays:
        found = measure_disentanglement(
            harness.latents["train"],
            known,
            harness.latents["test"],
            truth,
            harness.seed("disentanglement"),
        )
        return {name: np.asarray(value) for name, value in vars(found).items()}

    return {"disentanglement": make}


def measure_factors(harness: MeasuringHarness) -> Json:
    """Measure whether single latent dimensions represent single factors."""
    pieces = factor_pieces(harness)
    if not pieces:
        harness.leave_out("disentanglement", "the training images have no factors")
        return {}
    ((name, make),) = pieces.items()
    found = piece(name, make)
    columns = zip(
        harness.context.images("test").factor_names,
        found["mig_by_factor"].tolist(),
        found["informativeness"].tolist(),
        found["importance"].T.tolist(),
        strict=True,
    )
    return {
        "disentanglement": {
            "n_images": min(MOST_ITEMS, len(harness.test)),
            "mig": float(found["mig"]),
            "dci_disentanglement": float(found["disentanglement"]),
            "dci_completeness": float(found["completeness"]),
            "dci_informativeness": float(found["informativeness"].mean()),
            "sap": float(found["sap"]),
            "factors": [
                {"factor": name, "mig": mig, "informativeness": score, "importance": importance}
                for name, mig, score, importance in columns
            ],
        }
    }
