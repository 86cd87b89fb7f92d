"""``report.html``: one page that opens from disk and needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

import jinja2


@dataclass(frozen=True)
class Picture:
    """A figure on the page: its title, a sentence below it, and the PNG's bytes."""

    title: str
    caption: str
    png: bytes

    @property
    def data_url(self) -> str:
        """The picture itself, as a page without sibling files needs it."""
        return f"data:image/png;base64,{base64.b64encode(self.png).decode()}"


@dataclass(frozen=True)
class Table:
    """Rows of text below a title; the first column names the row."""

    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]


def render_page(
    title: str,
    subtitle: str,
    tables: Sequence[Table],
    pictures: Sequence[Picture],
    config_toml: str,
    repeat_command: str,
) -> str:
    """Return the page as HTML; every text in it is escaped."""
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    return environment.from_string(source).render(
        title=title,
        subtitle=subtitle,
        tables=tables,
        pictures=pictures,
        config_toml=config_toml,
        repeat_command=repeat_command,
    )
