"""Shared fixtures: real data if present, no settings of the developer, and fake installations."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from textwrap import dedent

import hypothesis
import pytest

if workers := os.environ.get("PYTEST_XDIST_WORKER_COUNT"):
    # Divide the cores, because tests that compete for threads slow each other down.
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores // int(workers))))

# Set no deadline, because a slow machine is not a failure.
hypothesis.settings.register_profile("latentkit", deadline=None, max_examples=50)
hypothesis.settings.load_profile("latentkit")

DATA = os.environ.get("LATENTKIT_DATA", "")
_TERMINAL = ("NO_COLOR", "FORCE_COLOR", "CI", "COLUMNS", "LINES", "TTY_COMPATIBLE")
_NOBODY = 65534


def _forget_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the settings that latentkit, Click, rich, urllib and matplotlib would read."""
    for name in list(os.environ):
        proxy = name.lower().endswith("_proxy")
        if name in _TERMINAL or name.startswith("LATENTKIT_") or proxy:
            monkeypatch.delenv(name)
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", "")  # so that what --plugin adds is undone
    monkeypatch.setenv("LATENTKIT_PLUGINS", "")  # and what --no-plugins sets
    monkeypatch.delenv("LATENTKIT_PLUGINS")
    monkeypatch.setenv("MPLBACKEND", "agg")
    for tracker in ("LATENTKIT_MLFLOW", "LATENTKIT_TENSORBOARD"):  # they record every run
        monkeypatch.setenv(tracker, "off")


@pytest.fixture(scope="session", autouse=True)
def _no_settings_in_shared_fixtures(tmp_path_factory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as monkeypatch:
        _forget_settings(monkeypatch)
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
        yield


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the developer's settings, so that data sets are looked for in an empty folder."""
    _forget_settings(monkeypatch)
    # Never warn about slow imports, because the machine may be slow.
    monkeypatch.setattr("latentkit.registry.loading.SLOW", float("inf"))


@pytest.fixture(scope="session")
def fashion_mnist_dir() -> Path:
    """Return the folder of the real Fashion-MNIST, or skip the test."""
    folder = Path(DATA).absolute()
    if not DATA or not (folder / "FashionMNIST/raw/train-images-idx3-ubyte.gz").exists():
        pytest.skip("LATENTKIT_DATA names no folder with FashionMNIST/raw/*.gz")
    return folder


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip the report of transfers, because it takes most of the time of a short one."""
    from latentkit.transfer import transfer_figures

    monkeypatch.setattr(transfer_figures, "report_transfer", lambda context, kind, svg: None)


@pytest.fixture
def install_plugin(tmp_path, monkeypatch) -> Iterator[Callable[..., Path]]:
    """Return a function that installs a distribution with one plugin, in this test only.

    This process and its child processes find the distribution.
    """
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))
    before = os.environ.get("PYTHONPATH", "")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), before))))

    def install(
        name: str,
        code: str,
        *,
        distribution: str | None = None,
        version: str = "1.0",
        entry: str | None = None,
    ) -> Path:
        """Install ``code`` as module ``name``, and return the folder that holds it.

        Args:
            name: Name of the module.
            code: Source of the module; may be indented.
            distribution: Name of the distribution; by default the module's name with hyphens.
            version: Version of the distribution.
            entry: Name of the entry point; by default the module's name.
        """
        distribution = distribution or name.replace("_", "-")
        (site / f"{name}.py").write_text(dedent(code), encoding="utf-8")
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n", encoding="utf-8"
        )
        (info / "entry_points.txt").write_text(
            f"[latentkit.plugins]\n{entry or name} = {name}\n", encoding="utf-8"
        )
        _forget_plugins()
        return site

    yield install
    _forget_plugins()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(str(site)):
            del sys.modules[name]


def _forget_plugins() -> None:
    from latentkit.registry import catalogue

    importlib.invalidate_caches()
    catalogue._load.cache_clear()


@pytest.fixture
def public_dir() -> Iterator[Path]:
    """Return an empty folder that every user can access, unlike ``tmp_path``."""
    with tempfile.TemporaryDirectory(prefix="latentkit-test-") as name:
        yield Path(name)


@pytest.fixture
def read_only() -> Callable[[Path], AbstractContextManager[None]]:
    """Return a context manager that removes write permission from a `public_dir`."""
    if not hasattr(os, "geteuid"):
        pytest.skip("needs POSIX permissions")
    return _read_only


@contextmanager
def _read_only(folder: Path) -> Iterator[None]:
    user = os.geteuid()
    paths = [folder, *folder.rglob("*")]
    before = {path: path.stat().st_mode for path in paths}
    for path in paths:
        path.chmod(0o555 if path.is_dir() else 0o444)
    if user == 0:  # root can write everywhere, so become another user
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(user)
        for path, mode in before.items():
            path.chmod(mode)


@pytest.fixture(scope="session")
def all_commands():
    """Return every command and group of commands by its full name, such as ``latentkit runs``."""
    import click

    from latentkit.cli.main import cli

    def below(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
        yield path, command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                yield from below(command.get_command(context, name), f"{path} {name}")

    return dict(below(cli, "latentkit"))
