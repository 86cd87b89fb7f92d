"""A plugin that was just written works: its own tests, the list, the checks, and a run."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import invalidate_caches
from pathlib import Path

import pytest

from latentkit.registry import catalogue

USES = {
    "model": ("run", "--model", "fresh-one", "-o", "model.latent_dim=3", "-o", "model.width=8"),
    "dataset": ("run", "--dataset", "fresh-one", "-o", "fresh-one.n_train=100"),
    "corruption": ("run", "--corrupt", "fresh-one", "-o", "fresh-one.share=0.2"),
    "embedding": ("run", "--embed", "fresh-one", "-o", "fresh-one.n_components=3"),
    "tuner": ("tune", "--tuner", "fresh-one", "--trials", "2"),
}
SMALL = ("--epochs", "1", "-o", "threads=1")
DENSE = ("--model", "dense-ae", "-o", "model.hidden=[8]", "-o", "model.latent_dim=3")


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Return a function that installs a written distribution as ``pip install -e`` would."""
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
            f"[latentkit.plugins]\nfresh-one = {package.name}.plugin\n"
        )
        invalidate_caches()
        catalogue._load.cache_clear()

    yield link
    catalogue._load.cache_clear()
    for name in [name for name in sys.modules if name.startswith("latentkit_fresh_one")]:
        del sys.modules[name]


@pytest.mark.parametrize("kind", USES)
def test_it_works_as_it_is(kind, latentkit, install, tmp_path):
    if kind == "tuner":
        pytest.importorskip("latentkit.testing.tuners")
    ended = latentkit("plugins", "new", "fresh-one", "--kind", kind, "--out", tmp_path)
    assert ended.code == 0
    root = tmp_path / "latentkit-fresh-one"
    assert f"pip install -e '{root}[test]'" in ended.out
    install(root)
    assert "fresh-one" in latentkit("plugins", "list", "--kind", kind, "--strict-plugins").out
    tested = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=root,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert tested.returncode == 0, tested.stdout
    dense = () if kind == "model" else DENSE
    ended = latentkit(*USES[kind], *dense, *SMALL)
    assert ended.code == 0, ended.err


def test_a_name_that_cannot_be_one_is_refused_in_a_line(latentkit):
    ended = latentkit("plugins", "new", "My Net", "--kind", "model")
    assert ended.code == 2
    assert "such as 'my-net'" in ended.error


def test_a_kind_must_be_said(latentkit):
    ended = latentkit("plugins", "new", "my-net")
    assert ended.code == 2
    assert "--kind" in ended.error
