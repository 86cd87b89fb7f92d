"""The display of the command line, for those who call latentkit from Python."""

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
    """Show on stderr what `run`, `embed`, `transfer`, `tune` and the like do, as the commands do.

    On a terminal stages, bars, losses and the time to go are drawn over themselves, of a study the
    table of its trials; elsewhere, in a notebook too, there is a line an epoch, a stage or a trial.

    Args:
        quiet: show warnings alone.

    Returns:
        A context; inside, what it gives goes to ``listener`` of whatever is called, one after the
        other. Only one display can be live at a time.

    Raises:
        rich.errors.LiveError: there is a live display of rich already.

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
    """Opens the display of what is done: a study's or a run's."""

    def __init__(self, displays: ExitStack) -> None:
        self._displays = displays
        self._early: list[Event] = []
        self._show: Listener | None = None
        displays.callback(self._tell_rest)

    def __call__(self, event: Event) -> None:
        """Show what an event says; notices wait until it is known what begins."""
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
        """Show the notices after which nothing began."""
        if self._show is None:
            for event in self._early:
                warnings_only(event)
