"""``isomap``: J. Tenenbaum, V. de Silva, J. Langford, Science 290 (2000), for any number of points.

Distances along the nearest-neighbour graph are measured from landmarks to all points. Classical
scaling maps the landmarks, and the other points are placed by their distances to the landmarks (V.
de Silva, J. Tenenbaum, Sparse multidimensional scaling using landmark points, 2004). If every point
is a landmark, this is exact Isomap, as in scikit-learn.
"""

from __future__ import annotations

from latentkit.builtins.embeddings.isomap.estimator import LandmarkIsomap
from latentkit.builtins.embeddings.options import IsomapOptions
from latentkit.plugin import Embedding


def build(options: IsomapOptions, random_state: int) -> Embedding:
    """Build ``isomap``."""
    return LandmarkIsomap(
        n_neighbors=options.n_neighbors,
        n_components=options.n_components,
        landmarks=options.landmarks,
        landmark_choice=options.landmark_choice,
        disconnected=options.disconnected,
        random_state=random_state,
    )
