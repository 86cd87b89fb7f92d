"""Progress on stderr: a live display on a terminal, one plain line per epoch elsewhere.

Only one object draws at a time; all other code only sends events.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from latentkit.cli.live_display import LiveDisplay
from latentkit.cli.plain_display import PlainDisplay, warnings_only
from latentkit.plugin.events import Listener


@contextmanager
def progress_display(quiet: bool = False) -> Iterator[Listener]:
    """Show the progress of a run until the block ends.

    Args:
        quiet: show only warnings.
    """
    if quiet:
        yield warnings_only
    elif is_live():
        with LiveDisplay() as display:
            yield display
    else:
        yield PlainDisplay()


def is_live() -> bool:
    """Return whether stderr is a terminal that allows lines to be redrawn."""
    off = any(os.environ.get(name) for name in ("NO_COLOR", "CI"))
    return sys.stderr.isatty() and not off and os.environ.get("TERM") != "dumb"
