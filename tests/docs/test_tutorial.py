"""Every command and every block of Python of the tutorial and the README runs."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
from tests.docs.conftest import DOCS, blocks

import latentkit as lk
from latentkit.config import build_config
from latentkit.registry.catalogue import default_registry

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

ROOT = DOCS.parent
TUTORIAL = (DOCS / "tutorial.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line for block in blocks(TUTORIAL, "console") for line in block.splitlines()]
README_COMMANDS = re.findall(r"`(latentkit [^`]+)`", README)
PYTHON = blocks(TUTORIAL, "python")


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("tutorial")


def quick(line: str) -> str:
    """Return the command with few epochs; with Fashion-MNIST it only prints the configuration."""
    if line.startswith("latentkit run "):
        line = line.replace("--epochs 5", "")
        command, redirected, _ = line.partition(" > ")
        if redirected:
            return line
        extra = "--print-config" if "fashion-mnist" in command else "--epochs 2"
        return f"{command} {extra}"
    return line.replace("--epochs 60", "--epochs 3")


def printed_as_stated(block: str) -> list[str]:
    """Return the output stated in a block's ``print(...)  # text`` lines."""
    return re.findall(r"^print\(.*\)  # (.+)$", block, re.M)


def test_the_commands_of_the_tutorial_run_in_order(folder, execute, monkeypatch):
    monkeypatch.chdir(folder)
    assert COMMANDS[0] == "latentkit run --model conv-ae --embed isomap"
    shown = {command: execute(quick(command)) for command in COMMANDS}
    (example, *_) = blocks(TUTORIAL, "text")
    headings = [line[:20].strip() for line in example.splitlines() if not line.startswith(" ")]
    assert re.findall(r"^\S.*?(?=  )", shown[COMMANDS[0]], re.M) == headings
    assert "from corrupted input" in shown["latentkit run --config run.toml --seed 1"]
    assert "latent_dim" in shown["latentkit plugins show conv-ae"]
    fashion = "latentkit run --dataset fashion-mnist"
    (last,) = [command for command in COMMANDS if command.startswith(fashion)]
    assert tomllib.loads(shown[last])["model"]["latent_dim"] == 3


def test_a_run_of_the_tutorial_has_the_files_that_the_page_names(folder):
    (run, *_) = sorted((folder / "runs").iterdir(), key=os.path.getmtime)
    table = TUTORIAL.split("| file | what it holds |")[1].split("\n\n")[0]
    first_cells = "\n".join(line.split("|")[1] for line in table.splitlines()[2:])
    names = re.findall(r"`([^`]+)`", first_cells)
    assert len(names) > 10
    assert [name for name in names if not (run / name).exists()] == []
    kept = {path.name for path in run.iterdir() if not path.name.startswith(".")}
    assert kept == {name.split("/")[0] for name in names}


def test_the_python_of_the_tutorial_prints_the_stated_output(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    script = "\n".join(block for block in PYTHON if "fashion-mnist" not in block)
    exec(compile(script, "tutorial.py", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    expected = printed_as_stated(script)
    assert len(expected) > 10
    assert [line for line in expected if line not in lines] == []
    assert lines[-1].startswith(
        "there is no model 'conv-ea' (did you mean 'conv-ae'?); known models: "
    )


def test_fashion_mnist_is_as_the_tutorial_describes(fashion_mnist_dir, monkeypatch, capsys):
    monkeypatch.setenv("LATENTKIT_DATA", str(fashion_mnist_dir))
    (block,) = (block for block in PYTHON if "fashion-mnist" in block)
    exec(compile(block, "tutorial.py", "exec"), {"lk": lk})
    assert capsys.readouterr().out.splitlines() == printed_as_stated(block)


def test_the_configuration_of_the_tutorial_is_valid():
    (text,) = blocks(TUTORIAL, "toml")
    config = build_config(tomllib.loads(text), default_registry())
    assert config.model.options.model_dump()["latent_dim"] == 8
    assert [part.name for part in (*config.corruptions, *config.embeddings)] == [
        "gaussian-noise",
        "isomap",
    ]


def test_the_tutorial_and_the_readme_install_the_same_way():
    (install, *_) = blocks(TUTORIAL, "sh")
    assert f"{install.splitlines()[0]} && .venv/bin/{COMMANDS[0]}" in README


@pytest.mark.parametrize("command", [c for c in README_COMMANDS if c.startswith("latentkit run ")])
def test_the_runs_of_the_readme_are_valid(execute, command):
    assert execute(f"{command} --print-config").startswith("seed = 0\n")


def test_the_python_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(README, "python")
    names: dict[str, object] = {}
    exec(compile(block, "readme.py", "exec"), names)
    assert names["run"].status == "finished"


def links(page: Path) -> list[str]:
    text = page.read_text(encoding="utf-8")
    return [to for to in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in to]


def test_the_pictures_of_the_readme_exist():
    pictures = [to for to in links(ROOT / "README.md") if to.endswith(".png")]
    assert pictures
    assert [to for to in pictures if not (ROOT / to).read_bytes().startswith(b"\x89PNG")] == []
