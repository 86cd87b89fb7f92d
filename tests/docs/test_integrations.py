"""The commands and the Python of the page on other tools run."""

from __future__ import annotations

import re
import warnings

import pytest
from tests.docs.conftest import DOCS, blocks

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

PAGE = (DOCS / "integrations.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    return re.split(rf"^## {name}$", PAGE, flags=re.M)[1].split("\n## ")[0]


def run_block(block: str, capsys) -> None:
    expected = re.findall(r"^print\(.*\)  # (.+)$", block, re.M)
    assert expected
    capsys.readouterr()
    exec(compile(block, "integrations.py", "exec"), {"__name__": "integrations"})
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in expected if line not in lines] == []


def test_a_model_trained_by_lightning_becomes_a_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("lightning", reason="lightning is not installed")
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(section("Lightning"), "python")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's advice on workers and loggers
        run_block(block.replace("max_epochs=10", "max_epochs=1"), capsys)


def test_the_onnx_files_of_a_run_give_latents(tmp_path, monkeypatch, execute, capsys):
    for name in ("onnx", "onnxscript", "onnxruntime"):
        pytest.importorskip(name, reason=f"{name} is not installed")
    monkeypatch.chdir(tmp_path)
    (commands,) = blocks(section("ONNX"), "console")
    printed = [execute(line.replace("--epochs 5", "--epochs 1")) for line in commands.splitlines()]
    assert "largest difference from the model" in "".join(printed)
    (block,) = blocks(section("ONNX"), "python")
    run_block(block, capsys)
