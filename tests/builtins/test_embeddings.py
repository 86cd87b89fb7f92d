import numpy as np
import pytest
import scipy.sparse
import torch
from sklearn.datasets import make_s_curve
from sklearn.manifold import Isomap

import latentkit as lk
from latentkit.errors import UserError
from latentkit.maps.quality import map_quality


@pytest.fixture(scope="module")
def curve():
    points, along = make_s_curve(400, random_state=0)
    return points.astype(np.float32), along


@pytest.mark.parametrize("name", ["pca", "isomap"])
@pytest.mark.parametrize("n_components", [2, 3])
def test_a_map_is_repeatable_and_leaves_its_input_alone(curve, name, n_components):
    points = curve[0].copy()
    maps = [
        lk.embedding(name, n_components=n_components, random_state=3).fit_transform(points)
        for _ in range(2)
    ]
    assert maps[0].shape == (400, n_components)
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(points, curve[0])


def test_isomap_unrolls_the_s_curve_and_pca_cannot(curve):
    points, along = curve
    correlations = {
        name: abs(np.corrcoef(lk.embedding(name).fit_transform(points)[:, 0], along)[0, 1])
        for name in ("isomap", "pca")
    }
    assert correlations["isomap"] > 0.99
    assert correlations["pca"] < 0.95


def test_isomap_equals_scikit_learns_up_to_sign_and_leaves_numpys_random_state_alone(curve):
    np.random.seed(7)
    expected_draw = np.random.rand()
    np.random.seed(7)
    ours = lk.embedding("isomap", n_neighbors=8).fit_transform(curve[0])
    assert np.random.rand() == expected_draw
    theirs = Isomap(n_neighbors=8).fit_transform(curve[0])
    assert np.allclose(np.abs(ours), np.abs(theirs), atol=1e-5)


def test_isomap_transforms_new_points_and_pca_inverts_its_map(curve):
    points, _ = curve
    isomap = lk.embedding("isomap")
    coordinates = isomap.fit_transform(points)
    assert np.abs(isomap.transform(points) - coordinates).max() < 0.05 * np.ptp(coordinates)
    pca = lk.embedding("pca", n_components=3)
    assert np.allclose(pca.inverse_transform(pca.fit_transform(points)), points, atol=1e-5)


QUICK = {"pca": {}, "isomap": {}, "tsne": {"n_iter": 30}, "umap": {"n_epochs": 30}}


@pytest.mark.parametrize("exponent", [-130, -70, 70, 100])
@pytest.mark.parametrize("name", QUICK)
def test_a_map_does_not_depend_on_the_scale_of_its_vectors(curve, name, exponent):
    points = curve[0][::8]
    maps = [
        lk.embedding(name, **QUICK[name]).fit_transform(np.ldexp(points, power))
        for power in (0, exponent)
    ]
    quality = [map_quality(points, found, None).trustworthiness.value for found in maps]
    assert np.isfinite(maps[1]).all()
    assert quality[1] == pytest.approx(quality[0], abs=0.1)


@pytest.mark.parametrize("name", QUICK)
def test_a_new_vector_from_very_far_away_gets_finite_coordinates(curve, name):
    embedding = lk.embedding(name, **QUICK[name])
    embedding.fit_transform(curve[0][::8])
    for distance in (1e4, 1e12, 1e30):
        assert np.isfinite(embedding.transform(curve[0][:2] * distance)).all()


@pytest.mark.parametrize("name", QUICK)
def test_what_is_no_array_of_numbers_is_refused_in_one_line(name):
    for given in (
        [[1, 2], [3]],
        scipy.sparse.eye(20).tocsr(),
        torch.ones(9, 3, requires_grad=True),
    ):
        with pytest.raises(UserError) as refused:
            lk.embedding(name).fit_transform(given)
        assert "\n" not in str(refused.value)
