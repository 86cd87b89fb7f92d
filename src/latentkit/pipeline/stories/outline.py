"""The contents of a multi-run report, as its file states them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from latentkit.errors import UserError
from latentkit.plugin.options import Options
from latentkit.registry.targets import validate


class Chapter(Options):
    """A section of the page.

    A figure is given as ``SOURCE/NAME`` and a table as ``SOURCE/TITLE``. The source is the folder
    of a run, a transfer or a study below the root. A ``*`` in the name selects every name that
    matches. With a ``?`` at the end, a missing name is no error. ``Summary`` is a table, too.
    """

    title: str = Field("", min_length=1, description="Heading of the section.")
    text: str = Field("", description="Text below the title; an empty line starts a paragraph.")
    commands: tuple[str, ...] = Field((), description="Commands to show.")
    tables: tuple[str, ...] = Field((), description="SOURCE/TITLE of each table.")
    compare: tuple[str, ...] = Field((), description="Sources to compare with the first.")
    header: tuple[str, ...] = Field((), description="Column names of an extra table.")
    rows: tuple[tuple[str, ...], ...] = Field((), description="Rows of the extra table.")
    figures: tuple[str, ...] = Field((), description="SOURCE/NAME of each figure.")


class Story(Options):
    """A multi-run report: a page composed from several sources."""

    title: str = Field("", min_length=1, description="Title of the page.")
    subtitle: str = Field("", description="Line below the title.")
    chapters: tuple[Chapter, ...] = Field((), min_length=1, description="Sections, in order.")


def read_story(document: Mapping[str, Any]) -> Story:
    """Validate and return a multi-run report.

    Args:
        document: ``title``, ``subtitle``, and a list of tables ``chapter``.

    Raises:
        UserError: a key is unknown or missing, or a value has the wrong type.
    """
    chapters = document.get("chapter", [])
    if not isinstance(chapters, list) or not all(isinstance(one, Mapping) for one in chapters):
        raise UserError("report file: chapter must be a list of tables, written as [[chapter]]")
    if not chapters:
        raise UserError("report file: it has no [[chapter]]; add one or more")
    head = {key: value for key, value in document.items() if key != "chapter"}
    read = tuple(
        validate(Chapter, one, f"report file: chapter {number} ({one.get('title', 'no title')})")
        for number, one in enumerate(chapters, 1)
    )
    return validate(Story, {**head, "chapters": read}, "report file")
