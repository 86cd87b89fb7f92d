"""A page of digits, and a browser that opens explorer pages and keeps what they complain about."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA

from .explorer_pages import PageWriter

BINARY = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("chrome")
LATENTS = 6
ITEMS = 400


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return images (N, 1, 8, 8) of 8 bits, latents (N, 6) and labels (N,)."""
    data = load_digits()
    images = (data.images[:ITEMS] * 15.9).astype(np.uint8)[:, None]
    pca = PCA(LATENTS, svd_solver="full").fit(data.data[:ITEMS])
    return images, pca.transform(data.data[:ITEMS]).astype("f4"), data.target[:ITEMS]


def digits_page() -> PageWriter:
    """Return a page of 400 digits with two maps and two columns."""
    images, latents, labels = digits()
    page = PageWriter(ITEMS)
    page.labels(labels, [f"digit {name}" for name in range(10)])
    page.images(images)
    space = page.space(latents)
    axes = np.eye(LATENTS)[:2]
    figures = {"trustworthiness": 0.96}
    mean = np.zeros(LATENTS)
    page.map(space, "pca", latents[:, :2], inverse=(mean, axes), figures=figures)
    page.map(space, "other", latents[:, 2:4], trust=np.linspace(0, 1, ITEMS))
    page.column(space, "error", "reconstruction error", np.linspace(0.01, 0.5, ITEMS))
    names = page.header["items"]["labels"]["names"]
    page.column(space, "predicted", "predicted class", labels, names=names)
    return page


class Explorer:
    """An explorer page in a tab."""

    def __init__(self, tab: Any) -> None:
        self.tab = tab
        self.complaints: list[str] = []
        self.requests: list[str] = []
        tab.on("console", lambda message: self.complaints.append(message.text))
        tab.on("pageerror", lambda error: self.complaints.append(str(error)))
        tab.on("dialog", lambda dialog: self.complaints.append(dialog.message) or dialog.dismiss())
        tab.on("request", lambda request: self.requests.append(request.url))

    def open(self, path: Path, fragment: str = "") -> Explorer:
        self.tab.goto(f"{path.as_uri()}{fragment}")
        self.tab.wait_for_selector("#explorer[data-complete], #explorer[data-failed]")
        return self

    def value(self, expression: str) -> Any:
        return self.tab.evaluate(f"(() => {{ {_SHORT} return {expression}; }})()")

    def do(self, statement: str) -> None:
        self.tab.evaluate(f"(() => {{ {_SHORT} {statement}; }})()")

    def state(self, name: str) -> Any:
        value = f"app.store.state.{name}"
        return self.value(f"{value} instanceof Uint32Array ? [...{value}] : {value}")

    def places(self) -> np.ndarray:
        """Return where in the window the items of the main map are, (N, 2)."""
        found = self.value(
            "(({left, top}, {camera}, {positions}) => Array.from(positions, (value, i) => "
            "i % 2 ? top + camera.screenY(value) : left + camera.screenX(value)))"
            "(view.scene.element.getBoundingClientRect(), view.scene, view.shown)"
        )
        return np.reshape(found, (-1, 2))

    def place(self, item: int) -> tuple[float, float]:
        """Return where in the window an item of the main map is."""
        x, y = self.places()[item].tolist()
        return x, y

    def pixels(self, canvas: str) -> np.ndarray:
        """Return the pixels (height, width, 3) of a canvas."""
        url = self.tab.eval_on_selector(canvas, "element => element.toDataURL()")
        content = base64.b64decode(url.partition(",")[2])
        return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))

    def rest(self, milliseconds: int = 80) -> None:
        self.tab.wait_for_timeout(milliseconds)


_SHORT = "const {explorer} = latentkitExplorer, {app} = explorer, view = explorer.views[0];"


def cells(pixels: np.ndarray, side: int) -> np.ndarray:
    """Return the middle pixel of each of side x side cells, (side, side, 3)."""
    height, width = pixels.shape[:2]
    rows = ((np.arange(side) + 0.5) * height / side).astype(int)
    columns = ((np.arange(side) + 0.5) * width / side).astype(int)
    return pixels[rows][:, columns]


@contextmanager
def chromium() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if BINARY is None:
        pytest.skip("no chromium here (apt install chromium)")
    with api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = playwright.chromium.launch(executable_path=BINARY, args=flags)
        yield browser
        browser.close()
