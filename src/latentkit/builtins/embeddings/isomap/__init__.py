"""``isomap``: J. Tenenbaum, V. de Silva, J. Langford, Science 290 (2000), for any number of points.

Distances along the nearest-neighbour graph are measured from landmarks to all points, and
classical scaling of the landmarks places the rest by their distances to them (V. de Silva,
J. Tenenbaum, Sparse multidimensional scaling using landmark points, 2004). With every point a
landmark this is Isomap itself, as scikit-learn's.
"""

from __future__ import annotations

from latentkit.builtins.embeddings.isomap.estimator import LandmarkIsomap
from latentkit.builtins.embeddings.options import IsomapOptions
from latentkit.plugin import Embedding


def build(options: IsomapOptions, random_state: int) -> Embedding:
    """Return the estimator."""
    return LandmarkIsomap(
        n_neighbors=options.n_neighbors,
        n_components=options.n_components,
        landmarks=options.landmarks,
        landmark_choice=options.landmark_choice,
        disconnected=options.disconnected,
        random_state=random_state,
    )
