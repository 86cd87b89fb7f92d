"""Every command and the Python of the page on new images run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

PAGE = (Path(__file__).parents[2] / "docs" / "using-a-run.md").read_text(encoding="utf-8")
SMALL = "--epochs 1 -o image-folder.size=16 -o model.latent_dim=3"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def quick(line: str) -> str:
    small = SMALL if line.startswith("latentkit run ") else "--epochs 1 --no-maps"
    return f"{line} {small}" if re.match("latentkit (run|transfer) ", line) else line


def write_photos(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for row, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (count, 20, 24, 3))):
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{row}.png")


def test_the_commands_and_the_python_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("shirt", "trouser"):
        write_photos(Path("photos") / name, 20)
    write_photos(Path("new"), 2)
    commands = [line for block in blocks("console") for line in block.splitlines()]
    for line in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(quick(line)))
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code, f"{line}\n{capsys.readouterr().err}"
    capsys.readouterr()
    (block,) = blocks("python")
    exec(compile(block, "using-a-run.py", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "(2, 3) (2, 2) 2",
        "(2, 3, 16, 16)",
        "(4, 3, 16, 16)",
        "(2, 2)",
    ]
