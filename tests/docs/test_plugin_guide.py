"""The guide for authors of plugins is followed to the letter: its files, its commands, its test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

GUIDE = (Path(__file__).parents[2] / "docs" / "plugins.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r"^`([\w./]+)`:\n\n```\w+\n(.*?)^```$", GUIDE, re.M | re.S))
COMMANDS = [
    line
    for block in re.findall(r"^```console\n(.*?)^```$", GUIDE, re.M | re.S)
    for line in block.splitlines()
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Return a folder with the guide's files, installed as an editable install would leave them."""
    folder = tmp_path_factory.mktemp("guide")
    for name, content in FILES.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(content, encoding="utf-8")
    (folder / "latentkit_curtain" / "__init__.py").touch()
    project = tomllib.loads(FILES["pyproject.toml"])["project"]
    entries = project["entry-points"]["latentkit.plugins"]
    install(folder, project["name"], project["version"], entries)
    install(folder, "house-parts", "0.1.0", {"parts": "house_parts"})
    install(folder, "latentkit-diary", "0.1.0", {"diary": "latentkit_diary"})
    return folder


def install(folder: Path, name: str, version: str, entries: dict[str, str]) -> None:
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    lines = "".join(f"{entry} = {module}\n" for entry, module in entries.items())
    (info / "entry_points.txt").write_text(f"[latentkit.plugins]\n{lines}")


def execute(folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_guide_still_has_its_files_and_commands():
    assert len(FILES) == 10
    assert COMMANDS[0] == "pip install -e ."
    assert len(COMMANDS) == 4


@pytest.mark.parametrize("command", COMMANDS[1:])
def test_every_command_of_the_guide_works(folder, command):
    shown = execute(folder, *command.split())
    assert ("Share of the rows" in shown) == ("show" in command)
    if " run " in command:
        (diary, *_) = sorted(folder.glob("runs/*/diary.txt"), key=os.path.getmtime, reverse=True)
        assert re.match(r"epoch 1: 0\.\d{4}\n", diary.read_text())
        assert diary.read_text().endswith("finished\n")


def test_the_test_of_the_guide_passes(folder):
    shown = execute(folder, "pytest", "-q", "-p", "no:cacheprovider", "test_curtain.py")
    assert "1 passed" in shown


def test_each_file_is_clean():
    for name, content in FILES.items():
        if name.endswith(".py"):
            compile(content, name, "exec")
        assert all(len(line) <= 100 for line in content.splitlines()), name
