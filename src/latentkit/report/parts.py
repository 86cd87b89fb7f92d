"""The parts of a page: sections with text, tables and pictures."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from PIL import Image, ImageChops, ImageStat

_CSS_DPI = 96  # CSS pixels per inch
_COLOURS = 256
_UNSEEN = 0.5  # mean difference of a channel, out of 255, that cannot be seen
_EFFORT = 7  # zlib level; level 9 takes four times as long and saves a thirtieth of the bytes
_NUMBER = re.compile(r"[-+−]?[\d.,]+(e[-+]?\d+)?( ?[%a-zA-Zµ]{1,4})?( ?(±|\[|\(|to |[–…]).*)?")
_NOTHING = ("", "-", "–", "—")


@dataclass(frozen=True)
class Picture:
    """A figure on the page.

    Attributes:
        title: heading above the picture.
        caption: a sentence or two below it.
        png: bytes of the PNG file; its resolution sets its size on a page that is wide enough.
        key: its name in links, ``#figure-KEY``; by default made from the title.
        alt: description for readers who cannot see it; by default the title.
    """

    title: str
    caption: str
    png: bytes
    key: str = ""
    alt: str = ""

    @property
    def data_url(self) -> str:
        """The picture as a data URL, so that the page needs no other file."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in CSS pixels."""
        with Image.open(io.BytesIO(self.png), formats=["PNG"]) as image:
            dpi = image.info.get("dpi", (_CSS_DPI, _CSS_DPI))[0]
            width, height = (max(1, round(side * _CSS_DPI / dpi)) for side in image.size)
        return width, height

    def compact(self) -> Picture:
        """Return the picture in 256 colours if that is smaller and the difference is invisible."""
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
    """A table of text with a title; its first column names the rows, numbers are right-aligned."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def is_number(self, column: int) -> bool:
        """Return whether all cells of a column are empty or numbers, with or without a unit.

        A number may also have an interval. The first column and empty columns are not numbers.
        """
        cells = [row[column] for row in self.rows if column < len(row)]
        told = [cell for cell in cells if cell not in _NOTHING]
        return column > 0 and bool(told) and all(_NUMBER.fullmatch(cell) for cell in told)


@dataclass(frozen=True)
class Section:
    """A section of the page with an entry in its table of contents.

    Attributes:
        title: heading of the section.
        text: text below the heading; an empty line begins a new paragraph.
        tables: tables below the text and the commands.
        pictures: pictures below the tables.
        commands: commands that make the section's content, shown below the text.
        key: its name in links, ``#section-KEY``; by default made from the title.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()
    key: str = ""

    @property
    def paragraphs(self) -> list[str]:
        """The text, split into paragraphs."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]
