"""What plugins may import: the page, the import rules and our own plugins agree."""

from __future__ import annotations

import ast
import importlib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "latentkit"
PAGE = (ROOT / "docs" / "plugin-contract.md").read_text(encoding="utf-8")
FENCED = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)


def allowed_by_import_rules() -> set[str]:
    """Return the packages that the rule for built-in plugins does not forbid."""
    about = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    (rule,) = [
        rule
        for rule in about["tool"]["importlinter"]["contracts"]
        if rule["name"] == "Built-in plugins import only what any plugin may import"
    ]
    assert rule["source_modules"] == ["latentkit.builtins"]
    own = {
        f"latentkit.{path.stem}"
        for path in SOURCE.iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").exists()) and path.stem[0] != "_"
    }
    return own - set(rule["forbidden_modules"]) - set(rule["source_modules"])


def sources() -> Iterator[tuple[str, str]]:
    """Yield the path and text of the code of all plugins and of all examples for authors."""
    folders = [SOURCE / "builtins", *(ROOT / "plugins").glob("*/src")]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    for path in paths:
        yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")
    for path in (SOURCE / "scaffold" / "templates").rglob("*.py.tmpl"):
        text = re.sub(r"\$(\w+|\{\w+\})", "my_part", path.read_text(encoding="utf-8"))
        yield str(path.relative_to(ROOT)), text
    pages = [ROOT / "docs" / "plugins.md", *(ROOT / "plugins").glob("*/README.md")]
    for path in pages:
        for block in FENCED.findall(path.read_text(encoding="utf-8")):
            yield str(path.relative_to(ROOT)), block


def imported_from_latentkit(text: str) -> Iterator[tuple[str, str]]:
    """Yield each module of latentkit that a source imports from, with the imported name."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ImportFrom) and re.match(r"latentkit\b", node.module or ""):
            yield from ((node.module or "", alias.name) for alias in node.names)


def test_the_page_lists_exactly_the_packages_that_the_import_rule_allows():
    table = PAGE.split("## What a plugin may rely on")[1].split("\n\n")[1]
    listed = re.findall(r"^\| `(latentkit[\w.]*)` \|", table, re.M)
    assert sorted(listed) == sorted({*allowed_by_import_rules(), "latentkit.testing"})


@pytest.mark.parametrize("page", ["docs/plugins.md", "docs/design.md", "CONTRIBUTING.md"])
def test_every_other_page_names_the_same_packages(page):
    text = " ".join((ROOT / page).read_text(encoding="utf-8").split())
    shorter = r"(?:`latentkit\.\w+`,? (?:and )?){2,}"
    lists = [set(re.findall(r"latentkit\.\w+", found)) for found in re.findall(shorter, text)]
    lists = [names - {"latentkit.testing"} for names in lists if "latentkit.plugin" in names]
    assert lists
    assert all(names == allowed_by_import_rules() for names in lists)


def test_plugins_import_only_names_that_the_contract_offers():
    tests = {"latentkit.testing.suites", "latentkit.testing.tuners"}
    wrong = []
    for where, text in sources():
        for module, name in imported_from_latentkit(text):
            if module.startswith("latentkit.builtins") or module in tests:
                continue
            package = importlib.import_module(module)
            offered = getattr(package, "__all__", vars(package))
            if module not in allowed_by_import_rules() or name not in offered:
                wrong.append(f"{where}: from {module} import {name}")
    assert wrong == []


@pytest.mark.parametrize("package", ["latentkit.plugin", "latentkit.nn", "latentkit.neighbors"])
def test_every_name_that_a_package_offers_can_be_imported(package):
    module = importlib.import_module(package)
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
