"""Every command and the Python of the page on exploration run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.docs.conftest import DOCS, blocks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

PAGE = (DOCS / "exploration.md").read_text(encoding="utf-8")


def quick(line: str) -> str:
    return f"{line.replace('--epochs 5', '')} --epochs 1" if " run " in line else line


def test_the_commands_and_the_python_of_the_page_run(tmp_path, monkeypatch, execute, capsys):
    monkeypatch.chdir(tmp_path)
    for line in "".join(blocks(PAGE, "console")).splitlines():
        printed = execute(quick(line))
        if " explore " in line:
            paths = [Path(path) for path in printed.split()]
            assert all(path.exists() for path in paths)
            assert len(paths) == (1 if paths[0].suffix == ".html" else 2)
    (block,) = blocks(PAGE, "python")
    exec(compile(block, "exploration.py", "exec"), {})
    expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.M)
    assert capsys.readouterr().out.splitlines() == expected
