"""The installed plugin: it is found by its entry point and makes good maps."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

pytest.importorskip("pacmap", reason="pip install ./plugins/latentkit-pacmap to test it")

import numba

import latentkit as lk
from latentkit.errors import UserError
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases

INSTALLED = any(e.name == "pacmap" for e in entry_points(group="latentkit.plugins"))
pytestmark = pytest.mark.skipif(
    not INSTALLED,
    reason="pip install ./plugins/latentkit-pacmap to test it",
)


def cases():
    """Return the checks of embeddings, whatever plugins the developer has switched off."""
    found = Registry(find_plugins())
    return part_cases("latentkit-pacmap", registry=found) if INSTALLED else []


@pytest.mark.parametrize("case", cases())
def test_the_contract(case):
    case()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.delenv("LATENTKIT_PLUGINS", raising=False)
    monkeypatch.delenv("LATENTKIT_STRICT", raising=False)


@pytest.fixture(scope="module")
def digits():
    """Return 600 digits as rows of pixels (600, 64), with their labels."""
    images = lk.dataset("digits")
    return images.images[:600].reshape(600, 64) / np.float32(255), images.labels[:600]


def knn_accuracy(fitted, labels, asked, expected):
    from sklearn.neighbors import KNeighborsClassifier

    return KNeighborsClassifier(10).fit(fitted, labels).score(asked, expected)


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_the_plugin_is_found_by_its_entry_point(name):
    part = default_registry().get("embedding", name)
    assert part.plugin.distribution == "latentkit-pacmap"
    assert not part.plugin.built_in


def test_declaration_and_options_have_no_heavy_imports():
    code = (
        "import sys, latentkit_pacmap.plugin, latentkit_pacmap.options\n"
        "print(sorted({'pacmap', 'numba', 'faiss', 'sklearn', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_classes_stay_together_and_new_points_are_placed_in_their_class(name, digits):
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


@pytest.mark.parametrize("name", ["pacmap", "localmap"])
def test_the_number_of_threads_does_not_change_the_map(name, digits):
    before = numba.get_num_threads()
    maps = []
    try:
        for threads in {1, before}:
            numba.set_num_threads(threads)
            maps.append(lk.embedding(name).fit_transform(digits[0][:200]))
            assert numba.get_num_threads() == threads
    finally:
        numba.set_num_threads(before)
    assert np.array_equal(maps[0], maps[-1])


def test_every_seed_of_a_run_is_accepted(digits):
    assert lk.embedding("pacmap", random_state=2**32 - 1).fit(digits[0][:100])


@pytest.mark.parametrize("distance", ["euclidean", "manhattan", "angular"])
def test_each_distance_gives_a_map_in_three_dimensions(distance, digits):
    estimator = lk.embedding("pacmap", n_components=3, distance=distance)
    coordinates = estimator.fit_transform(digits[0][:100])
    assert coordinates.shape == (100, 3)
    assert np.isfinite(coordinates).all()


def test_duplicate_vectors_among_others_give_a_valid_map(digits):
    vectors = np.vstack([np.repeat(digits[0][:1], 80, axis=0), digits[0][:40]])
    assert np.isfinite(lk.embedding("pacmap").fit_transform(vectors)).all()


def test_new_points_are_placed_independently_of_each_other(digits):
    estimator = lk.embedding("pacmap").fit(digits[0][:100])
    placed = estimator.transform(digits[0][100:110])
    np.testing.assert_allclose(estimator.transform(digits[0][100:101]), placed[:1], rtol=1e-4)
    assert estimator.transform(digits[0][:0]).shape == (0, 2)


def test_nothing_is_logged_and_log_levels_of_other_packages_are_unchanged(digits, caplog):
    before = logging.getLogger("pacmap").level
    lk.embedding("pacmap").fit(digits[0][:100])
    assert caplog.records == []
    assert logging.getLogger("pacmap").level == before


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((20, 4)), r"needs 36 vectors or more and got 20: map more, or lower pacmap\.n_n"),
        (np.zeros((100, 4)), "all 100 vectors are equal"),
        (np.full((100, 4), np.nan), "row 0 of the vectors holds NaN or infinity"),
        (np.full((100, 4), 1e300), "holds NaN or infinity in float32"),
        (np.zeros(100), r"must be numbers \(N, D\)"),
        (np.arange(100.0)[:, None], "cannot be mapped to 2"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused_with_the_reason(vectors, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("pacmap").fit(vectors)


def test_a_number_of_vectors_that_is_too_small_is_refused_before_there_are_any():
    with pytest.raises(UserError, match="needs 36 vectors or more and got 35"):
        lk.embedding("pacmap").estimate(35, 16)


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


def test_latentkit_run_maps_its_latents_with_it(tmp_path):
    small = ["model.channels=[4, 8]", "model.hidden=16", "model.latent_dim=3", "threads=1"]
    command = [sys.executable, "-m", "latentkit", "run", "--embed", "pacmap", "--epochs", "1"]
    command += [word for option in small for word in ("-o", option)]
    shown = subprocess.run(
        [*command, "--json"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr
    (run,) = tmp_path.glob("runs/*")
    assert json.loads(shown.stdout)["run"].endswith(run.name)
    assert lk.open(run).coordinates("pacmap").shape == (360, 2)
    assert (run / "figures" / "map-pacmap.png").exists()
