"""How a plugin behaves as it is loaded: the time it takes, and whether it prints."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, TextIO

SLOW = 2.0
"""Seconds from which a plugin is named for the time it takes."""


@dataclass
class Conduct:
    """What was seen of a plugin while it was loaded.

    Args:
        seconds: of its import and its hooks together.
        printed: whether it wrote to stdout.
    """

    seconds: float = 0.0
    printed: bool = False

    @property
    def slow(self) -> bool:
        """Whether every command waits for the plugin so long that its user should know."""
        return self.seconds >= SLOW

    def remarks(self) -> list[str]:
        """Return a line for each thing that its author should mend."""
        lines = []
        if self.slow:
            lines.append(f"took {self.seconds:.1f} s to load")
        if self.printed:
            lines.append("wrote to stdout while it was loaded, which went to stderr")
        return lines


@contextmanager
def observed() -> Iterator[Conduct]:
    """Watch plugin code in the block; what it prints goes to stderr, for stdout is the result."""
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
    """Stands in for stdout, is stderr, and knows whether it was written to."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.used = False

    def write(self, text: str) -> int:
        """Write to stderr."""
        self.used = True
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
