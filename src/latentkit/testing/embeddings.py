"""What an embedding promises: finite coordinates of the vectors it is given, the same by seed.

The vectors are 120 points of three clusters in eight dimensions.
"""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.plugin.protocols import (
    HasFacts,
    ReportsProgress,
    ResourceEstimate,
    SupportsEstimate,
    provides,
)
from latentkit.testing.claims import claim, claim_refused, global_seed
from latentkit.testing.subject import Check, Subject

_POINTS, _DIMENSIONS, _CLUSTERS = 120, 8, 3
_GREATEST_SEED = 2**32 - 1
_NEAR = 0.1  # of the map's extent
_ROUNDING = 1e-3
Vectors = NDArray[np.float32]


def check_coordinates_of_every_vector(subject: Subject) -> None:
    """Coordinates are finite (N, n_components), in two dimensions and in three."""
    vectors = clusters()
    sizes = (2, 3) if subject.has_option("n_components") else (None,)
    for size in sizes:
        changes = {} if size is None else {"n_components": size}
        coordinates = subject.build(0, **changes).fit_transform(vectors)
        _claim_coordinates(coordinates, len(vectors), size)


def check_other_precision_and_order(subject: Subject) -> None:
    """Vectors may be float64, in Fortran's order, or every second column of an array."""
    vectors = clusters()
    strided = np.repeat(vectors, 2, axis=1)[:, ::2]
    for other in (vectors.astype(np.float64), np.asfortranarray(vectors), strided):
        coordinates = subject.build(0).fit_transform(other)
        _claim_coordinates(coordinates, len(vectors))


def check_seed_decides_the_map(subject: Subject) -> None:
    """The same ``random_state`` gives the same coordinates; every one of 32 bits is taken."""
    vectors = clusters()
    maps = []
    for outside in (1, 2):
        with global_seed(outside):
            maps.append(subject.build(_GREATEST_SEED).fit_transform(vectors))
    claim(np.array_equal(*maps), "two fits with the same random_state give other coordinates")


def check_vectors_are_left_alone(subject: Subject) -> None:
    """Neither ``fit_transform`` nor ``transform`` changes what it is given."""
    vectors = clusters()
    before = vectors.copy()
    estimator = subject.build(0)
    estimator.fit_transform(vectors)
    claim(np.array_equal(vectors, before), "fit_transform changes the vectors that it is given")
    if _places_new_points(subject):
        estimator.transform(vectors)
        claim(np.array_equal(vectors, before), "transform changes the vectors that it is given")


def check_what_cannot_be_mapped_is_refused(subject: Subject) -> None:
    """Vectors with NaN are refused; so is a single one, unless it has finite coordinates."""
    damaged = clusters()
    damaged[7, 2] = np.nan
    claim_refused(
        lambda: subject.build(0).fit_transform(damaged),
        "vectors that hold NaN are mapped, not refused",
    )
    try:
        coordinates = subject.build(0).fit_transform(clusters()[:1])
    except Exception:
        return
    claim(np.isfinite(coordinates).all(), "a single vector gets coordinates that are not finite")


def check_estimate_grows(subject: Subject) -> None:
    """Where there is an ``estimate``, it is positive, and more vectors never need less."""
    estimator = subject.build(0)
    if not provides(estimator, SupportsEstimate):
        return
    few, many = (estimator.estimate(n, 16) for n in (1_000, 100_000))
    claim(isinstance(few, ResourceEstimate), f"estimate gives a {type(few).__name__}")
    for what in ("bytes", "seconds"):
        low, high = getattr(few, what), getattr(many, what)
        claim(0 < low <= high < math.inf, f"{what} are {low:g} for 1,000 and {high:g} for 100,000")


def check_progress_and_facts(subject: Subject) -> None:
    """``on_progress``, where there is one, is None and is then called; facts are JSON."""
    estimator = subject.build(0)
    told: list[tuple[int, int, str]] = []
    if provides(estimator, ReportsProgress):
        claim(estimator.on_progress is None, "on_progress is not None at the beginning")
        estimator.on_progress = lambda *call: told.append(call)
    estimator.fit_transform(clusters())
    for done, total, doing in told:
        claim(total == 0 or 0 <= done <= total, f"progress is {done} of {total} ({doing})")
    if provides(estimator, HasFacts):
        json.dumps(dict(estimator.facts_), allow_nan=False)


def check_tags_of_new_points(subject: Subject) -> None:
    """``transform`` and the tag ``transductive`` exclude each other."""
    has = hasattr(subject.build(0), "transform")
    if _places_new_points(subject):
        claim(has, "there is no transform for new points: tag the spec 'transductive'")
    else:
        claim(not has, "there is a transform, and the spec is tagged 'transductive'")


def check_points_of_the_fit_are_placed_near(subject: Subject) -> None:
    """``transform`` places the vectors of the fit near where they are in the map."""
    vectors = clusters()
    estimator = subject.build(0)
    coordinates = estimator.fit_transform(vectors)
    placed = estimator.transform(vectors)
    _claim_coordinates(placed, len(vectors), coordinates.shape[1])
    extent = float(np.linalg.norm(np.ptp(coordinates, axis=0)))
    apart = float(np.median(np.linalg.norm(placed - coordinates, axis=1))) / extent
    claim(apart < _NEAR, f"transform moves points of the fit by {apart:.0%} of the map's extent")


def check_inverse_gives_vectors(subject: Subject) -> None:
    """``inverse_transform`` takes coordinates to finite vectors of the fit's dimensions."""
    vectors = clusters()
    estimator = subject.build(0)
    back = np.asarray(estimator.inverse_transform(estimator.fit_transform(vectors)))
    claim(back.shape == vectors.shape, f"inverse_transform gives {back.shape} of {vectors.shape}")
    claim(bool(np.isfinite(back).all()), "inverse_transform gives vectors that are not finite")


def check_map_is_linear(subject: Subject) -> None:
    """The middle of two vectors is placed in the middle of their places."""
    vectors = clusters()
    estimator = subject.build(0)
    coordinates = estimator.fit_transform(vectors)
    one, other = vectors[:10], vectors[-10:]
    middle = (estimator.transform(one) + estimator.transform(other)) / 2
    error = np.abs(estimator.transform((one + other) / 2) - middle).max()
    claim(error < _ROUNDING * np.ptp(coordinates), "the middle of two vectors is not in the middle")


def clusters() -> Vectors:
    """Return the vectors, float32 (120, 8), always the same."""
    generator = np.random.default_rng(0)
    centres = 4 * generator.normal(size=(_CLUSTERS, _DIMENSIONS))
    around = generator.normal(size=(_POINTS, _DIMENSIONS))
    return (centres.repeat(_POINTS // _CLUSTERS, axis=0) + around).astype(np.float32)


def _places_new_points(subject: Subject) -> bool:
    return "transductive" not in subject.spec.tags


def _claim_coordinates(coordinates: Any, n: int, size: int | None = None) -> None:
    claim(isinstance(coordinates, np.ndarray), f"coordinates are a {type(coordinates).__name__}")
    sizes = (2, 3) if size is None else (size,)
    fits = coordinates.ndim == 2 and len(coordinates) == n and coordinates.shape[1] in sizes
    expected = f"({n}, {' or '.join(map(str, sizes))})"
    claim(fits, f"coordinates have shape {coordinates.shape}, expected {expected}")
    claim(np.issubdtype(coordinates.dtype, np.floating), f"coordinates are {coordinates.dtype}")
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
