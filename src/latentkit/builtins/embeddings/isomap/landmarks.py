"""The choice of landmarks."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from latentkit.builtins.embeddings.isomap.graph import Floats
from latentkit.neighbors.compiled import compiled

LandmarkChoice = Literal["k-means++", "farthest", "random"]


def choose_landmarks(
    vectors: Floats, count: int, choice: LandmarkChoice, seed: int
) -> NDArray[np.int64]:
    """Return up to ``count`` different rows of ``vectors`` (n, d), in the order they were chosen.

    Args:
        vectors: positions of the points.
        count: number of landmarks; there are fewer if there are fewer different vectors.
        choice: ``"k-means++"`` draws each landmark with a probability proportional to the squared
            distance to its nearest earlier landmark (Arthur and Vassilvitskii 2007);
            ``"farthest"`` takes the point farthest from all earlier ones; ``"random"`` draws
            uniformly.
        seed: seed of the draws and of the first landmark.
    """
    n = len(vectors)
    rng = np.random.default_rng(seed)
    if choice == "random":
        return rng.permutation(n)[:count]
    chosen = np.empty(count, np.int64)
    chosen[0] = rng.integers(n)
    squares = np.full(n, np.inf, np.float32)
    for i in range(1, count):
        _come_nearer(vectors, vectors[chosen[i - 1]], squares)
        squares[chosen[i - 1]] = 0
        if choice == "farthest":
            chosen[i] = np.argmax(squares)
        else:
            # Leave out the last entry: a draw that is rounded up to the total stays in range.
            mass = np.cumsum(squares, dtype=np.float64)
            chosen[i] = np.searchsorted(mass[:-1], rng.random() * mass[-1], side="right")
        if squares[chosen[i]] == 0:  # only copies of landmarks are left
            return chosen[:i]
    return chosen


@compiled()
def _come_nearer(vectors: Floats, landmark: Floats, squares: Floats) -> None:
    """Update each point's squared distance to its nearest landmark after a new landmark."""
    for i in range(len(vectors)):
        square = np.float32(0)
        for t in range(len(landmark)):
            square += (vectors[i, t] - landmark[t]) ** 2
        squares[i] = min(squares[i], square)
