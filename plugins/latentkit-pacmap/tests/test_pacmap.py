"""The plugin as it is installed: found over its entry point, and good maps."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

pytest.importorskip("pacmap", reason="pip install ./plugins/latentkit-pacmap to test it")

import latentkit as lk
from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry

pytestmark = pytest.mark.skipif(
    not [e for e in entry_points(group="latentkit.plugins") if e.name == "pacmap"],
    reason="pip install ./plugins/latentkit-pacmap to test it",
)


@pytest.fixture(scope="module")
def digits():
    """Return 600 digits as rows of pixels (600, 64), with their labels."""
    images = lk.dataset("digits")
    return images.images[:600].reshape(600, 64) / np.float32(255), images.labels[:600]


def knn_accuracy(fitted, labels, asked, expected):
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(10).fit(fitted, labels).score(asked, expected)


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_it_is_found_over_its_entry_point(name):
    part = default_registry().get("embedding", name)
    assert part.plugin.distribution == "latentkit-pacmap"
    assert not part.plugin.built_in


def test_its_declaration_and_options_import_nothing_heavy():
    code = (
        "import sys, latentkit_pacmap.plugin, latentkit_pacmap.options\n"
        "print(sorted({'pacmap', 'numba', 'faiss', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_classes_stay_together_and_new_points_land_among_their_own(name, digits):
    vectors, labels = digits
    estimator = lk.embedding(name)
    coordinates = estimator.fit_transform(vectors[:500])
    assert coordinates.shape == (500, 2)
    assert np.isfinite(coordinates).all()
    assert knn_accuracy(coordinates, labels[:500], coordinates, labels[:500]) > 0.9
    placed = estimator.transform(vectors[500:])
    assert knn_accuracy(coordinates, labels[:500], placed, labels[500:]) > 0.8


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_the_seed_decides_the_map(name, digits):
    vectors, _ = digits
    maps = [
        lk.embedding(name, random_state=seed).fit_transform(vectors[:200]) for seed in (7, 7, 8)
    ]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def test_a_map_of_three_dimensions(digits):
    vectors, _ = digits
    assert lk.embedding("pacmap", n_components=3).fit_transform(vectors[:100]).shape == (100, 3)


def test_threads_and_log_levels_of_others_are_left_alone(digits):
    import logging

    import numba

    before = numba.get_num_threads(), logging.getLogger("pacmap").level
    lk.embedding("pacmap").fit(digits[0][:100])
    assert (numba.get_num_threads(), logging.getLogger("pacmap").level) == before


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((20, 4)), "needs 36 vectors or more and got 20"),
        (np.zeros((100, 4)), "all 100 vectors are equal"),
        (np.full((100, 4), np.nan), "not all vectors are finite"),
        (np.full((100, 4), 1e300), "not all vectors are finite in float32"),
        (np.zeros(100), r"must be \(N, D\)"),
        (np.arange(100.0)[:, None], "have no map of 2"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused_with_the_reason(vectors, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("pacmap").fit(vectors)


def test_new_points_need_a_fitted_map_and_equal_dimensions(digits):
    estimator = lk.embedding("pacmap")
    with pytest.raises(UserError, match="fit it before"):
        estimator.transform(digits[0])
    estimator.fit(digits[0][:100])
    with pytest.raises(UserError, match="have 3 dimensions, those of the fit had 64"):
        estimator.transform(digits[0][:, :3])


@pytest.mark.parametrize(
    "options",
    [{"n_neighbors": 1}, {"fp_ratio": 0.1}, {"distance": "cosine"}, {"num_iters": [1, 2]}],
    ids=str,
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(UserError, match=next(iter(options))):
        lk.embedding("pacmap", **options)


def test_the_estimate_grows_with_points_and_pairs():
    small, large = (lk.embedding("pacmap").estimate(n, 16) for n in (1_000, 10_000))
    assert large.bytes == 10 * small.bytes
    assert large.seconds > 10 * small.seconds
    assert lk.embedding("pacmap", n_neighbors=50).estimate(1_000, 16).bytes > small.bytes


def test_a_run_maps_its_latents_with_it(tmp_path):
    options = {"model.channels": [4, 8], "model.hidden": 16, "model.latent_dim": 3, "threads": 1}
    run = lk.run(embed=["pacmap"], epochs=1, options=options, out=tmp_path)
    assert run.coordinates("pacmap").shape == (360, 2)
    assert run.figures["map-pacmap"].exists()
