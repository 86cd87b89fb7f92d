"""HTML pages such as ``report.html``: each is a single file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.resources import files
from typing import Any

import jinja2
from PIL import Image, ImageChops, ImageStat

from latentkit.errors import IntegrityError, describe_error

_CSS_DPI = 96  # CSS pixels per inch
_COLOURS = 256
_MOST_PIXELS = 40_000_000  # a figure may come from a stranger; one at 300 dpi has 10 million
_UNREADABLE = (OSError, SyntaxError, ValueError, ArithmeticError, EOFError)  # of a damaged PNG
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
        """Width and height in CSS pixels; raises `IntegrityError` as `compact`."""
        with self._opened() as image:
            dpi = image.info.get("dpi", (_CSS_DPI, _CSS_DPI))[0] or _CSS_DPI
            width, height = (max(1, round(side * _CSS_DPI / dpi)) for side in image.size)
        return width, height

    def compact(self) -> Picture:
        """Return the picture in 256 colours if that is smaller and the difference is invisible.

        Raises:
            IntegrityError: it is not a PNG that can be read, or has more than 40 million pixels.
        """
        with self._opened() as image:
            colours = image.convert("RGB")
            few = colours.quantize(_COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
            difference = ImageChops.difference(colours, few.convert("RGB"))
            buffer = io.BytesIO()
            few.save(buffer, "PNG", compress_level=_EFFORT, dpi=image.info.get("dpi"))
        seen = max(ImageStat.Stat(difference).mean) > _UNSEEN
        return (
            self if seen or buffer.tell() >= len(self.png) else replace(self, png=buffer.getvalue())
        )

    @contextmanager
    def _opened(self) -> Iterator[Image.Image]:
        name = f"figure {self.key or self.title!r}"
        try:
            with warnings.catch_warnings(category=Image.DecompressionBombWarning, action="ignore"):
                image = Image.open(io.BytesIO(self.png), formats=["PNG"])
        except Image.DecompressionBombError as error:
            raise IntegrityError(f"{name} is too large to show: {error}") from error
        except _UNREADABLE as error:
            raise IntegrityError(
                f"{name} is not a PNG that can be read ({describe_error(error)}): draw it again"
            ) from error
        with image:
            if image.width * image.height > _MOST_PIXELS:
                raise IntegrityError(
                    f"{name} has {image.width:,} x {image.height:,} pixels, and a page shows up "
                    f"to {_MOST_PIXELS:,}: draw it again"
                )
            try:
                yield image
            except _UNREADABLE as error:
                raise IntegrityError(
                    f"{name} is damaged ({describe_error(error)}): draw it again"
                ) from error


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
        given = [cell for cell in cells if cell not in _NOTHING]
        return column > 0 and bool(given) and all(_NUMBER.fullmatch(cell) for cell in given)


@dataclass(frozen=True)
class Section:
    """A section of the page with an entry in its table of contents.

    Attributes:
        title: heading of the section.
        text: text below the heading; an empty line begins a new paragraph.
        tables: tables below the text and the commands.
        pictures: pictures below the tables.
        commands: commands that make the section's content, shown below the text.
        links: text and address of each link to another file, shown below the commands.
        key: its name in links, ``#section-KEY``; by default made from the title.
    """

    title: str
    text: str = ""
    tables: Sequence[Table] = ()
    pictures: Sequence[Picture] = ()
    commands: Sequence[str] = ()
    links: Sequence[tuple[str, str]] = ()
    key: str = ""

    @property
    def paragraphs(self) -> list[str]:
        """The text, split into paragraphs."""
        return [part.strip() for part in self.text.split("\n\n") if part.strip()]


RECORD = "report.json"


def page_record(title: str, sections: Sequence[Section]) -> dict[str, Any]:
    """Return a page as a JSON object that refers to pictures by their file names.

    Args:
        title: title of the page.
        sections: sections in the order of the page; the key of each picture is its file name.
    """
    return {
        "title": title,
        "sections": [
            {
                "title": section.title,
                "tables": [
                    {
                        "title": table.title,
                        "header": list(table.header),
                        "rows": [list(row) for row in table.rows],
                    }
                    for table in section.tables
                ],
                "figures": [
                    {
                        "name": one.key,
                        "title": one.title,
                        "caption": one.caption,
                        "sha256": hashlib.sha256(one.png).hexdigest(),
                    }
                    for one in section.pictures
                ],
            }
            for section in sections
        ],
    }


def recorded_tables(record: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables of a page by title; a table without a title has that of its section.

    Raises:
        TypeError, KeyError, AttributeError: the record has another structure.
    """
    return {
        _text(table["title"] or section["title"]): Table(
            _text(table["title"]), _texts(table["header"]), [_texts(row) for row in table["rows"]]
        )
        for section in record["sections"]
        for table in section["tables"]
    }


def recorded_figures(record: Mapping[str, Any]) -> dict[str, tuple[str, str, str]]:
    """Return title, caption and SHA-256 of each figure of a page, by file name.

    Early versions recorded no SHA-256; it is then empty.

    Raises:
        TypeError, KeyError, AttributeError: the record has another structure.
    """
    return {
        _text(figure["name"]): (
            _text(figure["title"]),
            _text(figure["caption"]),
            _text(figure.get("sha256", "")),
        )
        for section in record["sections"]
        for figure in section["figures"]
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} in place of text")
    return value


def _texts(value: Any) -> list[str]:
    if not isinstance(value, list):
        raise TypeError(f"{type(value).__name__} in place of a list")
    return [_text(one) for one in value]


_ROOM = 4_000_000  # bytes of pictures above which they are reduced to 256 colours

__all__ = ["Picture", "Section", "Table", "render_page"]


def render_page(
    *,
    title: str,
    subtitle: str,
    sections: Sequence[Section],
    config_toml: str = "",
    repeat_command: str = "",
    environment: Sequence[tuple[str, str]] = (),
    explorer: str = "",
) -> str:
    """Return the page as HTML.

    Every text is escaped. The page loads no resources and runs no scripts.

    Args:
        title: title of the page.
        subtitle: line below the title.
        sections: sections in the order of the page; the id of each is made from its key or title.
        config_toml: configuration, shown unchanged; with an empty string, the page has no
            configuration section.
        repeat_command: command that repeats the run.
        environment: names and values of the environment, such as versions; if empty, the page has
            no environment section.
        explorer: file name of the explorer page beside this one; if empty, there is no link to it.
    """
    if environment:
        table = Table("", (), [tuple(row) for row in environment])
        sections = [*sections, Section("Environment", tables=[table], key="environment")]
    style = _file("page.css")
    jinja = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return jinja.from_string(_file("page.html")).render(
        title=title,
        subtitle=subtitle,
        sections=_with_ids(sections),
        config_toml=config_toml,
        repeat_command=repeat_command,
        explorer=explorer,
        style=style,
        policy=_policy(style),
    )


def _policy(style: str) -> str:
    """Return a content security policy that allows only embedded pictures and this style sheet."""
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )


def _with_ids(sections: Sequence[Section]) -> list[dict[str, Any]]:
    """Return the sections for the template, with an id for each section and picture.

    If all pictures together exceed `_ROOM`, reduce their colours, so that the page can be mailed.
    """
    taken = {"section-configuration"}
    pictures = [picture for section in sections for picture in section.pictures]
    crowded = sum(len(picture.png) for picture in pictures) > _ROOM
    return [
        {
            "id": _id("section", section.key or section.title, taken),
            "title": section.title,
            "paragraphs": section.paragraphs,
            "commands": section.commands,
            "links": section.links,
            "tables": section.tables,
            "pictures": [
                (
                    _id("figure", picture.key or picture.title, taken),
                    picture.compact() if crowded else picture,
                )
                for picture in section.pictures
            ],
        }
        for section in sections
    ]


def _id(kind: str, name: str, taken: set[str]) -> str:
    """Return an id that is not in ``taken``, and add it there."""
    base = f"{kind}-{re.sub('[^a-z0-9]+', '-', name.lower()).strip('-') or 'part'}"
    number, unique = 1, base
    while unique in taken:
        number += 1
        unique = f"{base}-{number}"
    taken.add(unique)
    return unique


def _file(name: str) -> str:
    return files(__package__).joinpath(name).read_text(encoding="utf-8")
