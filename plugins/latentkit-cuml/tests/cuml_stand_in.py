"""A stand-in for ``cuml.manifold``, for machines without a GPU; only tests use it.

Its constructors have the parameters that https://docs.nvidia.com/cuml/26.08 documents, by keyword
only, and refuse values outside the documented ranges. The map is a plain projection, so tests with
it show that cuML is called as documented. They do not show that its maps are good.
"""

from typing import ClassVar

import numpy as np

METRICS = {
    "l1", "cityblock", "taxicab", "manhattan", "euclidean", "l2", "sqeuclidean", "canberra",
    "minkowski", "chebyshev", "linf", "cosine", "correlation", "hellinger", "hamming", "jaccard",
}  # fmt: skip


def require(claim, message):
    if not claim:
        raise ValueError(f"stand-in: {message}")


def projected(points, seed, size):
    generator = np.random.default_rng(seed)
    return points @ generator.normal(size=(points.shape[1], size)).astype(np.float32)


def check_points(points, least):
    require(isinstance(points, np.ndarray), "an array is expected")
    require(points.dtype == np.float32 and points.flags.c_contiguous, "float32 in C order")
    require(points.ndim == 2 and len(points) >= least, f"{least} rows or more are expected")


class UMAP:
    calls: ClassVar[list[dict]] = []

    def __init__(self, *, n_neighbors=15, n_components=2, metric="euclidean", metric_kwds=None,
                 n_epochs=None, learning_rate=1.0, min_dist=0.1, spread=1.0, set_op_mix_ratio=1.0,
                 local_connectivity=1.0, repulsion_strength=1.0, negative_sample_rate=5,
                 transform_queue_size=4.0, init="spectral", a=None, b=None, target_n_neighbors=-1,
                 target_weight=0.5, target_metric="categorical", hash_input=False,
                 random_state=None, force_serial_epochs=None, precomputed_knn=None, callback=None,
                 build_algo="auto", build_kwds=None, device_ids=None, verbose=False,
                 output_type=None):  # fmt: skip
        require(isinstance(n_neighbors, int) and n_neighbors >= 2, "n_neighbors")
        require(isinstance(n_components, int) and n_components >= 1, "n_components")
        require(metric in METRICS, "metric")
        require(n_epochs is None or n_epochs >= 1, "n_epochs")
        require(0 <= min_dist <= spread, "min_dist should be <= spread")
        require(init in ("spectral", "random"), "init")
        require(build_algo in ("auto", "brute_force_knn", "nn_descent"), "build_algo")
        require(random_state is None or 0 <= random_state < 2**64, "random_state")
        require(output_type in (None, "numpy"), "output_type")
        self.n_neighbors, self.n_components, self.seed = n_neighbors, n_components, random_state
        UMAP.calls.append({name: value for name, value in locals().items() if name != "self"})

    def fit_transform(self, X, y=None, *, convert_dtype=True, knn_graph=None):
        check_points(X, self.n_neighbors)
        return projected(X, self.seed, self.n_components)

    def transform(self, X, *, convert_dtype=True):
        check_points(X, 1)
        return projected(X, self.seed, self.n_components)


class TSNE:
    calls: ClassVar[list[dict]] = []

    def __init__(self, *, n_components=2, perplexity=30.0, early_exaggeration=12.0,
                 late_exaggeration=1.0, learning_rate=200.0, max_iter=1000,
                 n_iter_without_progress=300, min_grad_norm=1e-07, metric="euclidean",
                 metric_params=None, init="random", random_state=None, method="fft", angle=0.5,
                 n_neighbors=90, perplexity_max_iter=100, exaggeration_iter=250, pre_momentum=0.5,
                 post_momentum=0.8, learning_rate_method="adaptive", square_distances=True,
                 precomputed_knn=None, verbose=False, output_type=None):  # fmt: skip
        require(n_components == 2, "n_components is 2")
        require(perplexity > 0, "perplexity")
        require(0 < n_neighbors <= 1023, "n_neighbors")
        require(max_iter > exaggeration_iter, "exaggeration_iter is less than max_iter")
        require(init in ("random", "pca"), "init")
        require(method in ("fft", "barnes_hut", "exact"), "method")
        require(metric in METRICS, "metric")
        require(output_type in (None, "numpy"), "output_type")
        self.n_neighbors, self.seed = n_neighbors, random_state
        TSNE.calls.append({name: value for name, value in locals().items() if name != "self"})

    def fit_transform(self, X, y=None, *, convert_dtype=True, knn_graph=None):
        check_points(X, self.n_neighbors)
        return projected(X, self.seed, 2)
