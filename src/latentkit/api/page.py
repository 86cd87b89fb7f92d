"""Multi-run reports in one call."""

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
    """Write a multi-run report on runs, transfers and studies as one HTML page.

    The page contains its pictures. It loads no other files and runs no scripts.

    Args:
        story: a TOML file, or its content: ``title``, ``subtitle`` and a list ``chapter`` of
            tables with ``title``, ``text``, ``commands``, ``figures``, ``tables``, ``compare``,
            and ``header`` and ``rows`` of an extra table.
        root: the folder that contains the sources.
        out: path of the page; by default the TOML file's name with ``.html``, in ``root``.

    Returns:
        The path of the page.

    Raises:
        latentkit.errors.UserError: the report file has an error, or a source does not exist.

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
