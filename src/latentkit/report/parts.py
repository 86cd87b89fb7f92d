"""What a page consists of: sections with their text, tables and pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, ImageStat

_CSS_DPI = 96  # pixels of CSS an inch
_COLOURS = 256
_UNSEEN = 0.5  # mean difference of a channel, of 255
_EFFORT = 7  # of zlib; 9 takes four times as long for a thirtieth of the bytes
_NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?( ?[%a-zA-Zµ]{1,4})?( ?(±|\[|\(|to |[–…]).*)?")
_NOTHING = ("", "-", "–", "—")


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        title: above it.
        caption: a sentence or two below it.
        png: its bytes; shown as large as its resolution says, where the page is wide enough.
        key: names it in links, as ``#figure-KEY``; made of the title unless given.
        alt: what it shows, in words; the title unless given.
    """

    title: str
    caption: str
    png: bytes
    key: str = ""
    alt: str = ""

    @property
    def data_url(self) -> str:
        """The picture itself, as a page without sibling files needs it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
            dpi = image.info.get("dpi", (_CSS_DPI, _CSS_DPI))[0]
            width, height = (max(1, round(side * _CSS_DPI / dpi)) for side in image.size)
        return width, height

    def compact(self) -> Picture:
        """Return the picture in 256 colours where that is smaller and cannot be seen."""
        with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
            colours = image.convert("RGB")
            few = colours.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            difference = ImageChops.difference(colours, few.convert("RGB"))
            buffer = io.BytesIO()
            few.save(buffer, "PNG", compress_level=_EFFORT, dpi=image.info.get("dpi"))
        seen = max(ImageStat.Stat(difference).mean) > _UNSEEN
        return (
            self if seen or buffer.tell() >= len(self.png) else replace(self, png=buffer.getvalue())
        )


@dataclass(frozen=True)
class Table:
    """Rows of text below a title; the first column names the row, numbers stand to the right."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_number(self, column: int) -> bool:
        """Whether every cell of a column is a number, with or without its unit and interval."""
        cells = [row[column] for row in self.rows if column < len(row)]
        told = [cell for cell in cells if cell not in _NOTHING]
        return column > 0 and bool(told) and all(_NUMBER.fullmatch(cell) for cell in told)


@dataclass(frozen=True)
class Section:
    """A part of the page with an entry in its table of contents.

    Attributes:
        title: of the part.
        text: above the tables; an empty line begins a paragraph.
        tables: come first.
        pictures: come below them.
        commands: what makes it, below the text.
        key: names it in links, as ``#section-KEY``; made of the title unless given.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()
    key: str = ""

    @property
    def paragraphs(self) -> list[str]:
        """The text in its paragraphs."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]
