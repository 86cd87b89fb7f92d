"""Shared fixtures for the tests of the documentation."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.cli.main import main

DOCS = Path(__file__).parents[2] / "docs"


def blocks(text: str, language: str) -> list[str]:
    """Return the fenced blocks of a page that are in ``language``."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def write_photos(folder: Path, count: int) -> None:
    """Make ``folder`` with ``count`` colour images of noise, 20x24 pixels."""
    folder.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (count, 20, 24, 3), dtype=np.uint8)
    for row, image in enumerate(pixels):
        Image.fromarray(image).save(folder / f"{row}.png")


@pytest.fixture
def execute(monkeypatch, capsys) -> Callable[[str], str]:
    """Return a function that runs a line as the shell would and returns its stdout."""

    def run(line: str) -> str:
        command, _, file = line.partition(" > ")
        monkeypatch.setattr(sys, "argv", shlex.split(command))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert not ended.value.code, f"{line}\n{printed.err}"
        if file:
            Path(file).write_text(printed.out, encoding="utf-8")
        return printed.out

    return run


@pytest.fixture(scope="module")
def one_cpu() -> Iterator[None]:
    """Train on one CPU, because competing threads make a busy machine many times slower.

    Child processes inherit the setting. Each worker of pytest uses its own CPU.
    """
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    os.sched_setaffinity(0, {sorted(before)[worker % len(before)]})
    yield
    os.sched_setaffinity(0, before)


@pytest.fixture(scope="module")
def python_with(tmp_path_factory) -> Callable[[dict[str, dict[str, str]]], Path]:
    """Return a function that makes a virtual environment and installs wheels in it, offline.

    The function takes the code of the plugins by distribution and entry point, and returns the
    path of the environment's Python.
    """
    pytest.importorskip("pip")

    def make(distributions: dict[str, dict[str, str]]) -> Path:
        folder = tmp_path_factory.mktemp("environment")
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "venv"], check=True)
        (site,) = (folder / "venv").glob("lib/python*/site-packages")
        # Share the packages of this environment, so that nothing is downloaded.
        sites = [path for path in sys.path if path and any(Path(path).glob("*.dist-info"))]
        lines = [f"import site; site.addsitedir({path!r})\n" for path in sites]
        (site / "this_environment.pth").write_text("".join(lines))
        python = folder / "venv/bin/python"
        wheels = [_write_wheel(folder, *one) for one in distributions.items()]
        pip = [sys.executable, "-m", "pip", "--isolated", "--python", python, "install"]
        offline = ["--quiet", "--no-index", "--no-deps", "--no-compile"]
        subprocess.run([*pip, *offline, *wheels], check=True)
        return python

    return make


def _write_wheel(folder: Path, distribution: str, modules: dict[str, str]) -> Path:
    name = distribution.replace("-", "_")
    path, info = folder / f"{name}-1.0-py3-none-any.whl", f"{name}-1.0.dist-info"
    entries = "".join(f"{entry} = {name}_{entry}\n" for entry in modules)
    files = {
        **{f"{name}_{entry}.py": code for entry, code in modules.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n",
        f"{info}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[latentkit.plugins]\n{entries}",
    }
    record = "".join(f"{file},,\n" for file in [*files, f"{info}/RECORD"])
    with zipfile.ZipFile(path, "w") as wheel:
        for file, content in {**files, f"{info}/RECORD": record}.items():
            wheel.writestr(file, content)
    return path
