"""A newly generated plugin works: its own tests, the list, the checks, and a run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from latentkit.registry import catalogue

pytestmark = pytest.mark.slow

KINDS = ("model", "dataset", "corruption", "embedding", "tuner")
ALL_TOGETHER = (
    "run --model new-model --dataset new-dataset --corrupt new-corruption --embed new-embedding"
    " -o model.latent_dim=3 -o new-dataset.n_train=100 -o new-corruption.share=0.2"
    " -o new-embedding.n_components=3 -o threads=1 --epochs 1"
)
STUDY = (
    "tune --tuner new-tuner --model dense-ae --trials 2 --epochs 1"
    " -o model.hidden=[8] -o model.latent_dim=3 -o threads=1"
)


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a generated distribution as ``pip install -e`` would."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), before))))

    def link(root: Path) -> None:
        (package,) = (root / "src").iterdir()
        (site / package.name).symlink_to(package, target_is_directory=True)
        info = site / f"{package.name}-0.1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {root.name}\nVersion: 0.1.0")
        (info / "entry_points.txt").write_text(
            f"[latentkit.plugins]\n{root.name} = {package.name}.plugin\n"
        )
        invalidate_caches()
        catalogue._load.cache_clear()

    yield link
    catalogue._load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("latentkit_new_")]:
        del sys.modules[name]


@pytest.fixture
def written(latentkit, install, tmp_path):
    """Return a function that generates and installs a plugin of a kind and returns its folder."""

    def write(kind: str) -> Path:
        if kind == "tuner":
            pytest.importorskip("latentkit.testing.tuners")
        name = f"new-{kind}"
        asked = ("model", "--no-decoder") if kind == "encoder" else (kind,)
        ended = latentkit("plugins", "new", name, "--kind", *asked, "--out", tmp_path)
        assert ended.code == 0, ended.err
        root = tmp_path / f"latentkit-{name}"
        assert f"pip install -e '{root}[test]'" in ended.err
        install(root)
        return root

    return write


@pytest.mark.parametrize("kind", [*KINDS, "encoder"])
def test_a_written_plugin_is_found_and_passes_its_own_tests(kind, latentkit, written):
    root = written(kind)
    assert f"new-{kind}" in latentkit("plugins", "list", "--strict-plugins").out
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout


def test_a_run_works_with_one_written_part_of_each_kind(latentkit, written):
    for kind in KINDS[:4]:
        written(kind)
    ended = latentkit(*ALL_TOGETHER.split())
    assert ended.code == 0, ended.err


def test_a_run_works_with_a_written_encoder(latentkit, written):
    written("encoder")
    ended = latentkit("run", "--model", "new-encoder", "--epochs", 2, "-o", "threads=1")
    assert ended.code == 0, ended.err
    assert "model 'new-encoder' has no decoder" in ended.out


def test_a_written_tuner_searches(latentkit, written):
    written("tuner")
    ended = latentkit(*STUDY.split())
    assert ended.code == 0, ended.err


def test_an_invalid_name_is_refused_in_one_line(latentkit):
    ended = latentkit("plugins", "new", "My Net", "--kind", "model")
    assert ended.code == 2
    assert "such as 'my-net'" in ended.error


def test_a_kind_is_required(latentkit):
    ended = latentkit("plugins", "new", "my-net")
    assert ended.code == 2
    assert "--kind" in ended.error
