"""Text for terminals: names shown without control characters, commands quoted for the shell."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

_UNPRINTABLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # control characters other than tab and end of line
    "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"  # they reorder or break lines
    "\ud800-\udfff]"  # parts of file names that are no text
)


def printable(text: str) -> str:
    r"""Return text that a terminal only shows: control characters become ``\x1b`` and such.

    Names in a file from a stranger may contain sequences that a terminal obeys.
    """
    return _UNPRINTABLE.sub(lambda found: _escaped(found[0]), text)


def in_one_line(text: str) -> str:
    r"""Return text as `printable`, with ``\x0a`` and ``\x09`` for end of line and tab.

    A name in a row of a table cannot look like a further row, then.
    """
    return printable(text).replace("\n", "\\x0a").replace("\t", "\\x09")


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def shell_command(*words: str | os.PathLike[str]) -> str:
    """Return ``latentkit WORDS`` quoted so that a shell takes each word as it is."""
    texts = ["latentkit", *(os.fspath(word) for word in words)]
    return subprocess.list2cmdline(texts) if sys.platform == "win32" else shlex.join(texts)
