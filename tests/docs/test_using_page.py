"""Every command and the Python of the page on new images run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.conftest import DOCS, blocks, write_photos

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

PAGE = (DOCS / "using-a-run.md").read_text(encoding="utf-8")
SMALL = "--epochs 1 -o image-folder.size=16 -o model.latent_dim=3"


def quick(line: str) -> str:
    small = SMALL if line.startswith("latentkit run ") else "--epochs 1 --no-maps"
    return f"{line} {small}" if re.match("latentkit (run|transfer) ", line) else line


def test_the_commands_and_the_python_of_the_page_run(tmp_path, monkeypatch, execute, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("shirt", "trouser"):
        write_photos(Path("photos") / name, 20)
    write_photos(Path("new"), 2)
    for line in "".join(blocks(PAGE, "console")).splitlines():
        execute(quick(line))
    (block,) = blocks(PAGE, "python")
    exec(compile(block, "using-a-run.py", "exec"), {})
    assert capsys.readouterr().out.splitlines() == [
        "(2, 3) (2, 2) 2",
        "(2, 3, 16, 16)",
        "(4, 3, 16, 16)",
        "(2, 2)",
    ]
