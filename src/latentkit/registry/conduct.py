"""Observe a plugin while it is loaded: the time it takes, and whether it prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

SLOW = 2.0
"""Load time, in seconds, from which a plugin is reported as slow."""


@dataclass
class Conduct:
    """Observed side effects of loading a plugin.

    Args:
        seconds: time for its import and its hooks together.
        printed: whether it wrote to stdout.
    """

    seconds: float = 0.0
    printed: bool = False

    @property
    def slow(self) -> bool:
        """Whether the plugin delays every command enough for the user to be told."""
        return self.seconds >= SLOW

    def remarks(self) -> list[str]:
        """Return a line for each problem that the plugin's author should fix."""
        lines = []
        if self.slow:
            lines.append(f"took {self.seconds:.1f} s to load")
        if self.printed:
            lines.append("wrote to stdout while loading; the text was sent to stderr")
        return lines


@contextmanager
def observed() -> Iterator[Conduct]:
    """Observe plugin code in the block; send its output to stderr, because stdout is the result."""
    conduct = Conduct()
    out = _Diverted(sys.stderr)
    started = time.perf_counter()
    try:
        with redirect_stdout(out):
            yield conduct
    finally:
        conduct.seconds = time.perf_counter() - started
        conduct.printed = out.used


class _Diverted:
    """A replacement for stdout that writes to stderr and records whether it was used."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.used = False

    def write(self, text: str) -> int:
        """Write to stderr."""
        self.used = True
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
