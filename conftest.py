"""Selection of tests, their order among workers, and blank figures.

Without arguments, ``pytest`` skips the tests marked ``slow``; ``pytest --slow`` runs everything.
Files or folders named on the command line run completely, and ``-m`` can also select slow tests.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator

import pytest

_BLANK = base64.b64decode(  # a PNG of one white pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAG7buVgAAAABJRU5ErkJggg=="
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--slow``."""
    parser.addoption("--slow", action="store_true", help="also run the tests that take minutes")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put the longest tests first, so that workers finish together, and drop slow tests."""
    items.sort(key=_rank)
    options = config.option
    if options.slow or options.file_or_dir or "slow" in options.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if not item.get_closest_marker("slow")]


def _rank(item: pytest.Item) -> int:
    if item.get_closest_marker("slow"):
        return 0
    return 1 if item.get_closest_marker("early") else 2


@pytest.fixture(scope="module")
def blank_figures() -> Iterator[None]:
    """Replace the figures of reports with blank ones, because drawing takes most of a short run.

    In a module that uses this fixture, a test of a figure requests `real_figures`.
    """
    from latentkit.report.page import Picture

    def blank(folder, commit, drawings, missing, *, svg=False):
        for drawing in drawings:
            commit(f"figures/{drawing.name}.png", lambda path: path.write_bytes(_BLANK))
        return [Picture(one.title, "", _BLANK, key=one.name) for one in drawings]

    with pytest.MonkeyPatch.context() as monkeypatch:
        for module in _drawing_modules():
            monkeypatch.setattr(module, "drawn", blank)
        yield


@pytest.fixture
def real_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw figures in this test, in a module that otherwise has blank ones."""
    from latentkit.report.drawing import drawn

    for module in _drawing_modules():
        monkeypatch.setattr(module, "drawn", drawn)


def _drawing_modules():
    from latentkit.report import assemble
    from latentkit.tune import study_report

    return assemble, study_report
