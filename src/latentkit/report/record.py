"""``report.json``: the content of a page as data, from which other pages are composed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from latentkit.report.parts import Section, Table

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
                    {"name": one.key, "title": one.title, "caption": one.caption}
                    for one in section.pictures
                ],
            }
            for section in sections
        ],
    }


def recorded_tables(record: Mapping[str, Any]) -> dict[str, Table]:
    """Return the tables of a page by title; a table without a title has that of its section."""
    return {
        table["title"] or section["title"]: Table(table["title"], table["header"], table["rows"])
        for section in record["sections"]
        for table in section["tables"]
    }


def recorded_figures(record: Mapping[str, Any]) -> dict[str, tuple[str, str]]:
    """Return the title and caption of each figure of a page, by file name."""
    return {
        figure["name"]: (figure["title"], figure["caption"])
        for section in record["sections"]
        for figure in section["figures"]
    }
