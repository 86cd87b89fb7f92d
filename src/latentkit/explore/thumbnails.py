"""Many small images in few files: atlases of tiles, as WebP."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentkit.figures.shown_images import displayed, unit_range

LARGEST_TILE = 64
"""Height and width in pixels above which images are shrunk, by area."""
LARGEST_ATLAS = 4096
"""Height and width of an atlas in pixels; browsers refuse larger pictures on some devices."""
LOSSLESS = 2**20
"""Number of values up to which all images of a page are stored without loss."""
QUALITY = ((2**22, 80), (2**25, 70), (math.inf, 60))
"""WebP's quality for larger sets, each up to a number of values."""
_AT_ONCE = 2**24  # values that are converted at once
_EFFORT = 50  # of WebP's encoder without loss, from 0 to 100
_SPEED = 2  # of WebP's encoder, from 0 (fast) to 6 (small)

Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Atlases:
    """Images as tiles of a few pictures.

    Tile i is in atlas ``i // (columns * rows)``, and there at place ``i % (columns * rows)``, row
    by row. The last atlas has only the rows that it needs.

    Args:
        files: the pictures, each a WebP file.
        shape: channels, height and width of the images that they show.
        tile: height and width of a tile.
        columns: number of tiles side by side.
        rows: number of tiles below each other in every atlas but the last.
        lossless: whether tiles have exactly the shades of the images.
        channels: the channels of the images that tiles show, one or three numbers.
    """

    files: tuple[bytes, ...]
    shape: tuple[int, int, int]
    tile: tuple[int, int]
    columns: int
    rows: int
    lossless: bool
    channels: tuple[int, ...]


def tile_size(height: int, width: int) -> tuple[int, int]:
    """Return height and width of the tiles of images, with the same proportions."""
    shrink = max(1.0, max(height, width) / LARGEST_TILE)
    return max(1, round(height / shrink)), max(1, round(width / shrink))


def thumbnails(images: NDArray[Any], channels: Sequence[int] = ()) -> Bytes:
    """Return images as tiles (N, h, w, 1 or 3), 8 bits each, in the channels that figures show.

    Args:
        images: (N, C, H, W), uint8 or uint16; may be memory-mapped.
        channels: as in `displayed`.
    """
    count, _, height, width = images.shape
    size = tile_size(height, width)
    depth = displayed(images[:1], channels).shape[1]
    tiles = np.empty((count, *size, depth), np.uint8)
    step = max(1, _AT_ONCE // (depth * height * width))
    for start in range(0, count, step):
        part = np.moveaxis(displayed(images[start : start + step], channels), 1, -1)
        if part.dtype != np.uint8:
            part = np.rint(unit_range(part) * 255).astype(np.uint8)
        tiles[start : start + len(part)] = part if size == (height, width) else _shrunk(part, size)
    return tiles


def _shrunk(images: Bytes, size: tuple[int, int]) -> Bytes:
    found = np.empty((len(images), *size, images.shape[-1]), np.uint8)
    for place, image in enumerate(images):
        picture = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        small = np.asarray(picture.resize(size[::-1], Image.Resampling.BOX))
        found[place] = small.reshape(*size, -1)
    return found


def make_atlases(
    tiles: Bytes, shape: tuple[int, int, int], channels: Sequence[int] = (), *, exact: bool = True
) -> Atlases:
    """Return tiles (N, h, w, 1 or 3) as atlases of images of a shape (C, H, W).

    Up to `LOSSLESS` values in all, they are stored without loss, and otherwise with the WebP
    quality that `QUALITY` gives to that many. On 28x28 images, their root mean square error is 3
    of 255 shades with quality 80, 4 with 70, and 4.5 with 60.

    Args:
        tiles: made by `thumbnails`.
        shape: of the images.
        channels: those that the tiles show; by default the first ones.
        exact: whether tiles have the depth of the images.
    """
    count, height, width, _ = tiles.shape
    most = LARGEST_ATLAS // width
    columns = min(most, max(1, math.ceil(math.sqrt(count * height / width))))
    rows = min(LARGEST_ATLAS // height, math.ceil(count / columns))
    lossless = tiles.size <= LOSSLESS
    quality = None if lossless else next(q for most, q in QUALITY if tiles.size <= most)
    files = tuple(
        _webp(_arranged(tiles[start : start + columns * rows], columns), quality)
        for start in range(0, count, columns * rows)
    )
    whole = exact and lossless and tiles.shape[1:] == (*shape[1:], shape[0])
    shown = tuple(channels) or tuple(range(tiles.shape[3]))
    return Atlases(files, shape, (height, width), columns, rows, whole, shown)


def _arranged(tiles: Bytes, columns: int) -> Bytes:
    count, height, width, depth = tiles.shape
    rows = math.ceil(count / columns)
    canvas = np.zeros((rows * columns, height, width, depth), np.uint8)
    canvas[:count] = tiles
    grid = canvas.reshape(rows, columns, height, width, depth).swapaxes(1, 2)
    return grid.reshape(rows * height, columns * width, depth)


def _webp(pixels: Bytes, quality: int | None) -> bytes:
    """Return a picture as a WebP file, without loss if no quality is given."""
    buffer = io.BytesIO()
    picture = Image.fromarray(np.broadcast_to(pixels, (*pixels.shape[:2], 3)).copy())
    if quality is None:
        picture.save(buffer, "WEBP", lossless=True, quality=_EFFORT, method=_SPEED)
    else:
        picture.save(buffer, "WEBP", quality=quality, method=_SPEED)
    return buffer.getvalue()
