"""What a story consists of, as its file says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from latentkit.errors import UserError
from latentkit.plugin.options import Options
from latentkit.registry.targets import validate


class Chapter(Options):
    """A section of the page.

    A figure is ``SOURCE/NAME`` and a table ``SOURCE/TITLE``, where the source is the folder of a
    run, a transfer or a study below the root; ``*`` in the name takes all that fit, and ``?`` at
    its end leaves out what is not there. ``Summary`` is a table too.
    """

    title: str = Field("", min_length=1, description="Above it.")
    text: str = Field("", description="Below the title; an empty line begins a paragraph.")
    commands: tuple[str, ...] = Field((), description="Shown as what makes it.")
    tables: tuple[str, ...] = Field((), description="SOURCE/TITLE of each table.")
    compare: tuple[str, ...] = Field((), description="Sources that are compared with the first.")
    header: tuple[str, ...] = Field((), description="Of a table of its own.")
    rows: tuple[tuple[str, ...], ...] = Field((), description="Of a table of its own.")
    figures: tuple[str, ...] = Field((), description="SOURCE/NAME of each figure.")


class Story(Options):
    """A page out of many sources."""

    title: str = Field("", min_length=1, description="Of the page.")
    subtitle: str = Field("", description="Below it.")
    chapters: tuple[Chapter, ...] = Field((), min_length=1, description="In order.")


def read_story(document: Mapping[str, Any]) -> Story:
    """Return a story that is validated.

    Args:
        document: ``title``, ``subtitle``, and a list of tables ``chapter``.

    Raises:
        UserError: a key is unknown or missing, or a value has the wrong type.
    """
    chapters = document.get("chapter", [])
    if not isinstance(chapters, list) or not all(isinstance(one, Mapping) for one in chapters):
        raise UserError("story: chapter must be a list of tables, written as [[chapter]]")
    if not chapters:
        raise UserError("story: it has no [[chapter]]")
    head = {key: value for key, value in document.items() if key != "chapter"}
    read = tuple(
        validate(Chapter, one, f"story: chapter {number} ({one.get('title', 'no title')})")
        for number, one in enumerate(chapters, 1)
    )
    return validate(Story, {**head, "chapters": read}, "story")
