"""The committed script and style of the explorer are what their sources and lock file give."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import latentkit

EXPLORE = Path(latentkit.__file__).parent / "explore"
SOURCES = EXPLORE / "frontend"
ASSETS = ("explorer.js", "explorer.css")


def run(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def frontend(tmp_path_factory) -> Path:
    """Return a copy of the sources with the packages of the lock file."""
    if not SOURCES.is_dir() or shutil.which("npm") is None:
        pytest.skip("the sources of the front end, or npm, are not here")
    folder = tmp_path_factory.mktemp("frontend")
    shutil.copytree(
        SOURCES, folder, ignore=shutil.ignore_patterns("node_modules"), dirs_exist_ok=True
    )
    done = subprocess.run(
        ["npm", "ci", "--prefer-offline", "--no-audit", "--no-fund"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        env=os.environ | {"npm_config_fetch_retries": "0"},
    )
    if done.returncode and any(code in done.stderr for code in ("ENOTFOUND", "EAI_AGAIN", "ECONN")):
        pytest.skip("the packages of the front end cannot be fetched: npm reaches no registry")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_committed_assets_are_what_the_sources_give(frontend, tmp_path):
    run("node", "build.mjs", str(tmp_path), folder=frontend)
    for name in ASSETS:
        assert (tmp_path / name).read_bytes() == (EXPLORE / name).read_bytes(), (
            f"{name} is not up to date: run 'npm run build' in {SOURCES.name}/"
        )


def test_the_front_end_is_typed_linted_and_tested(frontend):
    run("npm", "run", "--silent", "check", folder=frontend)


def test_the_assets_can_stand_in_a_page():
    script = (EXPLORE / "explorer.js").read_text("utf-8")
    style = (EXPLORE / "explorer.css").read_text("utf-8")
    assert "</script" not in script.lower()
    assert "<!--" not in script
    assert script.isascii()
    assert "\r" not in script + style
    assert "</style" not in style.lower()
    assert "://" not in style
    assert "@import" not in style


def test_the_lock_file_names_no_registry():
    text = (SOURCES / "package-lock.json").read_text("utf-8")
    assert '"resolved"' not in text
    assert '"integrity"' in text
