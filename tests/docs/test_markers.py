"""Markers select the daily tests, the first tests, and those that need a browser or database."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TESTS = [
    path
    for pattern in ("tests/**/test_*.py", "plugins/*/tests/**/test_*.py")
    for path in ROOT.glob(pattern)
    if path != Path(__file__)
]
SUITE = """
import pytest

def test_plain(): pass
@pytest.mark.browser
def test_browser(): pass
@pytest.mark.postgres
def test_postgres(): pass
@pytest.mark.early
def test_early(): pass
@pytest.mark.slow
def test_slow(): pass
"""
MARKED = "[pytest]\nmarkers = slow\n early\n browser\n postgres\n"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "early plain browser postgres"),
        (["--slow"], "slow early plain browser postgres"),
        (["test_suite.py"], "slow early plain browser postgres"),
        (["-m", "slow"], "slow"),
        (["-m", "not browser and not postgres"], "early plain"),
    ],
)
def test_markers_choose_and_order_the_tests(arguments, expected, tmp_path):
    (tmp_path / "test_suite.py").write_text(SUITE)
    (tmp_path / "pytest.ini").write_text(MARKED)
    (tmp_path / "conftest.py").write_text((ROOT / "conftest.py").read_text(encoding="utf-8"))
    collecting = ["-m", "pytest", "-q", "--collect-only", "--strict-markers"]
    done = subprocess.run(
        [sys.executable, *collecting, *arguments], cwd=tmp_path, capture_output=True, text=True
    )
    assert re.findall(r"::test_(\w+)$", done.stdout, re.M) == expected.split()


@pytest.mark.parametrize(
    ("sign", "marker"),
    [
        (r"^def test_\w+\([^)]*\bbrowser\b|\bexplorer_browser\b|sync_playwright", "browser"),
        (r"\binitdb\b", "postgres"),
    ],
)
def test_what_needs_a_browser_or_a_database_is_marked(sign, marker):
    texts = {path: path.read_text(encoding="utf-8") for path in TESTS}
    needing = {path for path, text in texts.items() if re.search(sign, text, re.M)}
    marked = {path for path, text in texts.items() if f"pytest.mark.{marker}" in text}
    assert needing
    assert needing == marked
