"""``pca``: K. Pearson 1901; scikit-learn's, exact by eigendecomposition of the covariance."""

from __future__ import annotations

from sklearn.decomposition import PCA

from latentkit.builtins.embeddings.options import PcaOptions
from latentkit.plugin import Embedding


def build(options: PcaOptions, random_state: int) -> Embedding:
    """Return the estimator; nothing in it is random."""
    # 'covariance_eigh' centres before it multiplies, and fixes the signs of the axes.
    return PCA(options.n_components, svd_solver="covariance_eigh")  # type: ignore[no-any-return]
