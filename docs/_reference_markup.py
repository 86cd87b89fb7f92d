"""Markdown from docstrings and records, for the generated reference."""

from __future__ import annotations

import inspect
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import PurePath
from typing import Any

_LINE = 100
_PATH = re.compile(r"\b(?:\w+\.)?Path_\b")  # an alias in the source


@dataclass
class Docstring:
    """A Google-style docstring as Markdown.

    Args:
        text: everything except the sections below.
        arguments: the meaning of each argument or field.
        outcomes: the return value and the errors raised.
    """

    text: str = ""
    arguments: dict[str, str] = field(default_factory=dict)
    outcomes: str = ""

    @property
    def argument_list(self) -> str:
        """Arguments as a Markdown list."""
        return "\n".join(f"- `{name}`: {meaning}" for name, meaning in self.arguments.items())


def parse_docstring(raw: str | None) -> Docstring:
    """Parse a docstring; ``word::`` and ``Example:`` before an indented block make it Python."""
    parsed, lines = Docstring(), inspect.cleandoc(raw or "").replace("``", "`").splitlines()
    text: list[str] = []
    outcomes: list[str] = []
    while lines:
        line = lines.pop(0)
        if line == "Args:":
            parsed.arguments = dict(_items(_indented(lines)))
        elif line == "Attributes:":
            text += [f"- `{name}`: {meaning}" for name, meaning in _items(_indented(lines))]
        elif line == "Returns:":
            outcomes.append(f"- returns {' '.join(_indented(lines))}")
        elif line == "Raises:":
            outcomes += [f"- raises `{k}`: {v}" for k, v in _items(_indented(lines))]
        elif line == "Example:":
            text += [line, "", "```pycon", *_indented(lines), "```", ""]
        elif line.endswith("::"):
            text += [line[:-1], "", *_python(_indented(lines)), ""]
        else:
            text.append(line)
    parsed.text, parsed.outcomes = "\n".join(text).strip(), "\n".join(outcomes)
    return parsed


def _indented(lines: list[str]) -> list[str]:
    """Remove the indented block at the front of ``lines`` and return it."""
    block = []
    while lines and (not lines[0].strip() or lines[0].startswith("    ")):
        block.append(lines.pop(0))
    return textwrap.dedent("\n".join(block)).strip().splitlines()


def _python(block: list[str]) -> list[str]:
    # Markdown formatters want two blank lines before a function; a docstring has one.
    source = re.sub(r"\n\n+(?=@|def |class )", "\n\n\n", "\n".join(block))
    return ["```python", *source.splitlines(), "```"]


def _items(block: list[str]) -> Iterator[tuple[str, str]]:
    """Yield name and meaning of each ``name: meaning``; continuation lines are indented."""
    name, meaning = "", list[str]()
    for line in block:
        if line.startswith(" ") and name:
            meaning.append(line.strip())
            continue
        if name:
            yield name, " ".join(meaning)
        name, _, first = line.partition(": ")
        meaning = [first]
    if name:
        yield name, " ".join(meaning)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; empty columns are left out."""
    kept = [at for at in range(len(header)) if any(row[at] for row in rows)]
    lines = [header, ["---"] * len(header), *rows]
    cells = [[line[at].replace("|", "\\|") for at in kept] for line in lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def code(text: object) -> str:
    """Return ``text`` as code, or an empty string for empty text."""
    return f"`{text}`" if text not in ("", None) else ""


def signature(name: str, function: Callable[..., Any]) -> str:
    """Return a signature as in the source, without ``self``; if it is long, a line an argument."""
    found = inspect.signature(function)
    shown, starred = [], False
    for parameter in found.parameters.values():
        if parameter.name == "self":
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        starred = starred or stars == "*"
        annotation = _PATH.sub("str | PathLike[str]", str(parameter.annotation))
        shown.append(f"{stars}{parameter.name}: {annotation}{_default(parameter)}")
    line = f"{name}({', '.join(shown)}) -> {found.return_annotation}"
    if len(line) <= _LINE:
        return line
    return "\n".join([f"{name}(", *(f"    {one}," for one in shown), line[line.rindex(") -> ") :]])


def _default(parameter: inspect.Parameter) -> str:
    value = parameter.default
    if value is parameter.empty:
        return ""
    if isinstance(value, PurePath):
        value = str(value)
    named = isinstance(value, type) or inspect.isfunction(value)
    return f" = {value.__module__}.{value.__name__}" if named else f" = {value!r}"


def fields_table(record: type[Any], arguments: dict[str, str], base: type[Any] = object) -> str:
    """Return the table of a dataclass's fields that ``base`` lacks; empty if there are none."""
    rows = []
    for item in fields(record):
        if item.name in getattr(base, "__dataclass_fields__", ()) or item.name[0] == "_":
            continue
        factory = item.default_factory
        default = item.default if factory is MISSING else factory()
        shown = "" if default is MISSING else code(repr(default))
        rows.append((code(item.name), code(item.type), shown, arguments.get(item.name, "")))
    return table(("field", "type", "default", "meaning"), rows) if rows else ""
