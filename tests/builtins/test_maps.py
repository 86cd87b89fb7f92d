"""Properties of every built-in map, and of t-SNE and PCA in particular. UMAP has its own file."""

import json
import subprocess
import sys
import warnings
from functools import partial

import numpy as np
import openTSNE
import pytest
from scipy.sparse import csr_matrix
from scipy.spatial import cKDTree
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import latentkit as lk
from latentkit.builtins.embeddings import tsne as tsne_module
from latentkit.builtins.embeddings.tsne_gradient import Descent, MeshGradient
from latentkit.errors import UserError

NAMES = ("pca", "tsne", "umap")
FAST = {"tsne": {"n_iter": 50}, "pca": {}, "umap": {}, "isomap": {}}


def fast(name, **options):
    return lk.embedding(name, **{**FAST[name], **options})


@pytest.fixture(scope="module")
def digits():
    return load_digits().data[:300].astype(np.float32)


@pytest.fixture(scope="module")
def tsne(digits):
    estimator = lk.embedding("tsne", random_state=3)
    estimator.fit(digits)
    return estimator


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (
            lambda v: v.__setitem__((7, 2), np.nan),
            "row 7 of the vectors holds NaN or infinity in float..",
        ),
        (
            lambda v: v.__setitem__((slice(4, 6), 0), [np.inf, -np.inf]),
            r"row 4 of the vectors holds NaN or infinity in float.. \(2 such",
        ),
        (lambda v: v.__setitem__(slice(None), 1.5), "all 40 vectors are equal"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused(name, harm, message):
    vectors = np.random.default_rng(0).normal(size=(40, 5))
    harm(vectors)
    with pytest.raises(UserError, match=f"embedding '{name}': {message}"):
        fast(name).fit_transform(vectors)


@pytest.mark.parametrize("name", ["tsne", "umap"])
def test_values_too_large_for_float32_are_refused(name):
    vectors = np.ones((40, 5))
    vectors[3] = 1e300
    with pytest.raises(UserError, match="row 3 of the vectors holds NaN or infinity in float32"):
        fast(name).fit_transform(vectors)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(
    ("shape", "message"),
    [((40, 1), "1 dimension cannot be mapped to 2: use more"), ((1, 5), "or more and got 1"),
     ((40,), r"must be numbers \(N, D\), not float32 \(40,\)")],
)  # fmt: skip
def test_too_few_vectors_or_dimensions_are_refused(name, shape, message):
    with pytest.raises(UserError, match=message):
        fast(name).fit_transform(np.ones(shape, np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_transform_needs_a_fit_and_the_fitted_number_of_dimensions(name, digits):
    with pytest.raises(UserError, match="fit it before"):
        fast(name).transform(digits)
    if name == "pca":
        fitted = fast(name).fit(digits)
        with pytest.raises(UserError, match="have 3 dimensions, those of the fit had 64"):
            fitted.transform(np.ones((2, 3)))


@pytest.mark.parametrize("name", NAMES)
def test_embeddings_are_scikit_learn_estimators(name):
    estimator = lk.embedding(name, n_components=3)
    copy = clone(estimator)
    assert copy.get_params() == estimator.get_params()
    assert copy.get_params()["n_components"] == 3
    assert getattr(estimator, "on_progress", None) is None


@pytest.mark.parametrize("name", NAMES)
def test_estimated_cost_grows_with_the_number_of_points(name):
    small, large = (lk.embedding(name).estimate(n, 16) for n in (10_000, 70_000))
    assert 0 < small.bytes < large.bytes
    assert 0 < small.seconds < large.seconds


@pytest.mark.parametrize("name", ["pca", "tsne"])
@pytest.mark.parametrize(
    "change",
    [
        lambda v: np.asfortranarray(v),
        lambda v: np.repeat(v, 2, axis=1)[:, ::2],
        lambda v: v.astype(np.float64),
    ],
)
def test_memory_order_and_precision_of_the_input_change_little(name, change, digits):
    plain = fast(name).fit_transform(digits[:60])
    other = fast(name).fit_transform(change(digits[:60]))
    assert np.allclose(other, plain, atol=1e-3 * np.ptp(plain))


@pytest.mark.parametrize("name", ["pca", "tsne"])
def test_constant_columns_and_duplicates_are_mapped(name, digits):
    vectors = np.repeat(digits[:30], 3, axis=0)
    vectors[:, 5] = 2.0
    coordinates = fast(name).fit_transform(vectors)
    assert np.isfinite(coordinates).all()
    assert np.ptp(coordinates) > 0


def test_tsne_is_bitwise_repeatable_by_seed(digits, tsne):
    again = lk.embedding("tsne", random_state=3).fit_transform(digits)
    assert again.tobytes() == tsne.embedding_.tobytes()
    other = lk.embedding("tsne", random_state=4).fit_transform(digits)
    assert other.tobytes() != again.tobytes()


def test_tsne_keeps_neighbours_as_well_as_opentsnes_defaults(digits, tsne):
    theirs = np.asarray(openTSNE.TSNE(random_state=0, neighbors="exact").fit(digits))
    ours = trustworthiness(digits, tsne.embedding_, n_neighbors=10)
    assert ours > trustworthiness(digits, theirs, n_neighbors=10) - 0.005
    assert ours > 0.97


def test_tsne_places_fitted_points_near_their_coordinates(digits, tsne):
    placed = tsne.transform(digits)
    apart = np.linalg.norm(placed - tsne.embedding_, axis=1)
    assert np.median(apart) < 0.01 * np.ptp(tsne.embedding_)
    assert tsne.transform(digits[:0]).shape == (0, 2)


def test_tsne_places_new_points_among_their_neighbours(digits, tsne):
    data = load_digits()
    placed = tsne.transform(data.data[300:600])
    nearest = cKDTree(tsne.embedding_).query(placed)[1]
    assert (data.target[:300][nearest] == data.target[300:600]).mean() > 0.85


def test_tsne_does_not_change_its_map_when_it_places_points(digits, tsne):
    before = tsne.embedding_.copy()
    tsne.transform(digits[:9] + 1)
    assert np.array_equal(tsne.embedding_, before)


def test_tsne_in_three_dimensions_uses_scikit_learn(digits):
    estimator = fast("tsne", n_components=3, n_iter=100)
    coordinates = estimator.fit_transform(digits[:100])
    assert coordinates.shape == (100, 3)
    assert estimator.facts_["method"] == "scikit-learn"
    placed = estimator.transform(digits[:100])
    assert np.linalg.norm(placed - coordinates, axis=1).mean() < 0.3 * coordinates.std() * 3


def test_tsne_reports_the_steps_that_scikit_learn_took(digits, monkeypatch):
    estimator = fast("tsne", method="scikit-learn", n_iter=60)
    estimator.fit_transform(digits[:40])
    assert estimator.facts_["iterations"] == 310
    # If every gradient counts as small, each of the two phases stops at its first check.
    settings = partial(tsne_module.TSNE, min_grad_norm=1e9)
    monkeypatch.setattr(tsne_module, "TSNE", settings)
    estimator.fit_transform(digits[:40])
    assert 2 <= estimator.facts_["iterations"] <= 150


def test_tsne_lowers_its_perplexity_for_few_points_and_reports_it(digits):
    estimator = fast("tsne", perplexity=30)
    estimator.fit_transform(digits[:31])
    assert estimator.facts_["perplexity"] == 10
    assert np.isfinite(fast("tsne").fit_transform(digits[:5])).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "opentsne", "n_components": 3}, "set tsne.method=scikit-learn"),
        ({"method": "scikit-learn", "affinities": "uniform"}, "set tsne.affinities=perplexity"),
        ({"n_components": 3, "affinities": "uniform"}, "set tsne.affinities=perplexity"),
    ],
)
def test_tsne_refuses_unsupported_combinations_of_options(digits, options, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("tsne", **options).fit_transform(digits)


def test_tsne_reports_each_step(digits):
    told = []
    estimator = fast("tsne")
    estimator.on_progress = lambda *call: told.append(call)
    estimator.fit_transform(digits[:50])
    assert told[0] == (0, 0, "finding neighbours")
    assert told[1:] == [(step, 300, "optimising") for step in range(301)]


@pytest.mark.parametrize(("extent", "error"), [(1e-3, 1e-5), (3, 1e-4), (30, 0.05), (60, 0.08)])
def test_the_gradient_on_the_mesh_is_close_to_the_exact_one(extent, error):
    generator = np.random.default_rng(0)
    points = generator.normal(size=(400, 2)) * extent / 6
    between = points[:, None] - points[None]
    kernel = 1 / (1 + (between**2).sum(-1))
    affinities = csr_matrix(np.where(generator.random((400, 400)) < 0.02, 1.0, 0.0))
    affinities = (affinities + affinities.T) / (2 * affinities.sum())
    normaliser = kernel.sum() - 400
    dense = affinities.toarray()
    exact = ((dense - kernel / normaliser) * kernel)[..., None] * between
    exact = exact.sum(1)
    gradient_of = MeshGradient(affinities, 1)
    attraction, repulsion, found = gradient_of.forces(points)
    gradient = attraction - repulsion / found
    divergence = gradient_of.divergence(points)
    assert np.linalg.norm(gradient - exact) < error * np.linalg.norm(exact)
    share = dense[dense > 0]
    expected = (share * np.log(share * normaliser / kernel[dense > 0])).sum()
    assert divergence == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("n", [5, 8, 20])
def test_tsne_of_few_points_has_the_exact_divergence_and_does_not_explode(n):
    points = np.random.default_rng(n).normal(size=(n, 16)).astype(np.float32)
    estimator = fast("tsne")
    coordinates = estimator.fit_transform(points)
    assert 0 < estimator.facts_["kl_divergence"] < 1  # natural logarithms
    assert np.ptp(coordinates) < 60


def test_the_descent_takes_the_steps_of_opentsne():
    generator = np.random.default_rng(0)
    shares = csr_matrix(generator.random((60, 60)) * (generator.random((60, 60)) < 0.1))
    shares = ((shares + shares.T) / (2 * shares.sum())).tocsr()
    start = generator.normal(size=(60, 2))

    def gradient_of(points, affinities, **_):
        attraction, repulsion, normaliser = MeshGradient(affinities, 1).forces(points)
        return 0.0, attraction - repulsion / normaliser

    known = openTSNE.affinity.PrecomputedAffinities(shares.copy(), normalize=False)
    theirs = openTSNE.TSNEEmbedding(start.copy(), known, negative_gradient_method=gradient_of)
    descent = Descent(start, MeshGradient(shares, 1))
    # Few steps: gains change by the sign of a step, so rounding grows in leaps.
    for steps, exaggeration in ((8, 4), (6, 1)):
        theirs.optimize(
            steps, exaggeration=exaggeration, learning_rate="auto", momentum=0.8, inplace=True
        )
        descent.run(steps, exaggeration, lambda: None)
    assert np.allclose(descent.points, theirs, atol=1e-4 * np.ptp(theirs))


def test_the_repulsion_of_few_points_is_the_exact_one():
    points = np.random.default_rng(0).normal(size=(20, 2)) * 30
    between = points[:, None] - points[None]
    kernel = 1 / (1 + (between**2).sum(-1))
    force, potential = MeshGradient(csr_matrix((20, 20)), 1).repulsion(points)
    assert np.allclose(force, (kernel[..., None] ** 2 * between).sum(1))
    assert np.allclose(potential, kernel.sum(1))


@pytest.mark.parametrize("n", [5, 12])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("pca", {}),
        ("isomap", {"n_neighbors": 2}),
        ("tsne", {"affinities": "uniform"}),
        ("tsne", {"n_components": 3}),
    ],
)
def test_the_facts_of_few_points_on_a_line_are_json(name, options, n):
    points = np.linspace(0, 1, n)[:, None] * np.ones(8)
    estimator = fast(name, **options)
    estimator.fit_transform(points.astype(np.float32))
    assert json.dumps(estimator.facts_, allow_nan=False)


def test_pca_reports_how_much_variance_it_keeps(digits):
    estimator = lk.embedding("pca", n_components=3)
    coordinates = estimator.fit_transform(digits)
    kept = coordinates.var(0) / digits.var(0).sum()
    assert np.allclose(estimator.facts_["explained_variance_ratio"], kept, rtol=1e-3)
    assert np.allclose(estimator.transform(digits), coordinates)


def test_pca_inverts_only_coordinates_of_its_own_width(digits):
    with pytest.raises(UserError, match="fit it before"):
        lk.embedding("pca").inverse_transform(np.ones((3, 2)))
    with pytest.raises(UserError, match="have 3 dimensions, the map has 2"):
        lk.embedding("pca").fit(digits).inverse_transform(np.ones((3, 3)))


def test_umap_learn_is_imported_only_when_it_is_fitted_and_torch_never():
    code = (
        "import sys, latentkit as lk; lk.embedding('umap'); lk.embedding('tsne'); "
        "sys.exit(len({'umap', 'pynndescent', 'torch'} & set(sys.modules)))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr


def test_no_embedding_warns(digits):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fast("tsne").fit_transform(digits[:40])
        fast("pca").fit_transform(digits[:40])
