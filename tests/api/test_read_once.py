"""One call reads and builds a configuration once, and plans the stages once."""

import os
import sys
from collections import Counter

import pytest

import latentkit as lk
from latentkit.config import build
from latentkit.runs.autoencoder_kind import AutoencoderKind

pytestmark = pytest.mark.usefixtures("blank_figures")

TEXT = """
threads = 1
[model]
name = "dense-ae"
hidden = [16]
latent_dim = 3
[training]
epochs = 1
"""

_watched: Counter[str] = Counter()


def _count(event: str, arguments: tuple[object, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str | os.PathLike):
        path = os.path.abspath(arguments[0])  # noqa: PTH100
        if path in _watched:
            _watched[path] += 1


@pytest.fixture(scope="module", autouse=True)
def _hook():
    sys.addaudithook(_count)  # cannot be removed, but does nothing if no path is watched
    yield
    _watched.clear()


@pytest.fixture
def counted(monkeypatch):
    """Return how often configurations were built and stages were planned."""
    calls: Counter[str] = Counter()
    for name, owner, method in (
        ("built", build._Draft, "finish"),
        ("planned", AutoencoderKind, "plan"),
    ):
        original = getattr(owner, method)

        def call(self, *arguments, _name=name, _original=original, **options):
            calls[_name] += 1
            return _original(self, *arguments, **options)

        monkeypatch.setattr(owner, method, call)
    return calls


def opened(path) -> Counter[str]:
    """Start to count how often a file is opened."""
    _watched.clear()
    _watched[str(path.absolute())] = 0
    return _watched


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lk.run(
        model="dense-ae",
        options={"model.hidden": [16], "threads": 1},
        epochs=1,
        runs=tmp_path_factory.mktemp("runs"),
    )


def test_a_run_reads_its_configuration_once_and_builds_it_once(tmp_path, counted):
    path = tmp_path / "run.toml"
    path.write_text(TEXT)
    times = opened(path)
    run = lk.run(config=path, runs=tmp_path / "runs")
    assert run.status == "finished"
    assert list(times.values()) == [1]
    assert counted == {"built": 1, "planned": 1}


def test_resuming_a_finished_run_reads_its_configuration_once_and_plans_once(run, counted):
    times = opened(run.path / "config.toml")
    assert lk.resume(run.path).status == "finished"
    assert list(times.values()) == [1]
    assert counted == {"built": 1, "planned": 1}


def test_a_transfer_and_a_page_read_their_files_once(run, tmp_path, undrawn):
    path = tmp_path / "file.toml"
    path.write_text("[training]\nepochs = 1\n[transfer]\nmode = 'probe'\nhidden = []\n")
    times = opened(path)
    lk.transfer(run, config=path, embed=[], runs=tmp_path / "runs")
    assert list(times.values()) == [1]
    path.write_text('title = "Digits"\n[[chapter]]\ntitle = "Data"\n')
    times = opened(path)
    lk.write_page(path, out=tmp_path / "page.html")
    assert list(times.values()) == [1]
