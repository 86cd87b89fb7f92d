"""HTML pages such as ``report.html``: each is a single file that needs no network and no server."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import jinja2

from latentkit.report.parts import Picture, Section, Table

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
