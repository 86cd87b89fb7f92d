"""What all tests share: real data where it is, no settings of the developer, fake installations."""

from __future__ import annotations

import importlib
import os
import sys
from pathlib import Path
from textwrap import dedent

import pytest

DATA = os.environ.get("LATENTKIT_DATA", "")
_SETTINGS = ("LATENTKIT_DATA", "LATENTKIT_PLUGINS", "LATENTKIT_STRICT", "NO_COLOR", "CI")


@pytest.fixture(autouse=True)
def no_settings(monkeypatch, tmp_path_factory):
    """Take the developer's settings away; data sets are looked for in an empty folder."""
    for name in _SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


@pytest.fixture(scope="session")
def fashion_mnist_dir() -> Path:
    """Return the folder that holds the real Fashion-MNIST."""
    folder = Path(DATA).absolute()
    if not DATA or not (folder / "FashionMNIST/raw/train-images-idx3-ubyte.gz").exists():
        pytest.skip("LATENTKIT_DATA names no folder with FashionMNIST/raw/*.gz")
    return folder


@pytest.fixture
def install_plugin(tmp_path, monkeypatch):
    """Return a function that installs a distribution with one plugin, in this test only."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), before))))

    def install(
        module: str,
        code: str,
        *,
        distribution: str | None = None,
        entry: str | None = None,
        version: str = "1.0",
    ) -> Path:
        """Install ``code`` as ``module`` of ``distribution``, over the entry point ``entry``."""
        name = distribution or module.replace("_", "-")
        (site / f"{module}.py").write_text(dedent(code))
        info = site / f"{name.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(
            f"[latentkit.plugins]\n{entry or module} = {module}\n", encoding="utf-8"
        )
        importlib.invalidate_caches()
        _forget_registry()
        return site

    yield install
    _forget_registry()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


def _forget_registry() -> None:
    from latentkit.registry import catalogue

    catalogue._load.cache_clear()
