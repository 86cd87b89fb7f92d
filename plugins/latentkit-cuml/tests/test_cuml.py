"""The adapter of cuML: against cuML where it is installed, and against a stand-in everywhere.

The stand-in, `cuml_stand_in.py`, checks what cuML is called with. It says nothing of the maps.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, entry_points, version
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import BrokenEnvironmentError, ResourceError, UserError
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases

pytestmark = pytest.mark.skipif(
    not any(e.name == "cuml" for e in entry_points(group="latentkit.plugins")),
    reason="pip install ./plugins/latentkit-cuml to test it",
)


def installed():
    for name in ("cuml-cu13", "cuml-cu12", "cuml"):
        try:
            return version(name)
        except PackageNotFoundError:
            continue
    return None


def cases():
    """Return the checks of embeddings for cuML itself."""
    if installed() is None:
        reason = "cuML needs a GPU: pip install cuml-cu12 or cuml-cu13 to check its maps"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason))]
    return [
        case
        for case in part_cases("latentkit-cuml", registry=Registry(find_plugins()))
        # cuML documents that its t-SNE is not deterministic.
        if case.__name__ != "cuml-tsne-check_seed_decides_the_map"
    ]


@pytest.mark.parametrize("case", cases())
def test_the_contract(case):
    case()


@pytest.fixture
def folder(tmp_path):
    """Return a folder for ``sys.path`` that holds the stand-in as cuML 26.8."""
    package = tmp_path / "cuml"
    package.mkdir()
    (package / "__init__.py").touch()
    stand_in = Path(__file__).with_name("cuml_stand_in.py").read_text()
    (package / "manifold.py").write_text(stand_in)
    metadata = tmp_path / "cuml_cu13-26.8.0.dist-info" / "METADATA"
    metadata.parent.mkdir()
    metadata.write_text("Metadata-Version: 2.1\nName: cuml-cu13\nVersion: 26.8.0\n")
    return tmp_path


@pytest.fixture
def cuml(folder, monkeypatch):
    """Return the stand-in, imported as ``cuml.manifold``."""
    monkeypatch.delenv("LATENTKIT_PLUGINS", raising=False)
    for name in ("cuml", "cuml.manifold"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.syspath_prepend(folder)
    yield importlib.import_module("cuml.manifold")
    for name in ("cuml", "cuml.manifold"):
        sys.modules.pop(name, None)


@pytest.fixture(scope="module")
def vectors():
    return np.random.default_rng(0).normal(size=(100, 8))


def test_plugins_check_passes_with_the_stand_in(folder):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), *sys.path])}
    command = [sys.executable, "-m", "latentkit", "plugins", "check", "latentkit-cuml"]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "cuml-tsne  16 of 16 passed" in shown.stdout
    assert "cuml-umap  17 of 17 passed" in shown.stdout


@pytest.mark.skipif(installed() is not None, reason="cuML is installed here")
def test_without_cuml_the_command_that_installs_it_is_shown():
    with pytest.raises(BrokenEnvironmentError, match=r"pip install 'cuml-cu13>=26\.2'"):
        lk.embedding("cuml-umap")


def test_options_reach_umap_under_the_documented_names(cuml, vectors):
    options = {"n_neighbors": 7, "min_dist": 0.3, "metric": "cosine", "n_epochs": 50}
    estimator = lk.embedding("cuml-umap", n_components=3, random_state=2**32 - 1, **options)
    assert estimator.fit_transform(vectors).shape == (100, 3)
    call = cuml.UMAP.calls[-1]
    assert {key: call[key] for key in options} == options
    assert call["random_state"] == 2**32 - 1
    assert call["init"] == "spectral"
    assert estimator.facts_ == {"n_neighbors": 7, "init": "spectral", "repeatable": True}


def test_options_reach_tsne_under_the_documented_names(cuml, vectors):
    estimator = lk.embedding("cuml-tsne", perplexity=12, n_iter=300, method="exact")
    assert estimator.fit_transform(vectors).shape == (100, 2)
    call = cuml.TSNE.calls[-1]
    chosen = {"perplexity": 12.0, "n_neighbors": 36, "max_iter": 300, "method": "exact"}
    assert {key: call[key] for key in chosen} == chosen
    assert call["square_distances"]
    lk.embedding("cuml-tsne", metric="cosine").fit_transform(vectors)
    assert not cuml.TSNE.calls[-1]["square_distances"]


def test_without_repeats_umap_gets_no_seed(cuml, vectors):
    lk.embedding("cuml-umap", repeatable=False, build_algo="nn_descent").fit_transform(vectors)
    assert cuml.UMAP.calls[-1]["random_state"] is None


def test_umap_starts_at_random_where_its_spectral_start_failed(cuml, monkeypatch, vectors):
    monkeypatch.setattr("latentkit_cuml.cuml_maps._MOST_SPECTRAL", 99)
    lk.embedding("cuml-umap").fit_transform(vectors)
    assert cuml.UMAP.calls[-1]["init"] == "random"
    lk.embedding("cuml-umap", init="spectral").fit_transform(vectors)
    assert cuml.UMAP.calls[-1]["init"] == "spectral"


@pytest.mark.parametrize("name", ["cuml-umap", "cuml-tsne"])
@pytest.mark.parametrize("n", [6, 9])
def test_neighbourhoods_shrink_for_few_points(cuml, name, n, vectors):
    assert lk.embedding(name).fit_transform(vectors[:n]).shape == (n, 2)


@pytest.mark.parametrize("name", ["cuml-umap", "cuml-tsne"])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((5, 4)), "needs 6 vectors or more and got 5"),
        (np.zeros((50, 4)), "all 50 vectors are equal"),
        (np.full((50, 4), np.nan), "row 0 of the vectors holds NaN or infinity"),
        (np.zeros(50), r"must be numbers \(N, D\)"),
        (np.arange(50.0)[:, None], "of 1 dimension cannot be mapped to 2: use more"),
    ],
)
def test_vectors_that_cannot_be_mapped_are_refused_with_the_reason(cuml, name, given, message):
    with pytest.raises(UserError, match=message):
        lk.embedding(name).fit_transform(given)


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError("std::bad_alloc"), ResourceError, "the GPU has too little memory"),
        (RuntimeError("CUDA\nerror"), UserError, "failed: CUDA error"),
    ],
)
def test_errors_of_cuml_become_one_line(cuml, monkeypatch, vectors, error, kind, message):
    def fail(self, X):
        raise error

    monkeypatch.setattr(cuml.UMAP, "fit_transform", fail)
    with pytest.raises(kind, match=message):
        lk.embedding("cuml-umap").fit(vectors)


def test_coordinates_that_are_not_finite_are_refused(cuml, monkeypatch, vectors):
    monkeypatch.setattr(cuml.TSNE, "fit_transform", lambda self, X: np.full((len(X), 2), np.nan))
    with pytest.raises(UserError, match=r"not finite: set cuml-tsne\.init=random"):
        lk.embedding("cuml-tsne").fit(vectors)


def test_new_points_need_a_fitted_map_and_equal_dimensions(cuml, vectors):
    estimator = lk.embedding("cuml-umap")
    with pytest.raises(UserError, match="fit it before"):
        estimator.transform(vectors)
    estimator.fit(vectors)
    with pytest.raises(UserError, match="have 3 dimensions, those of the fit had 8"):
        estimator.transform(vectors[:, :3])
    assert estimator.transform(vectors[:0]).shape == (0, 2)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"build_algo": "nn_descent"}, "nn_descent is not repeatable"),
        ({"build_algo": "nn_descent", "metric": "manhattan"}, "has no metric=manhattan"),
        ({"min_dist": 0.5, "spread": 0.2}, r"min_dist=0\.5 is above spread=0\.2"),
    ],
)
def test_contradicting_options_are_refused(cuml, options, message):
    with pytest.raises(UserError, match=message):
        lk.embedding("cuml-umap", **options)


def test_declaration_and_options_have_no_heavy_imports():
    code = (
        "import sys, latentkit_cuml.plugin, latentkit_cuml.options\n"
        "print(sorted({'cuml', 'numpy', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(shown.stdout.replace("'", '"')) == []
