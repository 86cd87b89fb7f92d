"""From the bytes of an image file to its picture, with the numbers and the channels of the file.

Pillow reads what has 8 bits or fewer. tifffile reads TIFFs of more bits, of numbers with a sign or
a fraction, or of other channels than grey, colour and transparency. imagecodecs reads PNGs of 16
bits, which Pillow cuts to 8 if they have colours, and gives tifffile its compressions. Whatever
the file's name says, only the named formats are read, because other readers may start programs.
"""

from __future__ import annotations

import importlib.util
import io
import logging
import math
import re
import struct
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM", "AVIF")
_ENDINGS = frozenset(
    {".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif"}
    | {".tiff", ".btf", ".tf8", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"}
)
_HEIF_ENDINGS = frozenset({".heic", ".heif", ".hif"})
_SYSTEM = {"__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found"} | {
    "#recycle",
    "thumbs.db",
    "desktop.ini",
    "ehthumbs.db",
}
_NAMED = 5  # most endings that a note lists
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"mif1", b"msf1"})
_PNG_HEADER = struct.Struct(">IIBB")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_COMPRESSIONS = {1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000, 50001}
_ORIENTATION = 0x0112
_PILLOW_PHOTOMETRIC = {0, 1, 2, 3, 5, 6, 8}
_PILLOW_SAMPLES = {0: 2, 1: 2, 2: 4, 3: 1, 5: 4, 6: 3, 8: 3}  # most that Pillow reads as they are

Draft = Callable[[Image.Image, bool], tuple[str | None, tuple[int, int]] | None]
"""Given an opened JPEG, and whether it lies on its side, returns the mode (None for its own) and
the least width and height at which it may be decoded; None for the full size."""


def readable_endings() -> frozenset[str]:
    """Return the endings of the files that can be read here, in lower case with their dot."""
    found = set(_ENDINGS)
    if features.check("avif"):
        found.add(".avif")
    if importlib.util.find_spec("pillow_heif") is not None:
        found |= _HEIF_ENDINGS
    return frozenset(found)


def how_to_read(ending: str) -> str:
    """Return what the user must do so that files of an ending are read; empty if unknown."""
    if ending in _HEIF_ENDINGS:
        return "install pillow-heif"
    return "install a Pillow with AVIF" if ending == ".avif" else ""


def is_hidden(name: str) -> bool:
    """Return whether other programs keep a file or folder of this name for themselves."""
    return name.startswith(".") or name.lower() in _SYSTEM


def left_out_note(others: Mapping[str, int], images: int) -> str:
    """Return a sentence on the files of a folder that were left out; empty if none were.

    Args:
        others: number of these files by their ending in lower case, which may be empty.
        images: number of files that were not left out.
    """
    count = sum(others.values())
    if not count:
        return ""
    kinds = []
    for ending, number in sorted(others.items(), key=lambda item: -item[1]):
        advice = how_to_read(ending)
        kinds.append(f"{number:,} {ending or 'without ending'}" + (f", {advice}" if advice else ""))
    shown = "; ".join(kinds[:_NAMED]) + ("; ..." if len(kinds) > _NAMED else "")
    return f"{count:,} of {count + images:,} files left out: {shown}"


class NeedsOptionError(ValueError):
    """A file that other rules could read.

    Args:
        what: what the file is.
        advice: the options of a data set that would read it.
    """

    def __init__(self, what: str, advice: str) -> None:
        super().__init__(f"{what}: {advice}")
        self.what = what


@dataclass(frozen=True)
class Picture:
    """A picture of a file, before its numbers become shades.

    Args:
        pixels: an image of Pillow's with 8 bits; or numbers of any type (H, W, C), with the
            transparency, if any, in the last channel.
        extent: width and height of the picture in pixels of ``pixels``. A JPEG decoded at a
            fraction of its size has a last row or column of which only a part belongs to it.
        orientation: EXIF's, from 1 to 8; `upright` turns the picture.
        alpha: whether numbers have a transparency, which the file's white stands for full.
        bits: bits of each number, for unsigned integers; the type's size for other numbers.
        inverted: whether the smallest number is white.
        several: whether the file has other pictures, too.
    """

    pixels: Image.Image | NDArray[Any]
    extent: tuple[float, float]
    orientation: int = 1
    alpha: bool = False
    bits: int = 8
    inverted: bool = False
    several: bool = False

    @property
    def kind(self) -> str:
        """Name the type of the numbers, such as ``8 bits`` or ``float32``."""
        if isinstance(self.pixels, Image.Image) or self.pixels.dtype.kind == "u":
            return f"{self.bits} bits"
        return self.pixels.dtype.name


def open_picture(
    content: bytes, page: int = 0, *, most_pixels: int, draft: Draft | None = None
) -> Picture:
    """Return a picture of a file.

    Args:
        content: the bytes of the file.
        page: which of its pictures, from 0.
        most_pixels: width times height above which the file is refused before it is decoded.
        draft: for JPEGs, which can be decoded at a fraction of their size.

    Raises:
        Exception: the file cannot be read; `reason_of` turns it into one line. Damaged files
            make decoders raise exceptions of many types.
    """
    if not content:
        raise ValueError("the file is empty")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about odd facts beside the pixels
        if content[:4] in _TIFF:
            return _tiff(content, page, most_pixels)
        if _is_heif(content):
            return _heif_picture(content, page, most_pixels)
        with _opened(content, most_pixels) as image:
            several = image.format != "MPO" and bool(getattr(image, "is_animated", False))
            if page:
                image.seek(page)
            extent: tuple[float, float] = image.size
            if draft is not None and image.format in ("JPEG", "MPO"):
                wanted = draft(image, _orientation(image) in LYING)
                if wanted and (drafted := image.draft(*wanted)):
                    extent = drafted[1][2:]
            return _pillow(image, content, several, extent)


_PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
_WITHOUT_EFFECT = {b"IDAT", b"bKGD", b"cHRM", b"gAMA", b"pHYs", b"sBIT", b"sRGB", b"tIME"}


def plain_png(
    content: bytes, size: tuple[int, int] | None, most_pixels: int
) -> NDArray[np.uint8] | None:
    """Return the numbers of a PNG of 8 bits that is grey or has colours, and nothing else.

    Sets of small images consist of such files, which libpng decodes in half of Pillow's time.

    Args:
        content: the bytes of a file.
        size: the height and width that it must have; None for any.
        most_pixels: the most that it may have.

    Returns:
        (H, W) or (H, W, 3); None for any other file, and for damaged ones.
    """
    if not content.startswith(_PNG_START):
        return None
    width, height, bits, colours = _PNG_HEADER.unpack_from(content, len(_PNG_START))
    if bits != 8 or colours not in (0, 2) or width * height > most_pixels:
        return None
    if size is not None and size != (height, width):
        return None
    at = len(_PNG_START) + 17
    while (kind := content[at + 4 : at + 8]) in _WITHOUT_EFFECT:
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    if kind != b"IEND":
        return None
    from imagecodecs import png_decode

    try:
        return png_decode(content)
    except Exception:  # Pillow says what is wrong
        return None


def count_pages(content: bytes, most_pixels: int) -> int:
    """Return how many pictures a file has.

    Raises:
        Exception: as `open_picture`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if content[:4] in _TIFF:
            with _tiff_file(content) as file:
                return sum(_stack(one)[0] for one in _series(file))
        if _is_heif(content):
            return len(_heif(content))
        with _opened(content, most_pixels) as image:
            return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def reason_of(error: Exception) -> str:
    """Return in one line why a file cannot be read."""
    if isinstance(error, UnidentifiedImageError):
        return f"no image of the formats {', '.join(FORMATS)}"
    text = " ".join(str(error).split())
    if isinstance(error, ValueError | OSError | EOFError | SyntaxError | RuntimeError):
        return text or type(error).__name__
    return f"the file is damaged ({type(error).__name__}: {text})"


def _check_sides(size: tuple[int, int], most_pixels: int) -> None:
    """Refuse a picture that would need much memory, as a file made to exhaust it does.

    Raises:
        ValueError: there are more pixels than allowed.
    """
    width, height = size
    if width * height > most_pixels:
        raise _too_large(f"{width:,}x{height:,} pixels exceeds limit of {most_pixels:,}")


def _too_large(what: str) -> NeedsOptionError:
    return NeedsOptionError(
        f"{what}, which guards the memory", "raise max_pixels if you trust the file"
    )


@contextmanager
def _opened(content: bytes, most_pixels: int) -> Iterator[Image.Image]:
    """Open a file with Pillow."""
    pillows = Image.MAX_IMAGE_PIXELS
    if most_pixels > 2 * (pillows or math.inf):
        Image.MAX_IMAGE_PIXELS = most_pixels  # Pillow has no other way to raise its own limit
    try:
        with Image.open(io.BytesIO(content), formats=_formats()) as image:
            _check_sides(image.size, most_pixels)
            yield image
    except Image.DecompressionBombError:  # Pillow has its own limit
        raise _too_large(f"more than {most_pixels:,} pixels") from None
    finally:
        Image.MAX_IMAGE_PIXELS = pillows


@cache
def _formats() -> tuple[str, ...]:
    return FORMATS if features.check("avif") else FORMATS[:-1]


def _is_heif(content: bytes) -> bool:
    return content[4:8] == b"ftyp" and content[8:12] in _HEIF_BRANDS


def _heif(content: bytes) -> Any:
    """Return the pictures of a HEIF file, not yet decoded."""
    try:
        import pillow_heif
    except ImportError:
        raise ValueError("an HEIF image: install pillow-heif") from None
    return pillow_heif.open_heif(io.BytesIO(content), convert_hdr_to_8bit=False)


def _heif_picture(content: bytes, page: int, most_pixels: int) -> Picture:
    """Return a picture of a HEIF file, which its library turns upright."""
    file = _heif(content)
    if page >= len(file):
        raise ValueError("the file has fewer pictures")
    one, several = file[page], len(file) > 1
    _check_sides(one.size, most_pixels)
    if ";16" not in one.mode:
        return Picture(one.to_pillow(), one.size, several=several)
    values = np.asarray(one)
    values = values[..., None] if values.ndim == 2 else values
    return Picture(values, one.size, 1, values.shape[2] in (2, 4), 16, several=several)


def _deep_avif(content: bytes) -> int:
    """Return how many bits an AVIF has if it has more than 8, of which Pillow keeps 8; else 0."""
    at = content.find(b"av1C") + 4  # the header of AV1, whose third byte has the depth
    flags = content[at + 2] if at > 4 and at + 2 < len(content) else 0
    return (12 if flags & 0x20 else 10) if flags & 0x40 else 0


def _pillow(
    image: Any, content: bytes, several: bool, extent: tuple[float, float] | None = None
) -> Picture:
    """Return an opened image, at the depth of its file."""
    tiles = getattr(image, "tile", None)  # absent if another library has made the image
    raw = tiles[0][3] if tiles else ""
    avif_bits = _deep_avif(content) if image.format == "AVIF" and not several else 0
    if avif_bits or (image.format == "PNG" and ";16" in str(raw)):
        import imagecodecs

        decode = imagecodecs.avif_decode if avif_bits else imagecodecs.png_decode
        values = decode(content)
        values = values[..., None] if values.ndim == 2 else values
        image.load()  # the orientation may come after the pixels
        turn = _orientation(image)
        alpha, bits = values.shape[2] in (2, 4), avif_bits or 16
        return Picture(values, image.size, turn, alpha, bits, several=several)
    if image.format == "PPM" and image.mode == "RGB" and isinstance(raw, tuple) and raw[1] > 255:
        return _deep_ppm(image, content, int(raw[1]))
    image.load()
    turn = _orientation(image)
    if image.mode.startswith(("I", "F")):
        values = np.asarray(image)
        if image.format == "PPM" and values.dtype.kind == "i":
            values = values.astype(np.uint16)  # which Pillow has scaled
        bits = values.dtype.itemsize * 8
        return Picture(values[..., None], image.size, turn, bits=bits, several=several)
    return Picture(image, extent or image.size, turn, several=several)


def picture_of(image: Image.Image) -> Picture:
    """Return an image of Pillow's as a picture, with the depth that Pillow gave it.

    Raises:
        Exception: it is read from its file now, and the file cannot be read.
    """
    image.load()  # from here on, nothing refers to its file
    if image.mode == "I" and image.format == "PNG":  # 16 bits, in Pillow before version 11
        values = np.asarray(image).astype(np.uint16)[..., None]
        return Picture(values, image.size, _orientation(image), bits=16)
    return _pillow(image, b"", several=False)


_MAY_TURN = re.compile("exif|xmp|XML", re.IGNORECASE)


def _orientation(image: Image.Image) -> int:
    if image.format != "TIFF" and not _MAY_TURN.search(" ".join(map(str, image.info))):
        return 1  # without parsing what is not there, which takes longer than a small image
    found = image.getexif().get(_ORIENTATION, 1)
    return found if isinstance(found, int) else 1


def _deep_ppm(image: Any, content: bytes, white: int) -> Picture:
    """Return colours of more than 8 bits, of which Pillow keeps 8."""
    if not content.startswith(b"P6"):
        raise ValueError("a PPM of more than 8 bits as text: save it as PNG or TIFF")
    (width, height), offset = image.size, image.tile[0][2]
    values = np.frombuffer(content, ">u2", width * height * 3, offset).reshape(height, width, 3)
    return Picture(np.rint(values * (65_535 / white)).astype(np.uint16), image.size, bits=16)


@contextmanager
def _tiff_file(content: bytes) -> Iterator[Any]:
    import tifffile

    # Its remarks on odd files would reach the terminal.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        yield file


def _series(file: Any) -> list[Any]:
    """Return the series of a TIFF, each of one or more pictures, without its small previews."""
    found = [one for one in file.series if not one.keyframe.is_reduced]
    return found or list(file.series)


def _stack(series: Any) -> tuple[int, bool]:
    """Return how many pictures a series has, and whether pages are channels of one picture."""
    sides = zip(series.axes, series.shape, strict=True)
    return math.prod(length for axis, length in sides if axis not in "YXSC"), "C" in series.axes


def _tiff(content: bytes, page: int, most_pixels: int) -> Picture:
    with _tiff_file(content) as file:
        series = _series(file)
        several = sum(_stack(one)[0] for one in series) > 1
        for one in series:
            pages, split_by_channel = _stack(one)
            if page < pages:
                break
            page -= pages
        else:
            raise ValueError("the file has fewer pages")
        first = one.keyframe
        _check_sides((first.imagewidth, first.imagelength), most_pixels)
        if int(first.compression) not in _COMPRESSIONS:
            raise ValueError(
                f"a TIFF with compression {int(first.compression)}: save it with LZW or deflate"
            )
        if not split_by_channel and _is_for_pillow(first) and len(one.pages) == pages:
            index = one.pages[page].index
            with Image.open(io.BytesIO(content), formats=("TIFF",)) as image:
                image.seek(index)
                return _pillow(image, content, several)
        values = _tiff_values(one, page, pages, len(content))
        return _tiff_picture(first, values, several)


def _is_for_pillow(first: Any) -> bool:
    """Return whether Pillow reads a page of a TIFF without loss."""
    photometric = int(first.photometric)
    return (
        photometric in _PILLOW_PHOTOMETRIC
        and int(first.sampleformat) == 1
        and first.bitspersample in (1, 2, 4, 8)
        and first.samplesperpixel <= _PILLOW_SAMPLES[photometric]
        and all(int(one) in (1, 2) for one in first.extrasamples)
        and first.imagedepth == 1
    )


def _tiff_values(series: Any, page: int, pages: int, size: int) -> NDArray[Any]:
    """Return a picture of a series as (H, W, C), reading no more than it needs."""
    axes = series.axes
    if len(series.pages) == pages > 1:
        values, axes, leading = series.pages[page].asarray(), series.keyframe.axes, 0
    else:
        _check_stack(series, size)
        values = series.asarray()
        leading = page
    channels = [at for at, axis in enumerate(axes) if axis in "SC"]
    sides = [axes.index("Y"), axes.index("X")]
    others = [at for at in range(len(axes)) if at not in (*channels, *sides)]
    values = values.transpose(*others, *sides, *channels)
    height, width, *bands = values.shape[len(others) :]
    found: NDArray[Any] = values.reshape(-1, height, width, math.prod(bands))[leading]
    return found


def _check_stack(series: Any, size: int) -> None:
    """Refuse a stack that unpacks to far more than the file has.

    Raises:
        ValueError: it does.
    """
    needed = math.prod(series.shape) * series.dtype.itemsize
    if needed > max(1000 * size, 2**28):
        raise ValueError(f"a stack {series.shape} that unpacks to {needed / 2**30:,.1f} GiB")


def _tiff_picture(first: Any, values: NDArray[Any], several: bool) -> Picture:
    alpha = any(int(one) in (1, 2) for one in first.extrasamples[-1:])
    colours = {2: 3}.get(int(first.photometric), 1)
    alpha = alpha and values.shape[2] == colours + 1
    tag = first.tags.get(_ORIENTATION)
    orientation = int(tag.value) if tag is not None else 1
    if int(first.photometric) not in (0, 1, 2, 32844):
        raise ValueError(
            f"a TIFF of {values.dtype.name} with colours of the kind "
            f"{getattr(first.photometric, 'name', first.photometric)}: save it as RGB"
        )
    bits = first.bitspersample if values.dtype.kind == "u" else values.dtype.itemsize * 8
    bits = bits if isinstance(bits, int) else values.dtype.itemsize * 8
    inverted = int(first.photometric) == 0
    return Picture(values, values.shape[1::-1], orientation, alpha, bits, inverted, several)


LYING = (5, 6, 7, 8)
"""The orientations that exchange width and height."""
_TURNS: dict[int, Callable[[NDArray[Any]], NDArray[Any]]] = {
    2: np.fliplr,
    3: lambda values: np.rot90(values, 2),
    4: np.flipud,
    5: lambda values: values.transpose(1, 0, 2),
    6: lambda values: np.rot90(values, -1),
    7: lambda values: np.rot90(values.transpose(1, 0, 2), 2),
    8: np.rot90,
}


def upright(values: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Return numbers (H, W, C) turned as EXIF's orientation says."""
    turn = _TURNS.get(orientation)
    return values if turn is None else turn(values)
