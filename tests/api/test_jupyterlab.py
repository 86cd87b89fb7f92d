"""The explorer in a real JupyterLab: the view and the notebook know each other's selection."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator

import pytest

import latentkit as lk

_NEEDS = ("anywidget", "jupyterlab", "ipykernel", "playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.usefixtures("blank_figures"),
    pytest.mark.skipif(
        CHROMIUM is None or any(importlib.util.find_spec(name) is None for name in _NEEDS),
        reason=f"needs chromium and {', '.join(_NEEDS)}",
    ),
]
SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
_SECONDS = 120


@pytest.fixture
def notebook(tmp_path) -> Iterator[str]:
    """Return the address of a notebook in a JupyterLab that has run nothing yet."""
    run = lk.run(epochs=1, embed=["pca"], options=SMALL, out=tmp_path / "runs", name="small")
    cells = [
        f"import latentkit as lk\nshown = lk.open({str(run.path)!r}).explorer()\nshown",
        "shown.selection = [3, 5, 8]",
        "print('selected', len(shown.selection), 'coloured by', shown.color_by)",
    ]
    document = {
        "cells": [
            {
                "cell_type": "code",
                "id": f"cell{number}",
                "metadata": {},
                "source": text,
                "outputs": [],
                "execution_count": None,
            }
            for number, text in enumerate(cells)
        ],
        "metadata": {"kernelspec": {"name": "python3", "display_name": "Python 3"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    folder = tmp_path / "notebooks"
    folder.mkdir()
    (folder / "look.ipynb").write_text(json.dumps(document), encoding="utf-8")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(tmp_path / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    command = [
        *(sys.executable, "-m", "jupyterlab", "--allow-root", "--no-browser", f"--port={port}"),
        *("--IdentityProvider.token=", f"--ServerApp.root_dir={folder}", "--ip=127.0.0.1"),
    ]
    server = subprocess.Popen(
        command, env=os.environ | own, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        _wait_for(f"http://127.0.0.1:{port}/api", server)
        yield f"http://127.0.0.1:{port}/lab/tree/look.ipynb?reset"
    finally:
        server.terminate()
        server.wait(_SECONDS)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end and server.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("JupyterLab did not start")


def test_the_selection_goes_both_ways(notebook, tmp_path):
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            page.set_default_timeout(1000 * _SECONDS)
            complaints: list[str] = []
            page.on("pageerror", lambda error: complaints.append(str(error)))
            page.goto(notebook)
            cells = page.locator(".jp-Notebook .jp-CodeCell")
            cells.nth(2).wait_for()
            page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]")
            _execute(page, cells.nth(0))
            view = page.locator(".lk-explorer")
            view.wait_for()
            page.wait_for_selector(".lk-explorer[data-ready]")
            _execute(page, cells.nth(1))
            tab = view.get_by_role("tab", name="Selection")
            tab.filter(has_text=re.compile("Selection ?3$")).wait_for()  # from Python to the view
            page.screenshot(path=tmp_path / "jupyterlab.png")
            assert (tmp_path / "jupyterlab.png").stat().st_size > 20_000
            view.locator("select").first.select_option(index=1)
            count = _select_with_lasso(page, view)
            _execute(page, cells.nth(2))
            said = cells.nth(2).locator(".jp-OutputArea-output").inner_text()
            assert said.startswith(f"selected {count} coloured by ")  # from the view to Python
            assert not said.strip().endswith("coloured by")
            assert not complaints
        finally:
            browser.close()


def _execute(page, cell) -> None:
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def _select_with_lasso(page, view) -> int:
    """Draw round the middle of the map; return how many items the view says are selected."""
    view.scroll_into_view_if_needed()
    boxes = [one.bounding_box() for one in view.locator("canvas").all() if one.is_visible()]
    box = max(boxes, key=lambda one: one["width"] * one["height"])
    x, y, width, height = (box[name] for name in ("x", "y", "width", "height"))
    corners = [(0.2, 0.2), (0.8, 0.2), (0.8, 0.8), (0.2, 0.8), (0.2, 0.25)]
    page.keyboard.press("Escape")
    page.keyboard.down("Shift")
    page.mouse.move(x + width * 0.2, y + height * 0.2)
    page.mouse.down()
    for across, down in corners[1:]:
        page.mouse.move(x + width * across, y + height * down, steps=8)
    page.mouse.up()
    page.keyboard.up("Shift")
    page.wait_for_timeout(500)
    said = view.get_by_role("tab", name="Selection").inner_text()
    count = int(re.sub(r"\D", "", said) or 0)
    assert count not in (0, 3)
    return count
