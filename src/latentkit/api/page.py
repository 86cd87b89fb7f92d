"""Pages in one call."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentkit.api.request import Path_, read_document
from latentkit.pipeline.stories.outline import read_story
from latentkit.pipeline.stories.page import write_story

_PAGE = "page"


def write_page(
    story: Path_ | Mapping[str, Any], *, root: Path_ = ".", out: Path_ | None = None
) -> Path:
    """Compose one page out of runs, transfers and studies, and return its path.

    The page holds its pictures, loads nothing and runs nothing.

    Args:
        story: a TOML file, or its content: ``title``, ``subtitle`` and a list ``chapter`` of
            tables with ``title``, ``text``, ``commands``, ``figures``, ``tables``, ``compare``,
            and ``header`` and ``rows`` of a table of its own.
        root: the folder below which its sources lie.
        out: of the page; that of the story's file in ``root`` where None.

    Returns:
        Where the page is.

    Raises:
        latentkit.errors.UserError: the story has a fault, or names what is not there.

    Example:
        >>> import latentkit as lk
        >>> story = {"title": "Digits", "chapter": [{"title": "Data", "text": "1,797 of them."}]}
        >>> lk.write_page(story).name
        'page.html'
    """
    document = read_document(story)
    name = _PAGE if isinstance(story, Mapping) else Path(story).stem
    path = Path(root) / f"{name}.html" if out is None else Path(out)
    write_story(read_story(document), Path(root), path)
    return path
