"""The design page names the folders, arrows and functions that exist."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "latentkit"
PAGE = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def functions(path: Path) -> set[str]:
    """Return the functions of a module, and its methods as ``Class.method``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            names |= {f"{node.name}.{one.name}" for one in inner}
    return names


def test_every_folder_is_in_the_table_with_one_sentence():
    listed = re.findall(r"^\| `(\w+)/` \| .+ \|$", section("Folders"), re.M)
    folders = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert sorted(listed) == sorted(folders)


def test_the_arrows_match_the_import_rules():
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (rule,) = [
        rule for rule in about["tool"]["importlinter"]["contracts"] if rule["type"] == "layers"
    ]
    drawn = [
        {f"latentkit.{name}" for name in line.strip().split(", ")}
        for line in re.findall(r"^    .+$", section("Arrows"), re.M)
    ]
    assert drawn == [set(re.split(r" [|:] ", layer)) for layer in rule["layers"]]


STOPS = re.findall(r"^\d+\. `([\w/]+\.py):([\w.]+)`", section("Two walks through the code"), re.M)


def test_both_tours_of_the_code_have_all_their_stops():
    numbered = re.findall(r"^\d+\. ", section("Two walks through the code"), re.M)
    assert len(STOPS) == len(numbered) > 30


@pytest.mark.parametrize(("file", "function"), STOPS)
def test_each_stop_of_a_tour_is_a_function_that_exists(file, function):
    assert function in functions(SOURCE / file)
