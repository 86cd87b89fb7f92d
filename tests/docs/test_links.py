"""Links, paths and dotted names in the documents refer to something that exists."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "plugins/*/*.md", "tests/**/*.md")
    for path in ROOT.glob(pattern)
)
SCRIPTS = sorted(
    path
    for pattern in ("tests/benchmarks/*.py", "plugins/*/benchmarks/*.py", "examples/**/*.py")
    for path in ROOT.glob(pattern)
)
SOURCES = sorted((ROOT / "src").rglob("*.py"))
FENCED = re.compile(r"^ *```.*?^ *```$", re.M | re.S)
LINK = re.compile(r"\]\(([^)\s]+)\)")
DOTTED = re.compile(r"\blatentkit(?:\.[A-Za-z_]\w*)+")
NOT_MODULES = {
    "latentkit.plugins",  # the group of entry points
    "latentkit.image_shape",  # a key in an ONNX file
    "latentkit.fish",  # a file with shell completions
    "latentkit.config_sha256",  # this and those below are tags in MLflow
    "latentkit.status",
    "latentkit.error",
    "latentkit.version",
}
REPOSITORY_PATH = re.compile(
    r"(?<![\w./-])(?:src(?!/latentkit_)|tests|docs|plugins|examples)/[\w./-]*\w(?:\.\w+)?(?![\w*/<$-])"
)


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives the headings of a page."""
    text = FENCED.sub("", page.read_text(encoding="utf-8"))
    titles = re.findall(r"^#+ +(.+?) *$", text, re.M)
    plain = [re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title) for title in titles]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in plain}


def dead_links(page: Path) -> Iterator[str]:
    for link in LINK.findall(FENCED.sub("", page.read_text(encoding="utf-8"))):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            yield link


def resolves(name: str) -> bool:
    """Return whether a dotted name is a module, or an attribute of one."""
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found = importlib.import_module(".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            if not hasattr(found, attribute):
                return False
            found = getattr(found, attribute)
        return True
    return False


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(page):
    assert list(dead_links(page)) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_that_a_page_names_exists(page):
    names = set(DOTTED.findall(page.read_text(encoding="utf-8"))) - NOT_MODULES
    assert [name for name in sorted(names) if not resolves(name)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_of_the_repository_that_a_page_names_exists(page):
    text = LINK.sub("]", page.read_text(encoding="utf-8"))
    named = set(REPOSITORY_PATH.findall(text))
    places = (ROOT, page.parent)
    gone = [path for path in sorted(named) if not any((at / path).exists() for at in places)]
    assert gone == []


def test_every_module_that_a_docstring_or_comment_names_exists():
    gone = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in SOURCES
        for name in re.findall(rf"`({DOTTED.pattern})`", path.read_text(encoding="utf-8"))
        if name not in NOT_MODULES and not resolves(name)
    ]
    assert gone == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_script_that_no_test_runs_imports_names_that_exist(script):
    names = [
        f"{node.module}.{alias.name}"
        for node in ast.walk(ast.parse(script.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and re.match(r"latentkit\b", node.module or "")
        for alias in node.names
    ]
    assert [name for name in names if not resolves(name)] == []
