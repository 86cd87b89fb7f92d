"""The command line's progress display, for use from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager

from latentkit.cli.display import progress_display
from latentkit.cli.plain_display import warnings_only
from latentkit.cli.study_display import study_display
from latentkit.plugin.events import Event, Listener, Notice, StudyStarted

Display = Callable[[], AbstractContextManager[Listener]]


@contextmanager
def progress(*, quiet: bool = False) -> Iterator[Listener]:
    """Show the progress of `run`, `embed`, `transfer`, `tune` etc. on stderr, as the commands do.

    On a terminal, a live display shows stages, bars, losses and the time left, or for a study the
    table of its trials. Elsewhere, e.g. in a notebook, each epoch, stage or trial prints one line.

    Args:
        quiet: show only warnings.

    Returns:
        A context manager that gives a listener. Pass it as ``listener`` to one call after the
        other. Only one display can be live at a time.

    Raises:
        rich.errors.LiveError: another live display of rich is active.

    Example:
        >>> import latentkit as lk
        >>> with lk.progress() as listener:
        ...     run = lk.run(epochs=1, listener=listener)
        >>> run.status
        'finished'
    """
    with ExitStack() as displays:
        yield warnings_only if quiet else _Chooser(displays)


class _Chooser:
    """A listener that opens the display of a study or of a run, as events require."""

    def __init__(self, displays: ExitStack) -> None:
        self._displays = displays
        self._early: list[Event] = []
        self._show: Listener | None = None
        displays.callback(self._tell_rest)

    def __call__(self, event: Event) -> None:
        """Show an event; early notices wait until a run or a study starts."""
        if self._show is not None:
            self._show(event)
            return
        self._early.append(event)
        if not isinstance(event, Notice):
            self._open(study_display if isinstance(event, StudyStarted) else progress_display)

    def _open(self, display: Display) -> None:
        self._show = self._displays.enter_context(display())
        for event in self._early:
            self._show(event)

    def _tell_rest(self) -> None:
        """Show early notices if no run or study started."""
        if self._show is None:
            for event in self._early:
                warnings_only(event)
