"""New images, the training images nearest to them, and latent arithmetic."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.explore.scale import Decode, Floats
from latentkit.plugin.images import Pixels, as_floats

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

_FULL = 64  # dimensions; with more, a full covariance has too many entries to fit


@dataclass(frozen=True)
class Samples:
    """Generated images, which are in no data set.

    Args:
        source: what they were drawn from, as text.
        images: (N, C, H, W), decoded, in [0, 1].
        latents: (N, D); None if the model draws them internally and does not return them.
        log_density: (N,), log density of the latents in nats; None if it is not known.
    """

    source: str
    images: Floats
    latents: Floats | None = None
    log_density: NDArray[np.float64] | None = None


def mixture_samples(
    decode: Decode, latents: Floats, count: int, *, components: int = 10, seed: int = 0
) -> Samples:
    """Fit a Gaussian mixture to latents, draw from it, and decode.

    Covariances are full up to 64 dimensions, and diagonal above. The mixture serves as a prior for
    an autoencoder that was trained without one (P. Ghosh et al., ICLR 2020).

    Args:
        decode: function from latents to images.
        latents: (N, D), of training images.
        count: number of images to draw.
        components: number of components of the mixture.
        seed: seed of the fit and the draws.

    Raises:
        UserError: there are fewer latents than components, or a number is below 1.
    """
    if count < 1 or not 1 <= components <= len(latents):
        raise UserError(
            f"cannot draw {count} samples from a mixture of {components} components on "
            f"{len(latents):,} latents: ask for 1 sample or more, and 1 to {len(latents):,} "
            f"components"
        )
    mixture = fit_mixture(latents, components, seed)
    drawn, component = mixture.sample(count)
    # sample() returns one component after the other, so the draws are shuffled.
    drawn = drawn[np.random.default_rng([seed, 1]).permutation(len(component))]
    return Samples(
        source=f"Gaussian mixture of {components} components on {len(latents):,} training latents",
        images=decode(drawn.astype(np.float32)),
        latents=drawn.astype(np.float32),
        log_density=mixture.score_samples(drawn),
    )


def fit_mixture(latents: NDArray[Any], components: int, seed: int) -> GaussianMixture:
    """Fit a Gaussian mixture to latents (N, D).

    Covariances are full up to 64 dimensions, and diagonal above.

    Args:
        latents: at least as many as there are components.
        components: number of components.
        seed: seed of the fit.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    values = np.asarray(latents, np.float64)
    # The smallest variance of a component scales with the latents, and is not below the rounding
    # error of float32.
    rounding = float(np.finfo(np.float32).eps) * max(1.0, float(np.abs(values).max()))
    floor = max(1e-6 * float(values.var(axis=0).mean()), rounding**2)
    shape = "full" if values.shape[1] <= _FULL else "diag"
    mixture = GaussianMixture(components, covariance_type=shape, reg_covar=floor, random_state=seed)
    with warnings.catch_warnings():
        # With duplicates, or if the fit stops early, the mixture is still a density to draw from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values)
    return mixture


_CHUNK_VALUES = 2**22  # values of the reference converted to float32 at a time


@dataclass(frozen=True)
class Nearest:
    """The nearest items of a reference set, nearest first.

    Args:
        rows: (M, k), rows of the reference set.
        distances: (M, k), Euclidean: latent units, or pixels in [0, 1].
        typical: median distance from a test item to its nearest reference item.
    """

    rows: NDArray[np.int64]
    distances: NDArray[np.float64]
    typical: float

    @property
    def ratios(self) -> NDArray[np.float64]:
        """Distance (M,) to the nearest item divided by the typical one; copies are far below 1."""
        tiny = float(np.finfo(np.float32).tiny)
        ratios: NDArray[np.float64] = self.distances[:, 0] / max(self.typical, tiny)
        return ratios


@dataclass(frozen=True)
class TrainingNeighbours:
    """Items beside their nearest training images.

    Args:
        images: (M, C, H, W), the items, in [0, 1].
        latents: (M, D), their latents.
        in_latents: the nearest training images by distance of latents.
        in_pixels: the nearest training images by distance of pixels.
        latent_images: (M, k, C, H, W), as stored, the images of ``in_latents``.
        pixel_images: (M, k, C, H, W), as stored, the images of ``in_pixels``.
        n_searched: number of training images whose pixels were compared.
        n_training: number of all training images.
    """

    images: NDArray[np.float32]
    latents: NDArray[np.float32]
    in_latents: Nearest
    in_pixels: Nearest
    latent_images: Pixels
    pixel_images: Pixels
    n_searched: int
    n_training: int


def nearest(
    queries: NDArray[Any],
    reference: NDArray[Any],
    k: int,
    tests: NDArray[Any],
    rows: NDArray[np.int64] | None = None,
) -> Nearest:
    """Find the ``k`` nearest items of a reference set by exhaustive search, a chunk at a time.

    Args:
        queries: (M, ...), the items whose neighbours are wanted.
        reference: (N, ...), may be memory-mapped; stored images become numbers in [0, 1].
        k: number of neighbours.
        tests: (T, ...), test items, whose distances show what is typical.
        rows: (R,), the rows of the reference to search; None for all. The result gives rows of
            the whole reference.

    Raises:
        UserError: ``k`` is below 1, or there are fewer than ``k`` rows to search.
    """
    looked = np.arange(len(reference)) if rows is None else rows
    if not 1 <= k <= len(looked):
        raise UserError(
            f"cannot find the {k} nearest of {len(looked):,} training images: ask for 1 to "
            f"{len(looked):,}"
        )
    asked = np.concatenate([_as_rows(queries), _as_rows(tests)])
    found, distances = _search(asked, reference, looked, k)
    count = len(queries)
    return Nearest(found[:count], distances[:count], float(np.median(distances[count:, 0])))


def _search(
    asked: NDArray[np.float32], reference: NDArray[Any], looked: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return rows and distances (M, k) of the nearest items, nearest first."""
    m, width = asked.shape
    step = max(k, _CHUNK_VALUES // width)
    # Rounding in float32 may swap near ties, so more candidates are kept and measured exactly.
    spare = k + 4
    best_rows = np.zeros((m, 0), np.int64)
    best = np.zeros((m, 0), np.float32)
    for start in range(0, len(looked), step):
        piece = looked[start : start + step]
        values = _as_rows(reference[piece])
        # Squared distances without the queries' own squares, which do not change the order.
        squares = np.einsum("ij,ij->i", values, values) - 2 * (asked @ values.T)
        candidates = np.concatenate([best, squares], axis=1)
        owners = np.concatenate([best_rows, np.broadcast_to(piece, squares.shape)], axis=1)
        # Partial sorting after each chunk bounds the memory.
        kept = min(spare, candidates.shape[1])
        columns = np.argpartition(candidates, kept - 1, axis=1)[:, :kept]
        best = np.take_along_axis(candidates, columns, axis=1)
        best_rows = np.take_along_axis(owners, columns, axis=1)
    distances = np.empty(best.shape)
    for query, own in enumerate(best_rows):
        away = _as_rows(reference[own]).astype(np.float64) - asked[query]
        distances[query] = np.linalg.norm(away, axis=1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(best_rows, order, 1), np.take_along_axis(distances, order, 1)


def _as_rows(values: NDArray[Any]) -> NDArray[np.float32]:
    """Return items (N, ...) as float32 rows; stored images become numbers in [0, 1]."""
    return as_floats(values.reshape(len(values), -1))


@dataclass(frozen=True)
class Arithmetic:
    """An item to which the difference between two classes is added, step by step.

    Args:
        latents: (S, D), the item + amount x difference.
        images: (S, C, H, W), decoded, in [0, 1].
        amounts: (S,), how many times the difference is added.
        difference: (D,), mean of the added class minus mean of the subtracted class.
        mean_images: (2, C, H, W), both class means, decoded; the added class first.
    """

    latents: Floats
    images: Floats
    amounts: NDArray[np.float64]
    difference: Floats
    mean_images: Floats


def add_difference(
    decode: Decode,
    start: Floats,
    latents: Floats,
    labels: NDArray[np.integer[Any]],
    plus: int,
    minus: int,
    amounts: Sequence[float] = (0, 0.25, 0.5, 0.75, 1, 1.25, 1.5),
) -> Arithmetic:
    """Add the mean latent of class ``plus`` minus that of class ``minus`` to ``start`` (D,).

    Args:
        decode: function from latents to images.
        start: (D,), the item's latent.
        latents: (N, D), of training images.
        labels: (N,), labels of these images.
        plus: label of the class that is added.
        minus: label of the class that is subtracted.
        amounts: how many times the difference is added, one number for each image.

    Raises:
        UserError: no latent has one of the labels.
    """
    means = []
    for label in (plus, minus):
        own = latents[labels == label]
        if not len(own):
            raise UserError(f"no training image has the label {label}")
        means.append(own.mean(axis=0, dtype=np.float64))
    difference = means[0] - means[1]
    steps = np.asarray(amounts, np.float64)
    values = (np.asarray(start, np.float64) + steps[:, None] * difference).astype(np.float32)
    return Arithmetic(
        latents=values,
        images=decode(values),
        amounts=steps,
        difference=difference.astype(np.float32),
        mean_images=decode(np.stack(means).astype(np.float32)),
    )
