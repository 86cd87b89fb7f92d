"""The installed plugin: its maps keep neighbours, repeat, and leave the process as it was."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

pytest.importorskip("torchdr", reason="pip install ./plugins/latentkit-torchdr to test it")

import torch

import latentkit as lk
from latentkit.errors import ResourceError, UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.embeddings import clusters
from latentkit.testing.suites import part_cases

INSTALLED = any(e.name == "torchdr" for e in entry_points(group="latentkit.plugins"))
pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="pip install ./plugins/latentkit-torchdr to test it"
)
PLACING = ["torchdr-umap", "torchdr-largevis", "torchdr-infotsne"]
ALL = [*PLACING, "torchdr-tsne", "torchdr-phate", "torchdr-pacmap"]


def cases():
    """Return the checks of embeddings, with few steps, whatever plugins are switched off."""
    few = {name: {"n_iter": 8, "device": "cpu"} for name in ALL}
    found = Registry(find_plugins())
    return part_cases("latentkit-torchdr", options=few, registry=found) if INSTALLED else []


@pytest.mark.parametrize("case", cases())
def test_the_contract(case):
    case()


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch):
    monkeypatch.delenv("LATENTKIT_PLUGINS", raising=False)
    monkeypatch.delenv("LATENTKIT_STRICT", raising=False)


@pytest.fixture(autouse=True)
def _one_thread():
    """Compute on one thread, because several are slow where other processes use the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def made(name, **options):
    if name == "torchdr-infotsne":
        options["n_negatives"] = 30
    return lk.embedding(name, device="cpu", **options)


def neighbours_of_own_cluster(coordinates):
    from latentkit.neighbors import NeighborIndex

    nearest = NeighborIndex(coordinates.astype(np.float32)).neighbors(5).indices
    own = np.repeat(range(3), 40)
    return (own[nearest] == own[:, None]).mean()


@pytest.mark.parametrize("name", ALL)
def test_clusters_stay_together(name):
    estimator = made(name, n_iter=60)
    assert neighbours_of_own_cluster(estimator.fit_transform(clusters())) > 0.95
    assert estimator.facts_["device"] == "cpu"
    assert 0 < estimator.facts_["steps"] <= 60


@pytest.mark.parametrize("name", PLACING)
@pytest.mark.parametrize("count", [1, 40])
def test_new_points_are_placed_near_their_neighbours_however_few_they_are(name, count):
    vectors = clusters()
    estimator = made(name, n_iter=60)
    coordinates = estimator.fit_transform(vectors)
    new = vectors[40 : 40 + count] + np.float32(0.05)
    placed = estimator.transform(new)
    apart = np.linalg.norm(placed - coordinates[40 : 40 + count], axis=1)
    assert np.median(apart) < 0.15 * np.ptp(coordinates, axis=0).max()
    assert np.array_equal(estimator.transform(new), placed)
    assert estimator.transform(new[:0]).shape == (0, 2)


@pytest.mark.parametrize("name", ["torchdr-umap", "torchdr-largevis"])
def test_the_map_repeats_on_several_threads(name):
    vectors = np.random.default_rng(0).normal(size=(2000, 8))
    torch.set_num_threads(2)
    maps = [made(name, n_iter=2, random_state=seed).fit_transform(vectors) for seed in (7, 7, 8)]
    assert np.array_equal(maps[0], maps[1])
    assert not np.array_equal(maps[0], maps[2])


def state():
    """Return the settings of the process that TorchDR changes."""
    return (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.get_rng_state().tolist(),
        os.environ.get("PYTHONHASHSEED"),
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.are_deterministic_algorithms_enabled(),
    )


def test_the_process_is_left_as_it_was(capsys):
    before = state()
    with torch.no_grad():
        estimator = lk.embedding("torchdr-umap", n_iter=3)
        estimator.fit(clusters())
        estimator.transform(clusters()[:3])
    assert state() == before
    with pytest.raises(UserError):
        estimator.fit(np.full((50, 4), np.nan))
    assert state() == before
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", PLACING)
def test_place_scale_and_a_far_outlier_do_not_hide_the_clusters(name):
    vectors = clusters() * np.float32(1e-20) if name == "torchdr-umap" else clusters() + 1000
    vectors = np.vstack([vectors, vectors[:1] * 1e6])
    estimator = made(name, n_iter=60, init="random")
    assert neighbours_of_own_cluster(estimator.fit_transform(vectors)[:120]) > 0.9
    assert np.isfinite(estimator.transform(np.full((1, 8), 1e38))).all()


@pytest.mark.parametrize("name", ALL)
def test_equal_vectors_get_one_place_and_constant_columns_are_mapped(name):
    vectors = np.hstack([np.repeat(clusters(), 2, axis=0), np.full((240, 2), 7)])
    places = made(name, n_iter=5).fit_transform(vectors.astype(np.float16))
    assert np.isfinite(places).all()
    assert np.array_equal(places[::2], places[1::2])


@pytest.mark.parametrize("name", [name for name in ALL if name != "torchdr-pacmap"])
@pytest.mark.parametrize("n", [6, 8])
def test_few_vectors_are_mapped(name, n):
    estimator = made(name, n_iter=5, n_components=3)
    assert np.isfinite(estimator.fit_transform(clusters()[:n])).all()


@pytest.mark.parametrize("name", ["torchdr-umap", "torchdr-pacmap"])
@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (np.zeros((1, 4)), "needs (6|62) vectors or more and got 1"),
        (np.zeros((100, 4)), "all 100 vectors are equal"),
        (np.eye(4).repeat(25, axis=0), "needs (6|62) different vectors or more, but of 100 only 4"),
        (np.full((100, 4), np.nan), "row 0 of the vectors holds NaN or infinity"),
        (np.full((100, 4), 1e300), "holds NaN or infinity in float32"),
        (np.zeros(100), r"must be numbers \(N, D\)"),
        ([[1.0], [1.0, 2.0]], "not an array of numbers"),
        (np.arange(100.0)[:, None], "1 dimension cannot be mapped to 2"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused_with_the_reason(name, vectors, message):
    with pytest.raises(UserError, match=message):
        lk.embedding(name).fit(vectors)


def test_new_points_need_a_fitted_map_and_equal_dimensions():
    estimator = lk.embedding("torchdr-umap", n_iter=3)
    with pytest.raises(UserError, match="fit it before"):
        estimator.transform(clusters())
    estimator.fit(clusters())
    with pytest.raises(UserError, match="have 3 dimensions, those of the fit had 8"):
        estimator.transform(clusters()[:, :3])


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda"}, r"torchdr-umap\.device=cuda needs a GPU"),
        ({"distributed": True}, r"torchdr-umap\.distributed=true needs a GPU"),
    ],
)
def test_a_missing_gpu_is_named_before_anything_is_computed(options, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("torchdr-umap", **options)


def test_memory_that_does_not_suffice_becomes_one_line(monkeypatch):
    from torchdr import UMAP

    def fail(self):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9")

    monkeypatch.setattr(UMAP, "_training_step", fail)
    with pytest.raises(ResourceError, match="too little memory for 120 different vectors"):
        lk.embedding("torchdr-umap", device="cpu").fit(clusters())


def test_an_interrupt_ends_the_fit_and_restores_the_process():
    def interrupt(done, total, doing):
        if done == 3:
            raise KeyboardInterrupt

    before = state()
    estimator = lk.embedding("torchdr-umap", n_iter=100)
    estimator.on_progress = interrupt
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(clusters())
    assert state() == before
    estimator.on_progress = None
    assert np.isfinite(estimator.fit_transform(clusters())).all()


@pytest.mark.parametrize("name", ["torchdr-tsne", "torchdr-phate"])
def test_the_estimate_of_methods_of_all_pairs_is_quadratic(name):
    estimator = lk.embedding(name, device="cpu")
    few, many = (estimator.estimate(n, 16).bytes for n in (10_000, 100_000))
    assert many > 20 * few
    assert many > 200e9


def test_declaration_and_options_have_no_heavy_imports():
    code = (
        "import sys, latentkit_torchdr.plugin, latentkit_torchdr.options\n"
        "heavy = {'torchdr', 'torch', 'numpy', 'faiss', 'sklearn', 'scipy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout.replace("'", '"')) == []
