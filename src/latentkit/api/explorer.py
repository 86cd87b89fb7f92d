"""The explorer: a run's latent space as one page that opens from disk, or in a notebook."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from latentkit.api.commands import resumed_run
from latentkit.api.inputs import Path_
from latentkit.api.run_handle import Run
from latentkit.atomic import write_bytes
from latentkit.errors import LatentkitError, UserError
from latentkit.explore.explorer_html import is_written_with, lacks_images
from latentkit.explore.explorer_page import PageContent, asset, explorer_page, page_content
from latentkit.explore.page_items import On
from latentkit.plugin.events import Listener, ignore
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.runs.packed import can_write

_SUFFIX = ".html"


def page(
    run: Run | Sequence[Run],
    *,
    on: On = "test",
    out: Path_ | None = None,
    again: bool = False,
    listener: Listener = ignore,
) -> Path:
    """Write the explorer page of a run, or one page of several runs on the same images.

    The page is one file that opens from disk and needs no network: the images, the run's maps, the
    true distances between latents, and the run's decoder.

    Args:
        run: a run, or several, whose items are those of the first.
        on: which images to show: ``test``, ``all``, or a number of them drawn from all. Maps show
            the points that they are fitted on, so they are fitted again for more than the test
            images, with the run's options.
        out: the file, whose name ends in ``.html``. By default ``explorer.html`` in the run's
            folder, if that is one run's test images, and otherwise a file in the working folder.
        again: write the page again even if the run has a current one.
        listener: called with events.

    Returns:
        The path of the page.

    Raises:
        latentkit.errors.UserError: the runs are on different images, there are fewer images than
            were asked for, or ``out`` has another ending.
        latentkit.errors.LatentkitError: a run has no latents yet, or a file cannot be written.

    Example:
        >>> import latentkit as lk
        >>> lk.explore.page(lk.open("last")).name
        'explorer.html'
        >>> lk.explore.page(lk.open("last"), on=500, out="some.html").name
        'some.html'
    """
    runs = [run] if isinstance(run, Run) else list(run)
    if not runs:
        raise UserError("no run is given: give one or more")
    if out is None and on == "test" and len(runs) == 1:
        if not again and (known := _current(runs[0])) is not None:
            return known
        if can_write(runs[0].path):
            return _written_by_run(runs[0], listener)
    path = Path(_name(runs, on)) if out is None else Path(out).expanduser()
    if path.suffix != _SUFFIX:
        raise UserError(f"{path} should end in {_SUFFIX}, so that browsers open it")
    write_bytes(path, explorer_page(content(runs, on)))
    return path


def content(runs: Sequence[Run], on: On = "test") -> PageContent:
    """Return what the explorer shows of runs; raises as `page`."""
    return page_content([run.page_source for run in runs], on)


def _current(run: Run) -> Path | None:
    """Return the page that a run has, if it was made from the latents and maps that it has now.

    A page with another script is not returned: it is of another version, or from a stranger, whose
    script the browser would run. A page without images is not returned if the caller says where
    they are.
    """
    folder = RunFolder.open(run.path)
    if run_files.EXPLORER not in folder.manifest.artefacts:
        return None
    try:
        page = folder.read(run_files.EXPLORER)
    except LatentkitError:  # it is missing, or was made from another file
        return None
    ours = is_written_with(page, asset("explorer.js"), asset("explorer.css"))
    if not ours or (run.given_data is not None and lacks_images(page)):
        return None
    return run.path / run_files.EXPLORER


def _written_by_run(run: Run, listener: Listener) -> Path:
    """Complete a run if it is unfinished, and let it write its page."""
    words = ("explore", "--no-open")
    written = resumed_run(
        run.path, run.given_data, listener, words, force=("explorer",), retry=False
    )
    return written.path / run_files.EXPLORER


def _name(runs: Sequence[Run], on: On) -> str:
    if len(runs) > 1:
        return run_files.EXPLORER
    return f"{runs[0].id}-explorer{_SUFFIX}" if on == "test" else f"{runs[0].id}-{on}{_SUFFIX}"
