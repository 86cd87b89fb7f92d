"""Generate docs/reference/ and the README's table of built-in parts from the source.

    python docs/generate_reference.py            writes all pages
    python docs/generate_reference.py --check    exits with 1 and names every stale page

Only parts of the distribution ``latentkit`` are described, so other installed plugins change
nothing.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from _reference_markup import table
from _reference_pages import (
    COMMAND,
    built_in_parts,
    cli_page,
    errors_page,
    events_page,
    hooks_page,
    options_page,
    python_page,
)

ROOT = Path(__file__).resolve().parents[1]
_TABLE_BEGIN = f"<!-- built-in parts: written by '{COMMAND}' -->"
_TABLE_END = "<!-- end of built-in parts -->"


def built_in_table() -> str:
    """Return the README's table of built-in parts."""
    rows = []
    for part in built_in_parts():
        kind, name = part.spec.kind, part.spec.name
        link = f"[`{name}`](docs/reference/options.md#{kind}-{name})"
        rows.append((kind, link, part.spec.summary))
    return table(("kind", "name", "what it does"), rows)


def readme(root: Path) -> str:
    """Return the README with a new table between its markers."""
    text = (root / "README.md").read_text(encoding="utf-8")
    before, begin, rest = text.partition(_TABLE_BEGIN)
    _, end, after = rest.partition(_TABLE_END)
    if not (begin and end):
        raise SystemExit(
            f"README.md lacks its markers {_TABLE_BEGIN} and {_TABLE_END}: restore them"
        )
    return f"{before}{begin}\n\n{built_in_table()}\n\n{end}{after}"


def pages(root: Path) -> dict[str, str]:
    """Return the content of every generated page, by path below ``root``."""
    return {
        "docs/reference/hooks.md": hooks_page(),
        "docs/reference/options.md": options_page(),
        "docs/reference/python.md": python_page(),
        "docs/reference/cli.md": cli_page(),
        "docs/reference/errors.md": errors_page(),
        "docs/reference/events.md": events_page(),
        "README.md": readme(root),
    }


def stale_pages(root: Path) -> list[str]:
    """Return the paths of the pages that differ from the source."""
    stale = []
    for path, content in pages(root).items():
        file = root / path
        if not file.exists() or file.read_text(encoding="utf-8") != content:
            stale.append(path)
    return stale


def write_pages(root: Path) -> None:
    """Write every page."""
    for path, content in pages(root).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content, encoding="utf-8")


def main() -> int:
    """Write the pages, or check them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="only name the stale pages")
    if not parser.parse_args().check:
        write_pages(ROOT)
        return 0
    stale = stale_pages(ROOT)
    for path in stale:
        print(f"{path} is stale: run '{COMMAND}'", file=sys.stderr)
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
