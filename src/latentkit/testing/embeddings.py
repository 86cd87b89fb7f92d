"""Checks of embeddings: finite coordinates for every vector, and the same map for the same seed.

The vectors are 120 points in three clusters in eight dimensions.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.plugin import protocols
from latentkit.testing.checked_parts import Check, Subject, claim, claim_refused, global_seed

_POINTS, _DIMENSIONS, _CLUSTERS = 120, 8, 3
_GREATEST_SEED = 2**32 - 1
_NEAR = 0.1  # share of the map's extent
_ROUNDING = 1e-3
Vectors = NDArray[np.float32]


def check_coordinates_of_every_vector(subject: Subject) -> None:
    """Check that coordinates are finite (N, n_components), in two and in three dimensions."""
    vectors = clusters()
    sizes = (2, 3) if subject.has_option("n_components") else (None,)
    for size in sizes:
        changes = {} if size is None else {"n_components": size}
        coordinates = subject.build(0, **changes).fit_transform(vectors)
        _claim_coordinates(coordinates, len(vectors), size)


def check_other_precision_and_order(subject: Subject) -> None:
    """Check that vectors may be float64, in Fortran order, or a strided view of an array."""
    vectors = clusters()
    strided = np.repeat(vectors, 2, axis=1)[:, ::2]
    for other in (vectors.astype(np.float64), np.asfortranarray(vectors), strided):
        coordinates = subject.build(0).fit_transform(other)
        _claim_coordinates(coordinates, len(vectors))


def check_seed_decides_the_map(subject: Subject) -> None:
    """Check that one ``random_state`` gives one map, for seeds up to 32 bits."""
    vectors = clusters()
    maps = []
    for outside in (1, 2):
        with global_seed(outside):
            maps.append(subject.build(_GREATEST_SEED).fit_transform(vectors))
    claim(np.array_equal(*maps), "two fits with the same random_state give different coordinates")


def check_vectors_are_left_alone(subject: Subject) -> None:
    """Check that neither ``fit_transform`` nor ``transform`` changes its vectors."""
    vectors = clusters()
    before = vectors.copy()
    estimator = subject.build(0)
    estimator.fit_transform(vectors)
    claim(np.array_equal(vectors, before), "fit_transform changes the vectors that it is given")
    if _places_new_points(subject):
        estimator.transform(vectors)
        claim(np.array_equal(vectors, before), "transform changes the vectors that it is given")


def check_what_cannot_be_mapped_is_refused(subject: Subject) -> None:
    """Check that vectors with NaN are refused, and a single one unless it can be mapped."""
    damaged = clusters()
    damaged[7, 2] = np.nan
    claim_refused(
        lambda: subject.build(0).fit_transform(damaged),
        "vectors with NaN are mapped instead of refused",
    )
    try:
        coordinates = subject.build(0).fit_transform(clusters()[:1])
    except Exception:
        return
    claim(np.isfinite(coordinates).all(), "a single vector gets coordinates that are not finite")


def check_estimate_grows(subject: Subject) -> None:
    """Check that an ``estimate``, if there is one, is positive and grows with the vectors."""
    estimator = subject.build(0)
    if not protocols.provides(estimator, protocols.SupportsEstimate):
        return
    few, many = (estimator.estimate(n, 16) for n in (1_000, 100_000))
    claim(
        isinstance(few, protocols.ResourceEstimate),
        f"estimate returns a {type(few).__name__}, not a ResourceEstimate",
    )
    for what in ("bytes", "seconds"):
        low, high = getattr(few, what), getattr(many, what)
        claim(
            0 < low <= high < math.inf,
            f"the estimated {what} are {low:g} for 1,000 vectors and {high:g} for 100,000",
        )


def check_progress_and_facts(subject: Subject) -> None:
    """Check the optional ``on_progress``, None until it is set, and that facts are JSON."""
    estimator = subject.build(0)
    told: list[tuple[int, int, str]] = []
    if protocols.provides(estimator, protocols.ReportsProgress):
        claim(estimator.on_progress is None, "on_progress is not None before it is set")
        estimator.on_progress = lambda *call: told.append(call)
    estimator.fit_transform(clusters())
    for done, total, doing in told:
        claim(total == 0 or 0 <= done <= total, f"progress is {done} of {total} ({doing})")
    if protocols.provides(estimator, protocols.HasFacts):
        json.dumps(dict(estimator.facts_), allow_nan=False)


def check_tags_of_new_points(subject: Subject) -> None:
    """Check that an embedding has either ``transform`` or the tag ``transductive``."""
    has = hasattr(subject.build(0), "transform")
    if _places_new_points(subject):
        claim(has, "there is no transform for new points: add the tag 'transductive' to the spec")
    else:
        claim(not has, "there is a transform, but the spec has the tag 'transductive'")


def check_points_of_the_fit_are_placed_near(subject: Subject) -> None:
    """Check that ``transform`` places the fitted vectors near their places in the map."""
    vectors = clusters()
    estimator = subject.build(0)
    coordinates = estimator.fit_transform(vectors)
    placed = estimator.transform(vectors)
    _claim_coordinates(placed, len(vectors), coordinates.shape[1])
    extent = float(np.linalg.norm(np.ptp(coordinates, axis=0)))
    apart = float(np.median(np.linalg.norm(placed - coordinates, axis=1))) / extent
    claim(apart < _NEAR, f"transform moves the fitted points by {apart:.0%} of the map's extent")


def check_inverse_gives_vectors(subject: Subject) -> None:
    """Check that ``inverse_transform`` returns finite vectors of the fitted shape."""
    vectors = clusters()
    estimator = subject.build(0)
    back = np.asarray(estimator.inverse_transform(estimator.fit_transform(vectors)))
    claim(
        back.shape == vectors.shape,
        f"inverse_transform returns shape {back.shape}, expected {vectors.shape}",
    )
    claim(bool(np.isfinite(back).all()), "inverse_transform returns vectors that are not finite")


def check_map_is_linear(subject: Subject) -> None:
    """Check that the midpoint of two vectors is placed at the midpoint of their places."""
    vectors = clusters()
    estimator = subject.build(0)
    coordinates = estimator.fit_transform(vectors)
    one, other = vectors[:10], vectors[-10:]
    middle = (estimator.transform(one) + estimator.transform(other)) / 2
    error = np.abs(estimator.transform((one + other) / 2) - middle).max()
    claim(
        error < _ROUNDING * np.ptp(coordinates),
        "the midpoint of two vectors is not placed at the midpoint of their places",
    )


def clusters() -> Vectors:
    """Return the vectors of all checks, float32 (120, 8); they are always the same."""
    generator = np.random.default_rng(0)
    centres = 4 * generator.normal(size=(_CLUSTERS, _DIMENSIONS))
    around = generator.normal(size=(_POINTS, _DIMENSIONS))
    return (centres.repeat(_POINTS // _CLUSTERS, axis=0) + around).astype(np.float32)


def _places_new_points(subject: Subject) -> bool:
    return "transductive" not in subject.spec.tags


def _claim_coordinates(coordinates: Any, n: int, size: int | None = None) -> None:
    claim(
        isinstance(coordinates, np.ndarray),
        f"coordinates are a {type(coordinates).__name__}, not an array",
    )
    sizes = (2, 3) if size is None else (size,)
    fits = coordinates.ndim == 2 and len(coordinates) == n and coordinates.shape[1] in sizes
    expected = f"({n}, {' or '.join(map(str, sizes))})"
    claim(fits, f"coordinates have shape {coordinates.shape}, expected {expected}")
    claim(
        np.issubdtype(coordinates.dtype, np.floating),
        f"coordinates are {coordinates.dtype}, not floats",
    )
    claim(bool(np.isfinite(coordinates).all()), "coordinates are not finite")


EMBEDDING_CHECKS: tuple[Check, ...] = (
    check_coordinates_of_every_vector,
    check_other_precision_and_order,
    check_seed_decides_the_map,
    check_vectors_are_left_alone,
    check_what_cannot_be_mapped_is_refused,
    check_estimate_grows,
    check_progress_and_facts,
    check_tags_of_new_points,
)
PLACING_CHECKS: tuple[Check, ...] = (check_points_of_the_fit_are_placed_near,)
INVERSE_CHECKS: tuple[Check, ...] = (check_inverse_gives_vectors,)
LINEAR_CHECKS: tuple[Check, ...] = (check_map_is_linear,)
