"""Every command and the Python of the page on exploration run."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import pytest

from latentkit.cli.main import main

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

PAGE = (Path(__file__).parents[2] / "docs" / "exploration.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.M | re.S)


def quick(line: str) -> str:
    return f"{line.replace('--epochs 5', '')} --epochs 1" if " run " in line else line


def test_the_commands_and_the_python_of_the_page_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = [line for block in blocks("console") for line in block.splitlines()]
    for line in commands:
        monkeypatch.setattr(sys, "argv", shlex.split(quick(line)))
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        assert not ended.value.code, f"{line}\n{printed.err}"
        if " explore " in line:
            paths = [Path(path) for path in printed.out.split()]
            assert all(path.exists() for path in paths)
            assert len(paths) == (1 if paths[0].suffix == ".html" else 2)
    (block,) = blocks("python")
    exec(compile(block, "exploration.py", "exec"), {})
    expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.M)
    assert capsys.readouterr().out.splitlines() == expected
