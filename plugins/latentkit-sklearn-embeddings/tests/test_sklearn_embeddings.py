"""The installed plugin: its contract, what its maps preserve, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

pytest.importorskip(
    "latentkit_sklearn_embeddings",
    reason="pip install ./plugins/latentkit-sklearn-embeddings to test it",
)

import latentkit as lk
from latentkit.errors import ResourceError, UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases

DISTRIBUTION = "latentkit-sklearn-embeddings"
INSTALLED = any(e.name == "sklearn-embeddings" for e in entry_points(group="latentkit.plugins"))
pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="pip install ./plugins/latentkit-sklearn-embeddings to test it"
)
ALL = ("mds", "classical-mds", "spectral", "lle", "fast-ica", "nmf", "factor-analysis")
PLACING = ("lle", "fast-ica", "nmf", "factor-analysis")


def cases():
    """Return the checks of embeddings, whatever plugins the developer has switched off."""
    found = Registry(find_plugins())
    return part_cases(DISTRIBUTION, registry=found) if INSTALLED else []


@pytest.mark.parametrize("case", cases())
def test_the_contract(case):
    case()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGINS", DISTRIBUTION)
    monkeypatch.delenv("LATENTKIT_STRICT", raising=False)


@pytest.fixture(scope="module")
def digits():
    """Return 400 digits as rows of pixels (400, 64), with their labels."""
    images = lk.dataset("digits")
    return images.images[:400].reshape(400, 64) / np.float32(255), images.labels[:400]


@pytest.fixture(scope="module")
def roll():
    """Return 400 points of a rolled-up strip (400, 3), and the position of each along it."""
    generator = np.random.default_rng(0)
    along = 1.5 * np.pi * (1 + 2 * generator.random(400))
    points = np.stack([along * np.cos(along), 20 * generator.random(400), along * np.sin(along)], 1)
    return points, along


def explained(coordinates, along):
    """Return the share of the variance of ``along`` that is linear in the coordinates."""
    design = np.c_[coordinates, np.ones(len(along))]
    rest = along - design @ np.linalg.lstsq(design, along, rcond=None)[0]
    return 1 - rest.var() / along.var()


@pytest.mark.parametrize("name", ALL)
def test_digits_of_a_class_are_close_together(name, digits):
    from sklearn.neighbors import KNeighborsClassifier

    vectors, labels = digits
    coordinates = lk.embedding(name).fit_transform(vectors)
    assert KNeighborsClassifier(10).fit(coordinates, labels).score(coordinates, labels) > 0.4


@pytest.mark.parametrize("method", ["standard", "modified", "hessian", "ltsa"])
def test_every_kind_of_lle_unrolls_a_strip(method, roll):
    vectors, along = roll
    estimator = lk.embedding("lle", method=method, n_neighbors=8)
    coordinates = estimator.fit_transform(vectors)
    assert explained(coordinates, along) > 0.9
    placed = estimator.transform(vectors[:5] + 1e-3)
    assert np.abs(placed - coordinates[:5]).max() < 0.1 * np.ptp(coordinates)


def test_spectral_unrolls_a_strip_and_counts_the_pieces_of_its_graph(roll):
    vectors, along = roll
    estimator = lk.embedding("spectral", n_neighbors=8)
    assert explained(estimator.fit_transform(vectors), along) > 0.9
    assert estimator.facts_ == {"graph_pieces": 1}
    apart = np.vstack([vectors, vectors + 1000])
    estimator.fit_transform(apart)
    assert estimator.facts_ == {"graph_pieces": 2}


def test_scaling_recovers_a_plane():
    from scipy.spatial.distance import pdist

    plane = np.random.default_rng(0).normal(size=(60, 2))
    vectors = np.hstack([plane, np.zeros((60, 3))])
    for name, options in (("mds", {}), ("classical-mds", {"metric": "euclidean"})):
        coordinates = lk.embedding(name, **options).fit_transform(vectors)
        np.testing.assert_allclose(pdist(coordinates), pdist(plane), rtol=1e-6)


def test_mds_keeps_distances_better_than_principal_components(digits):
    from scipy.spatial.distance import pdist

    vectors = digits[0][:150]
    wanted = pdist(vectors)

    def stress(name):
        return ((pdist(lk.embedding(name).fit_transform(vectors)) - wanted) ** 2).sum()

    assert stress("mds") < 0.7 * stress("pca")


@pytest.mark.parametrize("options", [{"metric": False}, {"init": "random", "n_init": 2}], ids=str)
def test_mds_accepts_its_options_for_start_and_metric(options, digits):
    estimator = lk.embedding("mds", max_iter=20, **options)
    assert np.isfinite(estimator.fit_transform(digits[0][:60])).all()
    assert 0 < estimator.facts_["steps"] <= 20


def test_factorisation_shifts_negative_latents_and_shifts_back_in_the_inverse(digits):
    latents = digits[0] - 0.5
    estimator = lk.embedding("nmf", n_components=3)
    coordinates = estimator.fit_transform(latents)
    assert coordinates.min() >= 0
    back = estimator.inverse_transform(coordinates)
    assert ((back - latents) ** 2).mean() < ((latents - latents.mean(0)) ** 2).mean()
    assert np.isfinite(estimator.transform(latents - 1)).all()


def test_independent_sources_are_found_if_the_first_dimension_is_constant():
    sources = np.random.default_rng(0).uniform(-1, 1, (500, 2))
    mixed = np.c_[np.zeros(500), sources @ [[1.0, 0.5, 0.2], [0.3, -1.0, 0.7]]]
    estimator = lk.embedding("fast-ica")
    found = estimator.fit_transform(mixed)
    alike = np.abs(np.corrcoef(found.T, sources.T)[:2, 2:])
    assert (alike.max(axis=1) > 0.98).all()
    np.testing.assert_allclose(estimator.inverse_transform(found), mixed, atol=1e-9)
    assert estimator.facts_["converged"]


@pytest.mark.parametrize("name", ALL)
def test_the_seed_decides_the_map(name, digits):
    first, second = (
        lk.embedding(name, random_state=3).fit_transform(digits[0][:150]) for _ in range(2)
    )
    assert np.array_equal(first, second)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lle", {"method": "hessian", "n_components": 3, "n_neighbors": 9}, "n_neighbors=10 or"),
        ("lle", {"method": "ltsa", "n_components": 3, "n_neighbors": 3}, "n_neighbors=4 or more"),
        ("lle", {"n_neighbors": 200}, r"needs 202 vectors .* got 100: .*lower lle\.n_neighbors"),
        ("spectral", {"n_neighbors": 200}, r"needs 201 vectors .* got 100: .*lower spectral\.n_ne"),
    ],
)
def test_too_few_neighbours_or_vectors_are_refused_with_the_number(name, options, message, digits):
    with pytest.raises(UserError, match=message):
        lk.embedding(name, **options).fit_transform(digits[0][:100])


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((50, 4)), "all 50 vectors are equal"),
        (np.full((50, 4), np.nan), "row 0 of the vectors holds NaN or infinity in float64"),
        (np.zeros(50), r"must be numbers \(N, D\)"),
        (np.arange(50.0)[:, None], "cannot be mapped to 2"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused_with_the_reason(name, vectors, message):
    with pytest.raises(UserError, match=message):
        lk.embedding(name).fit_transform(vectors)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("n", "d"), [(2, 16), (100, 1)])
def test_sizes_that_cannot_be_mapped_are_refused_before_there_are_vectors(name, n, d):
    with pytest.raises(UserError, match=r"vectors or more and got 2|1 dimension cannot be mapped"):
        lk.embedding(name).estimate(n, d)


@pytest.mark.parametrize("name", PLACING)
def test_new_points_need_a_fitted_map_and_equal_dimensions(name, digits):
    estimator = lk.embedding(name)
    with pytest.raises(UserError, match="fit it before"):
        estimator.transform(digits[0])
    estimator.fit_transform(digits[0][:100])
    with pytest.raises(UserError, match="have 3 dimensions, those of the fit had 64"):
        estimator.transform(digits[0][:, :3])
    assert estimator.transform(digits[0][:0]).shape == (0, 2)


@pytest.mark.parametrize("name", ["mds", "classical-mds"])
def test_pairwise_distances_that_would_exceed_memory_are_refused(name):
    from latentkit.maps.fitting import fit_embedding

    vectors = np.broadcast_to(np.float32(1), (1_000_000, 16))
    with pytest.raises(ResourceError, match=r"of 1,000,000 points needs about .* choose another"):
        fit_embedding(lk.embedding(name), name, vectors)


def test_declaration_and_options_have_no_heavy_imports():
    code = (
        "import sys, latentkit_sklearn_embeddings.plugin, latentkit_sklearn_embeddings.options\n"
        "print(sorted({'sklearn', 'scipy', 'numpy', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
