"""Explorer pages written from arrays, by code that shares nothing with the package's own writer."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import latentkit

ASSETS = Path(latentkit.__file__).parent / "explore"
_DTYPES = {
    "<f4": "f4",
    "<f2": "f2",
    "|u1": "u1",
    "<u2": "u2",
    "<u4": "u4",
    "<i4": "i4",
    "<i2": "i2",
}


class PageWriter:
    """Collects the blobs of a page.

    Args:
        count: number of items.
    """

    def __init__(self, count: int, title: str = "conv-ae on digits") -> None:
        self.blobs: list[tuple[str, bytes, bytes]] = []
        self.header: dict[str, Any] = {
            "format": "latentkit-explorer",
            "version": 1,
            "latentkit": "0.1.0",
            "title": title,
            "subtitle": f"{count:,} test images",
            "notes": [],
            "items": {
                "count": count,
                "rows": None,
                "splits": None,
                "files": None,
                "labels": None,
                "images": None,
                "no_images": None,
            },
            "spaces": [],
        }

    def array(self, values: Any, dtype: str) -> dict[str, Any]:
        array = np.ascontiguousarray(values, dtype=dtype)
        return self._add(array.tobytes(), _DTYPES[array.dtype.str], list(array.shape))

    def text(self, text: str) -> dict[str, Any]:
        content = text.encode()
        return self._add(content, "utf8", [len(content)])

    def raw(self, content: bytes) -> dict[str, Any]:
        return self._add(content, "bytes", [len(content)], "raw")

    def _add(
        self, content: bytes, dtype: str, shape: list[int], encoding: str = "gzip"
    ) -> dict[str, Any]:
        name = f"blob{len(self.blobs)}"
        stored = gzip.compress(content, 6, mtime=0) if encoding == "gzip" else content
        self.blobs.append((name, content, stored))
        return {"name": name, "dtype": dtype, "shape": shape, "encoding": encoding}

    def labels(self, labels: np.ndarray, names: list[str]) -> None:
        self.header["items"]["labels"] = {"names": names, "section": self.array(labels, "<i2")}

    def images(self, images: np.ndarray, columns: int | None = None, rows: int = 64) -> None:
        """Add images (N, C, H, W) of 8 bits, C being 1 or 3, as atlases of lossless WebP."""
        count, channels, height, width = images.shape
        columns = columns or max(1, min(4096 // width, int(np.ceil(np.sqrt(count)))))
        rows = min(rows, 4096 // height)
        atlases = []
        for start in range(0, count, columns * rows):
            part = images[start : start + columns * rows]
            tall = int(np.ceil(len(part) / columns))
            sheet = np.zeros((tall * height, columns * width, channels), np.uint8)
            for place, image in enumerate(part):
                y, x = divmod(place, columns)
                sheet[y * height : (y + 1) * height, x * width : (x + 1) * width] = image.transpose(
                    1, 2, 0
                )
            buffer = io.BytesIO()
            picture = Image.fromarray(sheet[..., 0] if channels == 1 else sheet)
            picture.save(buffer, "WEBP", lossless=True)
            atlases.append(self.raw(buffer.getvalue()))
        self.header["items"]["images"] = {
            "shape": [channels, height, width],
            "tile": [height, width],
            "columns": columns,
            "rows": rows,
            "atlases": atlases,
            "mime": "image/webp",
            "lossless": True,
        }

    def space(self, latents: np.ndarray | None, **more: Any) -> dict[str, Any]:
        dim = 1 if latents is None else latents.shape[1]
        mean = np.zeros(dim) if latents is None else latents.mean(0)
        sigma = np.ones(dim) if latents is None else latents.std(0)
        weights = sigma**2
        space = {
            "name": "run-1",
            "model": "conv-ae",
            "title": "run-1",
            "epoch": None,
            "latents": None if latents is None else self.array(latents, "<f4"),
            "dim": dim,
            "mean": mean.tolist(),
            "sigma": sigma.tolist(),
            "order": np.argsort(-weights).tolist(),
            "weights": weights.tolist(),
            "prior": False,
            "columns": [],
            "maps": [],
            "mixture": None,
            "decoder": None,
            "no_decoder": "this run's model was not recorded",
            **more,
        }
        self.header["spaces"].append(space)
        return space

    def map(
        self,
        space: dict[str, Any],
        key: str,
        coordinates: np.ndarray,
        trust: np.ndarray | None = None,
        inverse: tuple[np.ndarray, np.ndarray] | None = None,
        **more: Any,
    ) -> None:
        centre = coordinates.mean(0)
        scale = float(np.abs(coordinates - centre).max()) or 1.0
        space["maps"].append(
            {
                "key": key,
                "name": {"pca": "PCA", "tsne": "t-SNE"}.get(key, key.capitalize()),
                "dims": coordinates.shape[1],
                "section": self.array((coordinates - centre) / scale, "<f4"),
                "scale": scale,
                "centre": centre.tolist(),
                "trust": None if trust is None else self.array(trust, "<f4"),
                "figures": {},
                "about": "",
                "fitted_on": "these test latents",
                "inverse": inverse
                and {"kind": "linear", "mean": inverse[0].tolist(), "axes": inverse[1].tolist()},
                **more,
            }
        )

    def column(
        self, space: dict[str, Any], key: str, name: str, values: np.ndarray, **more: Any
    ) -> None:
        kind = "class" if "names" in more else "number"
        section = self.array(values, "<i2" if kind == "class" else "<f4")
        entry = {"key": key, "name": name, "kind": kind, "names": None, "section": section}
        space["columns"].append({**entry, "about": "", **more})

    def html(self) -> str:
        script = (ASSETS / "explorer.js").read_text("utf-8")
        style = (ASSETS / "explorer.css").read_text("utf-8")
        policy = (
            f"default-src 'none'; script-src '{_digest(script)}' 'wasm-unsafe-eval'; "
            f"style-src '{_digest(style)}'; img-src data: blob:"
        )
        header = json.dumps(self.header).replace("<", "\\u003c")
        sections = "\n".join(
            f'<script type="application/octet-stream" data-section="{name}" '
            f'data-bytes="{len(content)}" data-crc="{zlib.crc32(content):08x}">'
            f"{base64.b64encode(stored).decode()}</script>"
            for name, content, stored in self.blobs
        )
        return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Explorer</title><style>{style}</style></head>
<body><main id="explorer"></main>
<script>{script}</script>
<script type="application/json" id="explorer-header">{header}</script>
{sections}
<script type="application/octet-stream" id="explorer-end"></script>
</body></html>
"""

    def save(self, path: Path) -> Path:
        path.write_text(self.html(), "utf-8")
        return path


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
