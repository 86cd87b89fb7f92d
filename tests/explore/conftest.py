"""A reader of explorer pages that shares no code with the writer; see docs/explorer-format.md."""

from __future__ import annotations

import base64
import gzip
import io
import json
import zlib
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

DTYPES = {"f4": "<f4", "f2": "<f2", "u1": "u1", "u2": "<u2", "u4": "<u4", "i4": "<i4", "i2": "<i2"}


class Elements(HTMLParser):
    """The elements of a page in order, each with its attributes and its text."""

    def __init__(self, page: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        self.feed(page.decode("utf-8"))

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs), ""))

    def handle_data(self, data):
        if self.elements:
            tag, attrs, text = self.elements[-1]
            self.elements[-1] = (tag, attrs, text + data)


class Container:
    """The container of a page, every blob checked against its size and CRC-32."""

    def __init__(self, page: bytes) -> None:
        self.elements = Elements(page).elements
        scripts = [(attrs, text) for tag, attrs, text in self.elements if tag == "script"]
        (self.header,) = (
            json.loads(text) for attrs, text in scripts if attrs.get("id") == "explorer-header"
        )
        assert scripts[-1][0].get("id") == "explorer-end"
        self.stored = {
            attrs["data-section"]: (attrs, base64.b64decode(text, validate=False))
            for attrs, text in scripts
            if "data-section" in attrs
        }

    def bytes_of(self, section: dict) -> bytes:
        attrs, content = self.stored[section["name"]]
        if section["encoding"] == "gzip":
            content = gzip.decompress(content)
        assert len(content) == int(attrs["data-bytes"])
        assert f"{zlib.crc32(content):08x}" == attrs["data-crc"]
        return content

    def array(self, section: dict) -> np.ndarray:
        values = np.frombuffer(self.bytes_of(section), DTYPES[section["dtype"]])
        return values.reshape(section["shape"])

    def coordinates(self, one: dict) -> np.ndarray:
        return np.array(one["centre"]) + one["scale"] * self.array(one["section"])

    def tiles(self) -> np.ndarray:
        """Return the pictures of all items (N, h, w, 3)."""
        images = self.header["items"]["images"]
        (height, width), columns, rows = images["tile"], images["columns"], images["rows"]
        sheets = [
            np.asarray(Image.open(io.BytesIO(self.bytes_of(one)), formats=["WEBP"]).convert("RGB"))
            for one in images["atlases"]
        ]
        found = []
        for item in range(self.header["items"]["count"]):
            sheet, place = divmod(item, columns * rows)
            top, left = place // columns * height, place % columns * width
            found.append(sheets[sheet][top : top + height, left : left + width])
        return np.stack(found)


@pytest.fixture(scope="session")
def read_page():
    """Return the function that reads the container of a page."""
    return Container


@pytest.fixture(scope="session")
def elements():
    """Return the function that reads the elements of a page."""
    return lambda page: Elements(page).elements
