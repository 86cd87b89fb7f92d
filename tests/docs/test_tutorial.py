"""Every command and every block of Python of the tutorial and the README runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.M | re.S)


def execute(command: str, folder: Path) -> str:
    """Run a line of shell as a user would, ``latentkit`` being the one that is tested."""
    scripts = str(Path(sys.executable).parent)
    done = subprocess.run(
        command,
        shell=True,
        cwd=folder,
        env={**os.environ, "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


def test_every_command_runs_in_order(folder):
    commands = [line for block in blocks(TUTORIAL, "console") for line in block.splitlines()]
    assert commands[0] == "latentkit run --model conv-ae --embed isomap"
    for command in commands:
        if "fashion-mnist" in command:
            command += " --print-config"  # the download and ten epochs are not for a test
        execute(command, folder)


def test_every_block_of_python_runs_in_order(folder):
    script = "\n".join(blocks(TUTORIAL, "python"))
    (folder / "tutorial.py").write_text(script, encoding="utf-8")
    shown = execute(f"{sys.executable} tutorial.py", folder)
    assert "torch.Size([5, 1, 8, 8])" in shown


def test_every_file_that_the_tutorial_names_is_in_a_run(folder):
    (run, *_) = sorted((folder / "runs").glob("*"), key=os.path.getmtime)
    table = TUTORIAL.split("| file |")[1].split("\n\n")[0]
    for name in re.findall(r"`([\w/]+\.(?:html|toml|safetensors|jsonl|json|npz))`", table):
        assert (run / name).exists() or (run / "latents" / name).exists(), name


def test_every_block_of_python_of_the_readme_runs(tmp_path):
    for block in blocks((ROOT / "README.md").read_text(encoding="utf-8"), "python"):
        (tmp_path / "readme.py").write_text(block, encoding="utf-8")
        execute(f"{sys.executable} readme.py", tmp_path)


def test_every_link_between_documents_leads_somewhere():
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for path in pages:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if "://" not in target:
                assert (path.parent / target).exists(), f"{path.name}: {target}"
