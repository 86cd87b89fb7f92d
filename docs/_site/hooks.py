"""Hooks of MkDocs: pages from outside docs/, and links as the repository has them.

The pages link each other as files of a repository do: ``../examples/README.md`` from a page of
docs/, and ``../../docs/plugins.md`` from the README of a plugin. The site has the files of docs/ at
its root, so links between the two are changed. A link to a file that is no page of the site leads
to the address ``extra.repository`` of ``mkdocs.yml``. Nested lists and tables are read as on
pages of repositories, too.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

from markdown import Extension, Markdown
from markdown.preprocessors import Preprocessor
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
_OUTSIDE = (
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "examples/**/README.md",
    "plugins/*/README.md",
    "plugins/*/docs/*.png",
)
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)\s#]+)(?=[)#])")


def _outside() -> list[str]:
    """Return what the site shows of files outside docs/, as paths of the repository."""
    found = {path for pattern in _OUTSIDE for path in ROOT.glob(pattern)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


class _RepositoryMarkdown(Preprocessor):
    """Nests lists by four spaces, and takes the backslash from pipes in the code of a table."""

    def run(self, lines: list[str]) -> list[str]:
        return [self._changed(line) for line in lines]

    def _changed(self, line: str) -> str:
        if line.startswith("|"):
            return re.sub(r"`[^`]+`", lambda code: code[0].replace("\\|", "|"), line)
        return re.sub(r"^ {2,3}(?=- )", "    ", line)


class _Extension(Extension):
    """Reads Markdown last, when fenced code is already out of the text."""

    def extendMarkdown(self, md: Markdown) -> None:  # noqa: N802
        md.preprocessors.register(_RepositoryMarkdown(md), "repository_markdown", 0)


def on_config(config: MkDocsConfig) -> None:
    """Add a page for each plugin and for each decision, so that nobody has to list them."""
    config.markdown_extensions.append(_Extension())
    plugins = [path for path in _outside() if re.fullmatch(r"plugins/[^/]+/README\.md", path)]
    decisions = sorted((ROOT / "docs/decisions").glob("[0-9]*.md"))
    pages = ["decisions/README.md", *(f"decisions/{path.name}" for path in decisions)]
    config.nav = [*(config.nav or []), {"Plugins": plugins}, {"Decisions": pages}]


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Add the files from outside docs/."""
    for path in _outside():
        files.append(File(path, str(ROOT), config.site_dir, config.use_directory_urls))


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Return the page with links that are right in the site."""
    shown = {
        Path(file.abs_src_path): file.src_uri
        for file in files
        if file.abs_src_path and file.inclusion.is_included()
    }
    folder = Path(page.file.abs_src_path or "").parent

    def replace(link: re.Match[str]) -> str:
        target = (folder / link[1]).resolve()
        if not (target.exists() and target.is_relative_to(ROOT)):
            return link[0]  # MkDocs says what is wrong with it
        uri = shown.get(target) or shown.get(target / "README.md")
        if uri:
            return posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        kind = "tree" if target.is_dir() else "blob"
        return f"{config.extra['repository']}/{kind}/main/{target.relative_to(ROOT).as_posix()}"

    return _LINK.sub(replace, markdown)
