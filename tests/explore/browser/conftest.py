"""One browser for all tests of explorer pages, and a page of digits on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .explorer_browser import Explorer, chromium, digits_page


@pytest.fixture(scope="session")
def chromium_browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(chromium_browser) -> Iterator[Callable[..., Explorer]]:
    """Return a function that opens a page in a window of its own."""
    contexts = []

    def open_page(path: Path, fragment: str = "", **options: Any) -> Explorer:
        options = {"viewport": {"width": 1200, "height": 800}, **options}
        contexts.append(chromium_browser.new_context(**options))
        return Explorer(contexts[-1].new_page()).open(path, fragment)

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture(scope="session")
def page_of_digits(tmp_path_factory) -> Path:
    return digits_page().save(tmp_path_factory.mktemp("explorer") / "explorer.html")
