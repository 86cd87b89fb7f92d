"""The command line in this process, as the console script runs it."""

from __future__ import annotations

import shutil
import sys
from dataclasses import dataclass

import numpy as np
import pytest

from latentkit.cli import shared_options
from latentkit.cli.main import main

OPTIONS = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@dataclass(frozen=True)
class Ended:
    """The exit code and output of a command."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The only line that begins with ``latentkit: error:``."""
        (line,) = [row for row in self.err.splitlines() if row.startswith("latentkit: error:")]
        return line


@pytest.fixture(scope="session")
def small() -> list[str]:
    """Return the arguments that make a run take a second."""
    return ["--epochs", "1", *(w for k, v in OPTIONS.items() for w in ("-o", f"{k}={v}"))]


@pytest.fixture
def latentkit(tmp_path, monkeypatch, capsys):
    """Return a function that runs a command in an empty folder."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(*arguments: object) -> Ended:
        monkeypatch.setattr(sys, "argv", ["latentkit", *map(str, arguments)])
        monkeypatch.setattr(shared_options, "_debug", False)
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        shown = capsys.readouterr()
        return Ended(left.value.code or 0, shown.out, shown.err)

    return run


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory):
    """Return the folder of one finished run with a PCA map, which tests must not change."""
    import latentkit as lk

    out = tmp_path_factory.mktemp("finished")
    return lk.run(embed=["pca"], epochs=1, options=OPTIONS, out=out).path


@pytest.fixture
def finished(finished_once, latentkit, tmp_path):
    """Return a copy of a finished run in ./runs that the test may damage."""
    copy = tmp_path / "here" / "runs" / finished_once.name
    shutil.copytree(finished_once, copy)
    return copy


@pytest.fixture
def own_images(tmp_path):
    """Return a function that writes a data set of the user and returns its options."""

    def write(labels, shape=(8, 8), name="mine"):
        images = np.random.default_rng(0).integers(0, 256, (60, *shape), np.uint8)
        path = tmp_path / f"{name}.npz"
        np.savez(path, images=images, **({} if labels is None else {"labels": labels}))
        return ("--dataset", "npz", "-o", f"npz.path={path}")

    return write


@pytest.fixture(scope="session")
def studied_once(tmp_path_factory):
    """Return the folder of a study with two trials, one complete and one pruned."""
    import latentkit as lk

    out = tmp_path_factory.mktemp("studied")
    return lk.tune(trials=2, epochs=1, options=OPTIONS, finish=False, out=out).path


@pytest.fixture
def studied(studied_once, latentkit, tmp_path):
    """Return a copy of a study in ./studies that the test may damage."""
    copy = tmp_path / "here" / "studies" / studied_once.name
    shutil.copytree(studied_once, copy)
    return copy
