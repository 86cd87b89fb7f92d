"""Tests of UMAP: its own layout, and the map of umap-learn."""

import sys
import warnings
from functools import partial
from itertools import pairwise
from types import SimpleNamespace

import numba
import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.linalg import eigsh
from scipy.spatial import cKDTree
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness

import latentkit as lk
from latentkit.builtins.embeddings import umap as umap_module
from latentkit.builtins.embeddings.options import UmapOptions
from latentkit.builtins.embeddings.umap_graph import (
    Graph,
    fuzzy_graph,
    memberships,
    spectral_start,
    with_labels,
)
from latentkit.builtins.embeddings.umap_layout import _rounds, kernel_parameters
from latentkit.errors import UserError
from latentkit.neighbors import NeighborIndex


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    vectors = data.data[:500].astype(np.float32)
    vectors[7] = vectors[3]
    return vectors, data.target[:500]


@pytest.fixture(scope="module")
def told():
    return []


@pytest.fixture(scope="module")
def umap(digits, told):
    estimator = lk.embedding("umap", random_state=5)
    estimator.on_progress = lambda *call: told.append(call)
    return estimator.fit(digits[0])


@pytest.fixture(scope="module")
def learned(digits):
    return lk.embedding("umap", method="umap-learn", random_state=5).fit(digits[0])


def test_umap_keeps_neighbours_together_and_reports_each_step(digits, umap, told):
    assert trustworthiness(digits[0], umap.embedding_, n_neighbors=10) > 0.95
    steps = umap.facts_["steps"]
    assert told[0] == (0, 0, "finding neighbours")
    found = told.index((0, 0, "placing the points"))
    assert {message for _, _, message in told[:found]} == {"finding neighbours"}
    assert told[found + 1 :] == [(done, steps, "optimising") for done in range(steps + 1)]
    assert umap.facts_ == {
        "method": "latentkit",
        "n_neighbors": 15,
        "neighbours": "exact",
        "graph_recall": 1.0,
        "components": 1,
        "steps": steps,
        "repeatable": True,
        "labels_used": False,
    }


def test_umap_is_as_faithful_as_umap_learn(digits, umap, learned):
    ours, theirs = (
        trustworthiness(digits[0], one.embedding_, n_neighbors=10) for one in (umap, learned)
    )
    assert ours > theirs - 0.003


@pytest.mark.usefixtures("learned")  # it imports umap without its warnings
def test_the_graph_has_the_weights_of_umap_learn(digits):
    from umap.umap_ import fuzzy_simplicial_set

    vectors = np.unique(digits[0], axis=0)
    found = NeighborIndex(vectors).neighbors(14)
    graph = fuzzy_graph(found.indices.copy(), found.distances.astype(np.float64))
    itself = np.arange(len(vectors))[:, None]
    theirs, *_ = fuzzy_simplicial_set(
        vectors,
        15,
        np.random.RandomState(0),
        "euclidean",
        knn_indices=np.hstack([itself, found.indices]),
        knn_dists=np.hstack([np.zeros_like(itself), found.distances]).astype(np.float32),
    )
    ours = csr_matrix((graph.weights, graph.neighbors, graph.starts), theirs.shape)
    assert abs(ours - theirs).max() < 1e-3
    assert abs(ours - ours.T).max() == 0


@pytest.mark.usefixtures("learned")  # it imports umap without its warnings
def test_labels_change_the_graph_as_in_umap_learn(digits):
    from umap.umap_ import discrete_metric_simplicial_set_intersection as intersected

    vectors, rows = np.unique(digits[0], axis=0, return_index=True)
    labels = digits[1][rows].astype(np.int64)
    labels[::7] = -1
    found = NeighborIndex(vectors).neighbors(14)
    graph = fuzzy_graph(found.indices.copy(), found.distances.astype(np.float64))
    shape = (len(vectors), len(vectors))
    before = csr_matrix((graph.weights, graph.neighbors, graph.starts), shape)
    theirs = intersected(before.copy(), labels, far_dist=5.0)
    told = with_labels(graph, labels)
    ours = csr_matrix((told.weights, told.neighbors, told.starts), shape)
    assert abs(ours - theirs).max() < 1e-5


@pytest.mark.parametrize("method", ["latentkit", "umap-learn"])
def test_labels_draw_classes_together(digits, umap, method):
    vectors, labels = digits[0], digits[1].astype(np.int64)
    hidden = labels.copy()
    hidden[::5] = -1
    told = lk.embedding("umap", method=method, target="labels", random_state=5)
    assert told.reads_labels
    places = told.fit_transform(vectors, hidden)
    assert told.facts_["labels_used"] is True
    assert _agreement(places, labels) > _agreement(umap.embedding_, labels)


def _agreement(places, labels):
    """Return the share of a point's ten neighbours in a map that have its class."""
    return (labels[NeighborIndex(places).neighbors(10).indices] == labels[:, None]).mean()


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "an integer label for each of 500 vectors, -1 where it is missing, and got none"),
        (np.zeros(3, int), r"got int64 \(3,\)"),
        (np.full(500, -1), r"all labels are missing: set umap\.target=none"),
    ],
)
def test_labels_that_cannot_be_used_are_refused(digits, labels, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("umap", target="labels").fit(digits[0], labels)


def test_memberships_add_up_to_the_logarithm_of_the_neighbours():
    distances = np.sort(np.random.default_rng(0).random((50, 14)), axis=1)
    weights = memberships(distances)
    assert np.allclose(weights.sum(1), np.log2(15), atol=1e-3)
    assert (weights[:, 0] == 1).all()


@pytest.mark.usefixtures("learned")
def test_the_kernel_is_that_of_umap_learn():
    from umap.umap_ import find_ab_params

    assert kernel_parameters(0.1, 1.0) == pytest.approx(find_ab_params(1.0, 0.1), abs=1e-4)


def test_the_start_spans_the_leading_eigenvectors(digits):
    vectors = np.unique(digits[0], axis=0)
    found = NeighborIndex(vectors).neighbors(14)
    graph = fuzzy_graph(found.indices.copy(), found.distances.astype(np.float64))
    start = spectral_start(graph, 2, 0)
    weights = csr_matrix((graph.weights, graph.neighbors, graph.starts)).astype(np.float64)
    roots = np.sqrt(np.asarray(weights.sum(1)).ravel())
    scaled = csr_matrix(weights.multiply(1 / roots[:, None]).multiply(1 / roots))
    values, vectors = eigsh(scaled, 3, which="LA")
    aim = np.linalg.qr(vectors[:, np.argsort(values)[:2]])[0]
    ours = np.linalg.qr(start * roots[:, None])[0]
    assert np.linalg.svd(aim.T @ ours)[1].min() > 0.99


def test_each_edge_is_drawn_in_one_round_and_no_point_twice_in_any_but_the_last():
    n, hub = 400, 7  # the hub has more edges than there are rounds
    near = np.abs(np.subtract.outer(np.arange(n), np.arange(n))) <= 2
    near[hub] = near[:, hub] = True
    np.fill_diagonal(near, False)
    joined = csr_matrix(near.astype(np.float32))
    graph = Graph(joined.indptr.astype(np.int64), joined.indices, joined.data)
    (firsts, seconds, rates), cuts = _rounds(graph, graph.weights)
    pairs = set(zip(firsts.tolist(), seconds.tolist(), strict=True))
    assert pairs == {(i, j) for i, j in np.argwhere(near).tolist() if i < j}
    assert len(firsts) == len(pairs) == len(rates) == cuts[-1]
    for first, last in pairwise(cuts[:-1]):
        points = np.concatenate([firsts[first:last], seconds[first:last]])
        assert 0 < len(points) == len(np.unique(points))
    assert ((firsts == hub) | (seconds == hub))[cuts[-2] :].all()
    assert cuts[-1] > cuts[-2]


def test_umap_gives_the_same_bytes_with_any_number_of_threads(digits, umap):
    before = numba.get_num_threads()
    try:
        numba.set_num_threads(1)
        again = lk.embedding("umap", random_state=5).fit_transform(digits[0].astype(np.float64))
    finally:
        numba.set_num_threads(before)
    assert again.tobytes() == umap.embedding_.tobytes()
    other = lk.embedding("umap", random_state=6).fit_transform(digits[0])
    assert other.tobytes() != umap.embedding_.tobytes()


def test_umap_gives_equal_vectors_one_place(umap):
    assert np.array_equal(umap.embedding_[7], umap.embedding_[3])


def test_umap_reports_when_its_neighbours_are_approximate(monkeypatch):
    hurried = partial(NeighborIndex, exact_work=1, min_recall=0.8)
    monkeypatch.setattr(umap_module, "NeighborIndex", hurried)
    points = np.random.default_rng(0).standard_normal((4_000, 12))
    estimator = lk.embedding("umap", n_epochs=1)
    estimator.fit(points)
    assert estimator.facts_["neighbours"] == "approximate"
    assert 0.8 <= estimator.facts_["graph_recall"] < 1


@pytest.mark.parametrize("which", ["umap", "learned"])
def test_it_places_fitted_points_at_their_coordinates_and_new_ones_near_their_class(
    digits, which, request
):
    fitted = request.getfixturevalue(which)
    assert np.array_equal(fitted.transform(digits[0]), fitted.embedding_)
    data = load_digits()
    placed = fitted.transform(data.data[500:700])
    nearest = cKDTree(fitted.embedding_).query(placed)[1]
    assert (digits[1][nearest] == data.target[500:700]).mean() > 0.83
    assert fitted.transform(digits[0][:0]).shape == (0, 2)


def test_umap_places_a_new_point_independently_of_others(umap):
    new = load_digits().data[500:520]
    assert np.array_equal(umap.transform(new)[3:5], umap.transform(new[3:5]))


def test_umap_inverts_a_map_roughly(digits, umap):
    back = umap.inverse_transform(umap.embedding_)
    error = ((back - digits[0]) ** 2).mean()
    assert error < 0.5 * digits[0].var(0).mean()
    with pytest.raises(UserError, match="the map has 2"):
        umap.inverse_transform(np.zeros((3, 3)))


@pytest.mark.parametrize("count", [4, 5, 6, 9])
def test_umap_maps_few_points(digits, count):
    small = lk.embedding("umap", n_components=3)
    assert np.isfinite(small.fit_transform(digits[0][10 : 10 + count])).all()
    assert small.facts_["n_neighbors"] == count


def _awkward(which):
    """Return 60 vectors that are unusual in one way."""
    vectors = np.random.default_rng(0).normal(size=(60, 5)).astype(np.float32)
    if which == "constant columns":
        vectors[:, 3:] = 7
    elif which == "one column":
        vectors[:, 1:] = 0
    elif which == "one vector far away":
        vectors[7] *= 1e6
    elif which == "a zero vector":
        vectors[7] = 0
    elif which == "tiny":
        vectors *= np.float32(1e-42)
    elif which == "huge":
        vectors *= np.float32(1e30)
    elif which == "float16":
        return vectors.astype(np.float16)
    elif which == "signs":
        return vectors > 0
    return vectors


@pytest.mark.parametrize(
    "which",
    [
        "constant columns",
        "one column",
        "one vector far away",
        "a zero vector",
        "tiny",
        "huge",
        "float16",
        "signs",
    ],
)
@pytest.mark.parametrize("init", ["spectral", "pca"])
def test_umap_maps_awkward_vectors_to_a_map_that_is_not_squeezed(which, init):
    vectors = _awkward(which)
    made = lk.embedding("umap", method="latentkit", n_epochs=20, init=init)
    places = made.fit_transform(vectors)
    others = np.delete(places, 7, axis=0)  # without the one that is far away
    assert np.isfinite(places).all()
    assert np.ptp(others, axis=0).max() > 0.5 * np.ptp(places, axis=0).max()
    assert np.isfinite(made.transform(vectors[:9])).all()
    assert np.isfinite(made.inverse_transform(places[:9])).all()


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_umap_refuses_fewer_than_four_vectors(metric, n):
    with pytest.raises(UserError, match=f"needs 4 vectors or more and got {n}: map more"):
        lk.embedding("umap", method="latentkit", metric=metric).fit(np.eye(4)[:n])


@pytest.mark.parametrize("name", ["umap", "tsne"])
def test_an_interrupt_ends_a_fit_and_the_next_one_is_whole(digits, name):
    """Interrupt in each of the first calls of ``on_progress``, from neighbours to steps."""
    options = {"method": "latentkit", "n_epochs": 9} if name == "umap" else {"n_iter": 9}
    for last in (1, 2, 5):
        left = iter(range(last - 1))

        def interrupt(done, total, doing, left=left):
            if next(left, None) is None:
                raise KeyboardInterrupt

        stopped = lk.embedding(name, **options)
        stopped.on_progress = interrupt
        with pytest.raises(KeyboardInterrupt):
            stopped.fit(digits[0][:100])
    stopped.on_progress = None
    again = stopped.fit_transform(digits[0][:100])
    assert np.array_equal(again, lk.embedding(name, **options).fit_transform(digits[0][:100]))


def test_umap_maps_vectors_of_which_few_differ():
    vectors = np.repeat(np.eye(3, dtype=np.float32), 20, axis=0)
    places = lk.embedding("umap").fit_transform(vectors)
    assert len(np.unique(places, axis=0)) == 3


def test_umap_keeps_components_apart():
    generator = np.random.default_rng(0)
    parts = [generator.normal(place, 0.1, (60, 4)) for place in (0, 5, 10)]
    estimator = lk.embedding("umap")
    places = estimator.fit_transform(np.concatenate(parts))
    assert estimator.facts_["components"] == 3
    nearest = NeighborIndex(places).neighbors(5).indices // 60
    assert (nearest == np.repeat(range(3), 60)[:, None]).all()


def test_only_large_components_start_from_eigenvectors(monkeypatch):
    asked = []
    spectral = umap_module.spectral_start
    monkeypatch.setattr(umap_module, "_MOST_SPECTRAL", 3)
    monkeypatch.setattr(
        umap_module,
        "spectral_start",
        lambda graph, *rest: asked.append(len(graph.starts) - 1) or spectral(graph, *rest),
    )
    generator = np.random.default_rng(0)
    sizes = {0: 150, 5: 40, 10: 50}
    parts = [generator.normal(place, 0.1, (size, 4)) for place, size in sizes.items()]
    estimator = lk.embedding("umap", n_epochs=20)
    places = estimator.fit_transform(generator.permutation(np.concatenate(parts)))
    assert estimator.facts_["components"] == 3
    assert asked == [150]
    assert np.isfinite(places).all()


def test_cosine_does_not_depend_on_the_length_of_vectors(digits):
    lengths = np.random.default_rng(0).integers(1, 4, (500, 1)).astype(np.float32)
    found = [
        lk.embedding("umap", metric="cosine", n_epochs=20).fit_transform(vectors)
        for vectors in (digits[0], digits[0] * 2.0**lengths)
    ]
    assert np.allclose(*found, atol=1e-3)


@pytest.mark.parametrize(("metric", "what"), [("cosine", "zero"), ("correlation", "constant")])
def test_a_vector_without_direction_is_refused(digits, metric, what):
    vectors = digits[0].copy()
    vectors[11] = 0
    with pytest.raises(UserError, match=f"row 11 of the vectors is {what}"):
        lk.embedding("umap", metric=metric).fit(vectors)
    placed = lk.embedding("umap", metric=metric, n_epochs=2).fit(digits[0])
    with pytest.raises(UserError, match=f"row 0 of the vectors is {what}"):
        placed.transform(np.zeros((1, 64)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_dist": 0.5, "spread": 0.2}, r"min_dist=0\.5 is above spread=0\.2: lower min_dist"),
        ({"metric": "cosine", "method": "umap-learn"}, "metric=cosine needs method=latentkit"),
        ({"method": "latentkit", "parallel": True}, "parallel=true is for method=umap-learn"),
    ],
)
def test_contradicting_options_are_refused(options, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("umap", **options)


def test_options_of_earlier_versions_keep_their_method():
    known = {"n_components": 2, "n_neighbors": 15, "min_dist": 0.1, "parallel": False}
    assert UmapOptions(**known).method == "umap-learn"
    assert UmapOptions(**UmapOptions().model_dump()).method == "latentkit"


def test_umap_learn_does_not_report_files_that_other_code_left_open(monkeypatch):
    class Leaking:
        def __init__(self, **options):
            pass

        def fit_transform(self, vectors, labels):
            warnings.warn("unclosed database", ResourceWarning, stacklevel=2)
            warnings.warn("the graph is odd", stacklevel=2)
            return vectors[:, :2]

    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Leaking))
    built = lk.embedding("umap", method="umap-learn")
    built.fit_transform(np.random.default_rng(0).random((50, 4)).astype(np.float32))
    assert built.facts_["warnings"] == ["the graph is odd"]


def test_umap_learn_gives_the_same_map_for_the_same_seed(digits, learned):
    again = lk.embedding("umap", method="umap-learn", random_state=5).fit_transform(digits[0])
    assert again.tobytes() == learned.embedding_.tobytes()
    assert learned.facts_["repeatable"] is True


def test_umap_learn_in_parallel_reports_that_it_is_not_repeatable(digits):
    estimator = lk.embedding("umap", method="umap-learn", parallel=True)
    assert np.isfinite(estimator.fit_transform(digits[0][:100])).all()
    assert estimator.facts_["repeatable"] is False
