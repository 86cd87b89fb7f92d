"""The quality card of one map against zadu's, scikit-learn's and plain counting.

pip install --target ORACLE --no-deps zadu hdbscan        # missing packages are left out
PYTHONPATH=ORACLE python tests/benchmarks/quality_oracle.py

The vectors are 16 principal components of scikit-learn's digits, and the map is scikit-learn's
Isomap of these vectors.
"""

from __future__ import annotations

import importlib

import numpy as np
from scipy.spatial.distance import pdist, squareform
from scipy.stats import spearmanr
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import Isomap, trustworthiness
from sklearn.neighbors import KNeighborsClassifier, NearestNeighbors

from latentkit.maps.quality import MapQuality, map_quality

K = 10
SIZES = (1, 10, 100, 1000)
Figures = dict[str, float]


def latentkits(card: MapQuality) -> Figures:
    """Return latentkit's figures by name."""
    rows = {row.k: row for row in card.neighbourhood_preservation}
    return {
        "trustworthiness": card.trustworthiness.value,
        "continuity": card.continuity.value,
        **{f"Q_NX({k})": rows[k].q_nx.value for k in SIZES},
        **{f"R_NX({k})": rows[k].r_nx.value for k in SIZES},
        "area under R_NX": card.auc_r_nx.value,
        "Spearman correlation": card.spearman_correlation.value,
        "scale-normalised stress": card.scale_normalised_stress.value,
        f"{K}-NN accuracy, map": card.knn_accuracy_map.value,
        f"{K}-NN accuracy, latents": card.knn_accuracy_latents.value,
    }


def zadus(vectors: np.ndarray, flat: np.ndarray) -> Figures:
    """Return zadu's figures, or none if it is not installed."""
    try:
        kinds = {
            name: importlib.import_module(f"zadu.measures.{name}").measure
            for name in (
                "trustworthiness_continuity",
                "local_continuity_meta_criteria",
                "spearman_rho",
                "scale_normalized_stress",
            )
        }
    except ImportError as error:
        print(f"zadu is left out ({error}): see the head of this file\n")
        return {}
    n = len(vectors)
    figures = kinds["trustworthiness_continuity"](vectors, flat, k=K)
    for k in SIZES:
        lcmc = kinds["local_continuity_meta_criteria"](vectors, flat, k=k)["lcmc"]
        figures[f"Q_NX({k})"] = lcmc + k / (n - 1)
        figures[f"R_NX({k})"] = lcmc * (n - 1) / (n - 1 - k)
    rho = kinds["spearman_rho"](vectors, flat)["spearman_rho"]
    stress = kinds["scale_normalized_stress"](vectors, flat)["scale_normalized_stress"]
    return {**figures, "Spearman correlation": rho, "scale-normalised stress": stress}


def others(vectors: np.ndarray, flat: np.ndarray, labels: np.ndarray) -> Figures:
    """Return the figures of scikit-learn and SciPy, and the area by counting at every k."""
    far, near = (squareform(pdist(points)) for points in (vectors, flat))
    ranks = []
    for distances in (far, near):
        np.fill_diagonal(distances, np.inf)
        ranks.append(distances.argsort(axis=1).argsort(axis=1) + 1)
    n, larger = len(vectors), np.maximum(*ranks)
    k = np.arange(1, n - 1)
    q = np.bincount(larger.ravel(), minlength=n)[1 : n - 1].cumsum() / (k * n)
    r = ((n - 1) * q - k) / (n - 1 - k)
    return {
        "trustworthiness": trustworthiness(vectors, flat, n_neighbors=K),
        "continuity": trustworthiness(flat, vectors, n_neighbors=K),
        "area under R_NX": (r / k).sum() / (1 / k).sum(),
        "Spearman correlation": spearmanr(pdist(vectors), pdist(flat)).statistic,
        f"{K}-NN accuracy, map": accuracy(flat, labels),
        f"{K}-NN accuracy, latents": accuracy(vectors, labels),
    }


def accuracy(points: np.ndarray, labels: np.ndarray) -> float:
    """Return the share of points whose label scikit-learn predicts from their neighbours."""
    neighbors = NearestNeighbors(n_neighbors=K).fit(points).kneighbors(return_distance=False)
    classes = KNeighborsClassifier(K).fit(points, labels).classes_
    votes = (labels[neighbors][:, :, None] == classes).sum(axis=1)
    return float((classes[votes.argmax(axis=1)] == labels).mean())


def main() -> None:
    """Measure, and print the table."""
    images, labels = load_digits(return_X_y=True)
    vectors = PCA(16, random_state=0).fit_transform(images)
    flat = Isomap(n_neighbors=K).fit_transform(vectors)
    ours = latentkits(map_quality(vectors, flat, labels, n_neighbors=K))
    columns = (zadus(vectors, flat), others(vectors, flat, labels))
    print(f"{len(vectors):,} points, 16 dimensions, neighbourhoods of {K} where nothing is said\n")
    print("| figure | latentkit | zadu | scikit-learn, SciPy, counting | largest difference |")
    print("| --- | --- | --- | --- | --- |")
    for name, value in ours.items():
        theirs = [column.get(name) for column in columns]
        shown = " | ".join("" if other is None else f"{other:.9f}" for other in theirs)
        gap = max((abs(value - other) for other in theirs if other is not None), default=np.nan)
        print(f"| {name} | {value:.9f} | {shown} | {gap:.1e} |")


if __name__ == "__main__":
    main()
