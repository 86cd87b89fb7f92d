"""Image files as arrays: the rules by which sizes, channels and numbers become images.

`ImageReading` has the rules and decodes one file. It is picklable and depends on nothing but the
file, so that files may be decoded in any process and in any order. Each image keeps the smallest
form that holds it: one channel if it is grey, uint8 if its file has 8 bits.
`latentkit.plugin.image_sets` gives all images of a set one form.
"""

from __future__ import annotations

import hashlib
import io
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentkit.errors import DataError
from latentkit.plugin.downloads import Stat, read_bytes, read_unchanged
from latentkit.plugin.image_formats import (
    LYING,
    Draft,
    NeedsOptionError,
    Picture,
    count_pages,
    open_picture,
    picture_of,
    plain_png,
    reason_of,
    upright,
)
from latentkit.plugin.images import MOST_CHANNELS, Pixels

MOST_PIXELS = 178_956_970
SHALLOW = frozenset(f"{bits} bits" for bits in range(1, 9))
_DARK = 1 / 8
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


class ImageFile(NamedTuple):
    """A picture of a file; ``page`` counts from 0 in a file of several."""

    path: Path | str
    page: int = 0


class DecodedImage(NamedTuple):
    """An image, and what was found of its file.

    Args:
        pixels: the image, (C, H, W).
        facts: what is to be said about how it was read: keys that `reading_notes` counts and turns
            into sentences.
        sha256: of the file.
        stat: size and times of change of the file; zeros if the picture came from elsewhere.
    """

    pixels: Pixels
    facts: tuple[str, ...]
    sha256: str
    stat: Stat = (0, 0, 0)


class SurveyedImage(NamedTuple):
    """What a file is like, besides its picture.

    Args:
        pixels: the whole picture, (C, 32, 32), uint8 or uint16, stretched to this shape.
        facts: as in `DecodedImage`.
        sha256: of the file.
        pixels_sha256: of the picture's numbers, at the size at which they were decoded.
        size: height and width, upright, in pixels.
        form: format, mode or number of channels, and depth, such as ``JPEG``, ``RGB``, ``8 bits``.
        orientation: of the orientation tag, from 1 to 8; 1 is upright.
        limits: the smallest and the largest number, at the size at which they were decoded.
    """

    pixels: Pixels
    facts: tuple[str, ...]
    sha256: str
    pixels_sha256: str
    size: tuple[int, int]
    form: tuple[str, str, str]
    orientation: int
    limits: tuple[float, float]


@dataclass(frozen=True)
class ImageReading:
    """How image files become images.

    Args:
        size: height and width of the images in pixels.
        fit: how a picture gets this shape: ``crop`` scales it until it covers the shape and cuts
            out the middle, ``pad`` scales it until it fits inside and fills up with black,
            ``stretch`` scales each side, ``none`` keeps the picture's own size.
        channels: ``auto`` is one channel if all channels are equal, and those of the file
            otherwise; ``grey``; ``rgb``; ``all`` keeps transparency as a channel; or the numbers
            of the channels to keep, counted in ``all``.
        depth: 8 or 16 bits; ``auto`` is 8 for files of up to 8 bits, and 16 for others.
        value_range: the numbers of the file that become black and white. ``type`` is the full
            range of unsigned integers of up to 16 bits and of signed ones of 8 or 16, and [0, 1]
            for floats. ``data`` must be replaced by `in_range_of` first.
        max_pixels: width times height above which a file is refused.
        all_pages: whether every picture of a file is used, so that none is lost; `pages` counts
            them, and each is an `ImageFile` of its own.
    """

    size: tuple[int, int] = (64, 64)
    fit: Literal["crop", "pad", "stretch", "none"] = "crop"
    channels: Literal["auto", "grey", "rgb", "all"] | tuple[int, ...] = "auto"
    depth: Literal["auto", 8, 16] = "auto"
    value_range: Literal["type", "data"] | tuple[float, float] = "type"
    max_pixels: int = MOST_PIXELS
    all_pages: bool = False

    def decode(self, file: ImageFile | Path) -> Pixels:
        """Return a file as an image (C, H, W), uint8 or uint16; raises as `read`."""
        return self.read(file).pixels

    def read(self, file: ImageFile | Path) -> DecodedImage:
        """Return a file as an image (C, H, W), with what is to be said about it.

        Transparent parts become white, unless ``channels`` keeps them. Pictures are turned as
        their orientation tag says, and scaled by Pillow's antialiased bilinear filter. JPEGs that
        are much larger than ``size`` are decoded at a half, a quarter or an eighth of their size.

        Raises:
            ValueError: the file cannot be read by these rules; the message is one line.
            latentkit.errors.DataError: the file cannot be opened.
        """
        path, page = (file, 0) if isinstance(file, Path) else file
        content, stat = read_unchanged(path)
        return self._read(content, page, stat)

    def read_picture(self, source: bytes | Image.Image | Picture, page: int = 0) -> DecodedImage:
        """Return a picture as an image (C, H, W), with what is to be said about it.

        Args:
            source: the content of an image file; an image of Pillow's; or numbers, as a `Picture`.
            page: which picture of a file.

        Raises:
            ValueError: the picture cannot be read by these rules; the message is one line.
        """
        return self._read(source, page, (0, 0, 0))

    def _read(self, source: bytes | Image.Image | Picture, page: int, stat: Stat) -> DecodedImage:
        try:
            plain = self._plain(source) if isinstance(source, bytes) and not page else None
            if plain is not None:
                pixels, facts, several = plain, ["kind 8 bits"], False
            else:
                picture = self._opened(source, page, draft=self._draft)
                pixels, facts = self._image(picture)
                several = picture.several
        except (MemoryError, DataError, NeedsOptionError):
            raise
        except Exception as error:  # damaged files raise anything
            raise ValueError(reason_of(error)) from error
        first = pixels[0]
        if first[0, 0] == first[-1, -1] and (pixels == pixels[:, :1, :1]).all():
            facts.append("constant")
        if several and not self.all_pages:
            facts.append("several")
        content = source if isinstance(source, bytes) else np.ascontiguousarray(pixels).data
        return DecodedImage(pixels, tuple(facts), hashlib.sha256(content).hexdigest(), stat)

    def _plain(self, content: bytes) -> Pixels | None:
        """Return the image of a small file that needs no change; None if it may need one."""
        wanted = _PLAIN_CHANNELS.get(self.channels)
        if wanted is None or self.value_range != "type" or self.depth == 16:
            return None
        values = plain_png(content, None if self.fit == "none" else self.size, self.max_pixels)
        if values is None or (values.shape[2] if values.ndim == 3 else 1) not in wanted:
            return None
        pixels = values.transpose(2, 0, 1) if values.ndim == 3 else values[None]
        return np.ascontiguousarray(_one_if_grey(pixels) if self.channels == "auto" else pixels)

    def _opened(
        self, source: bytes | Image.Image | Picture, page: int, draft: Draft | None = None
    ) -> Picture:
        if isinstance(source, bytes):
            return open_picture(source, page, most_pixels=self.max_pixels, draft=draft)
        return source if isinstance(source, Picture) else picture_of(source)

    def survey(self, file: ImageFile, *, whole: bool = False) -> SurveyedImage:
        """Return what a file is like; raises as `read`.

        Args:
            file: the file.
            whole: whether to decode a JPEG at its full size, which takes longer.
        """
        content = read_bytes(file.path)
        small = replace(self, size=(_SURVEYED, _SURVEYED), fit="stretch")
        draft = None if whole else small._draft
        try:
            picture = open_picture(content, file.page, most_pixels=self.max_pixels, draft=draft)
            pixels, facts = small._image(picture)
            values, alpha = _numbers(picture)
            limits = _limits(values)
            name, width, height = _format_and_size(content, picture)
        except (MemoryError, DataError):
            raise
        except Exception as error:  # damaged files raise anything
            raise ValueError(reason_of(error)) from error
        if (values == values[:1, :1]).all():
            facts.append("constant")
        if picture.several and not self.all_pages:
            facts.append("several")
        all_values = values if alpha is None else np.concatenate([values, alpha], axis=2)
        shown = np.ascontiguousarray(upright(all_values, picture.orientation))
        mode = getattr(
            picture.pixels,
            "mode",
            "grey" if all_values.shape[2] == 1 else f"{all_values.shape[2]} channels",
        )
        return SurveyedImage(
            pixels,
            tuple(facts),
            hashlib.sha256(content).hexdigest(),
            hashlib.sha256(f"{shown.shape}{shown.dtype}".encode() + shown.tobytes()).hexdigest(),
            (width, height) if picture.orientation in LYING else (height, width),
            (name, mode, picture.kind),
            picture.orientation,
            limits,
        )

    def limits(self, file: ImageFile | Path) -> tuple[float, float]:
        """Return the smallest and the largest number in a file, without its transparency.

        Raises:
            ValueError: the file cannot be read, or holds NaN or infinity.
        """
        path, page = (file, 0) if isinstance(file, Path) else file
        return self.limits_of_picture(read_bytes(path), page)

    def limits_of_picture(
        self, source: bytes | Image.Image | Picture, page: int = 0
    ) -> tuple[float, float]:
        """Return the smallest and the largest number of what `read_picture` takes; raises alike."""
        try:
            values, _ = _numbers(self._opened(source, page))
        except (MemoryError, DataError):
            raise
        except Exception as error:
            raise ValueError(reason_of(error)) from error
        return _limits(values)

    def pages(self, path: Path) -> int:
        """Return how many pictures a file has; 1 if it cannot be read."""
        try:
            return count_pages(read_bytes(path), self.max_pixels)
        except Exception:  # reading it will say what is wrong
            return 1

    def _draft(self, image: Image.Image, lies: bool) -> tuple[str | None, tuple[int, int]] | None:
        """Return the least size at which a JPEG may be decoded."""
        if self.fit == "none" or self.value_range != "type":
            return None
        width, height = self._target(lies)
        across, down = width / image.width, height / image.height
        if self.fit != "stretch":
            across = down = max(across, down) if self.fit == "crop" else min(across, down)
        least = [
            math.ceil(_DRAFTED * scale * side)
            for scale, side in zip((across, down), image.size, strict=True)
        ]
        return ("L" if self.channels == "grey" else None), (least[0], least[1])

    def _target(self, lies: bool) -> tuple[int, int]:
        """Return the width and height of a picture that may lie on its side."""
        return self.size if lies else self.size[::-1]

    def _image(self, picture: Picture) -> tuple[Pixels, list[str]]:
        """Return a picture as an image (C, H, W), and facts."""
        facts = [f"kind {picture.kind}"]
        whole = self.channels in ("auto", "grey", "rgb") and self.value_range == "type"
        if isinstance(picture.pixels, Image.Image) and whole:
            pixels = self._of_bytes(picture.pixels, picture, facts)
        else:
            pixels = self._of_numbers(picture, facts)
        if self.fit == "crop" and _loses_sides(
            picture.extent, self._target(picture.orientation in LYING)
        ):
            facts.append("cropped")
        return pixels, facts

    def _of_bytes(self, image: Image.Image, picture: Picture, facts: list[str]) -> Pixels:
        """Return an image of 8 bits by Pillow's own conversions, which are the fastest."""
        if _has_transparency(image):
            image = _on_white(image, facts)
        grey = self.channels == "grey" or (self.channels == "auto" and image.mode in ("1", "L"))
        plain = image.convert("L" if grey else "RGB")
        values = np.asarray(self._fitted(plain, picture), np.uint8)
        values = upright(values[..., None] if values.ndim == 2 else values, picture.orientation)
        pixels = values.transpose(2, 0, 1)
        if self.channels == "auto":
            pixels = _one_if_grey(pixels)
        if self.depth == 16:
            return pixels.astype(np.uint16) * np.uint16(257)
        return np.ascontiguousarray(pixels)

    def _of_numbers(self, picture: Picture, facts: list[str]) -> Pixels:
        """Return a picture as an image by way of floats, at any depth."""
        values, alpha = _numbers(picture)
        shades = self._scaled(values, picture, facts)
        if alpha is not None:
            opaque = _scaled_by_type(alpha, picture.bits)
            if self.channels == "all" or isinstance(self.channels, tuple):
                shades = np.concatenate([shades, opaque], axis=2)
            elif (opaque < 1).any():
                facts.append("transparent")
                shades = shades * opaque + (1 - opaque)
        shades = self._chosen(shades)
        fitted = [
            np.asarray(self._fitted(Image.fromarray(np.ascontiguousarray(band)), picture))
            for band in shades.transpose(2, 0, 1)
        ]
        deep = self.depth == 16 or (self.depth == "auto" and picture.kind not in SHALLOW)
        if not deep and picture.kind not in SHALLOW:
            facts.append("reduced")
        white, kind = (65_535, np.uint16) if deep else (255, np.uint8)
        turned = upright(np.stack(fitted, axis=2), picture.orientation).transpose(2, 0, 1)
        pixels = np.rint(np.clip(turned, 0, 1) * np.float32(white)).astype(kind)
        return np.ascontiguousarray(_one_if_grey(pixels) if self.channels == "auto" else pixels)

    def _scaled(self, values: NDArray[Any], picture: Picture, facts: list[str]) -> NDArray[Any]:
        """Return numbers as float32 in [0, 1]: 0 is black."""
        low, high = _limits(values)
        if self.value_range == "type":
            floats = values.dtype.kind == "f"
            if (low < 0 or high > 1) if floats else values.dtype.itemsize > 2:
                raise NeedsOptionError(
                    f"its values are {values.dtype.name} and reach from {low:g} to {high:g}",
                    "say which are black and white with range=LOW..HIGH, or range=data",
                )
            shades = _scaled_by_type(values, picture.bits)
            if values.dtype.kind == "u" and picture.bits > 8 and shades.max() < _DARK:
                facts.append("dark")
        else:
            if isinstance(self.value_range, str):
                raise TypeError("range 'data' needs in_range_of first")
            black, white = self.value_range
            if low < black or high > white:
                facts.append("clipped")
            exact = (values.astype(np.float64) - black) / (white - black)
            shades = np.clip(exact, 0, 1).astype(np.float32)
        return 1 - shades if picture.inverted else shades

    def _chosen(self, shades: NDArray[Any]) -> NDArray[Any]:
        """Return the channels that are asked for, (H, W, C)."""
        n = shades.shape[2]
        if isinstance(self.channels, tuple):
            if n <= max(self.channels):
                raise ValueError(
                    f"it has {n} channels, so choose from channels 0 to {n - 1}, not "
                    f"{max(self.channels)}"
                )
            return shades[..., list(self.channels)]
        if self.channels in ("grey", "rgb") and n not in (1, 3):
            raise NeedsOptionError(
                f"it has {n} channels, so channels={self.channels} does not fit",
                "keep them with channels=all, or choose some, such as channels=0,1,2",
            )
        if n > MOST_CHANNELS:
            raise NeedsOptionError(
                f"it has {n} channels",
                f"choose up to {MOST_CHANNELS} of them, such as channels=0,1,2",
            )
        if self.channels == "grey" and n == 3:
            return (shades @ _LUMA)[..., None]
        return np.repeat(shades, 3, 2) if self.channels == "rgb" and n == 1 else shades

    def _fitted(self, image: Image.Image, picture: Picture) -> Image.Image:
        """Return an image of any mode, not yet upright, in the size that is asked for."""
        (width, height), target = picture.extent, self._target(picture.orientation in LYING)
        whole = (0, 0, width, height)
        if self.fit == "none" or (image.size == target and image.size == picture.extent):
            return image
        if self.fit == "stretch":
            return image.resize(target, _SCALING, whole)
        ratio = target[0] / target[1]
        if self.fit == "crop":
            kept = min(width, height * ratio), min(height, width / ratio)
            left, top = (width - kept[0]) / 2, (height - kept[1]) / 2
            return image.resize(target, _SCALING, (left, top, left + kept[0], top + kept[1]))
        scale = min(target[0] / width, target[1] / height)
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        padded = Image.new(image.mode, target)
        at = round((target[0] - inner[0]) / 2), round((target[1] - inner[1]) / 2)
        padded.paste(image.resize(inner, _SCALING, whole), at)
        return padded


_PLAIN_CHANNELS: dict[Any, tuple[int, ...]] = {"auto": (1, 3), "grey": (1,), "rgb": (3,)}
_SURVEYED = 32
_STARTS = {
    b"\x89PNG": "PNG",
    b"\xff\xd8": "JPEG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"RIFF": "WEBP",
    b"II": "TIFF",
    b"MM": "TIFF",
    b"P": "PPM",
}


def _format_and_size(content: bytes, picture: Picture) -> tuple[str, int, int]:
    """Return a file's format by its content, and the width and height of a picture of it."""
    if content[4:8] == b"ftyp":
        name = "AVIF" if content[8:11] == b"avi" else "HEIF"
    else:
        name = next((name for start, name in _STARTS.items() if content.startswith(start)), "")
    width, height = picture.extent
    if name == "JPEG":  # which may have been decoded at a fraction of its size
        with Image.open(io.BytesIO(content), formats=("JPEG", "MPO")) as image:
            width, height = image.size
    return name, int(width), int(height)


_SCALING = Image.Resampling.BILINEAR
_DRAFTED = 1.25
"""A JPEG is decoded at this multiple of its final size, or more. The mean difference from decoding
all of it stays below 2 of 255, also where the next fraction is just as large; at 1 it does not."""


def _has_transparency(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _on_white(image: Image.Image, facts: list[str]) -> Image.Image:
    """Return an image with white in place of its transparency."""
    layered = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    if layered.getchannel("A").getextrema()[0] == 255:
        return layered.convert("RGB")
    facts.append("transparent")
    white = Image.new("RGBA", layered.size, "white")
    white.alpha_composite(layered)
    return white


def _numbers(picture: Picture) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Return the numbers of a picture (H, W, C), and its transparency (H, W, 1) if it has one."""
    pixels, alpha = picture.pixels, picture.alpha
    if isinstance(pixels, Image.Image):
        image = pixels
        alpha = _has_transparency(image)
        if alpha:
            mode = "LA" if image.mode in ("LA", "L", "La") else "RGBA"
        else:
            mode = "L" if image.mode in ("1", "L") else "RGB"
        converted = np.asarray(image if image.mode == mode else image.convert(mode))
        pixels = converted if converted.ndim == 3 else converted[..., None]
    if pixels.dtype.kind not in "iuf":
        raise ValueError(f"its values are {pixels.dtype.name}, which are not shades")
    return (pixels[..., :-1], pixels[..., -1:]) if alpha else (pixels, None)


def _limits(values: NDArray[Any]) -> tuple[float, float]:
    low, high = float(values.min()), float(values.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("it holds NaN or infinity: repair it or leave it out")
    return low, high


def _scaled_by_type(values: NDArray[Any], bits: int) -> NDArray[np.float32]:
    """Return numbers as float32, the full range of their type as [0, 1]."""
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    white = 2**bits - 1
    black = -(2 ** (bits - 1)) if values.dtype.kind == "i" else 0
    return ((values.astype(np.float32) - np.float32(black)) / np.float32(white)).astype(np.float32)


def _one_if_grey(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return the first channel alone if there are three equal ones."""
    if len(pixels) != 3 or pixels[0, 0, 0] != pixels[1, 0, 0]:  # one pixel often decides
        return pixels
    if not (pixels[0] == pixels[1]).all() or (pixels[0] != pixels[2]).any():
        return pixels
    return pixels[:1]


def _loses_sides(size: tuple[float, float], target: tuple[int, int]) -> bool:
    """Return whether a crop cuts away at least one pixel of the result's size."""
    scale = max(target[0] / size[0], target[1] / size[1])
    return size[0] * scale - target[0] >= 1 or size[1] * scale - target[1] >= 1
