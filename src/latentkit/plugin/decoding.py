"""Image files to arrays of one form, a block of files at a time, in several processes."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentkit import errors
from latentkit.plugin.downloads import Stat, stat_of
from latentkit.plugin.image_files import DecodedImage, ImageFile
from latentkit.plugin.image_sets import Form
from latentkit.plugin.machine import usable_cpus
from latentkit.trust import without_current_folder

T = TypeVar("T")

_SLOW = 3e-4  # seconds; decoding a slower file mostly leaves Python's lock to other threads
_FOR_THREADS = 0.25  # seconds of work from which threads help
_FOR_PROCESSES = 1.0  # seconds of work from which other processes help
_FOR_MANY_PROCESSES = 10.0  # seconds of work from which they help more than threads
_QUEUED = 2  # tasks that are sent to each process, so that none waits for the next


class Reads(Protocol):
    """What decodes a file, such as an `ImageReading`. It is pickled to other processes."""

    def read(self, file: ImageFile) -> DecodedImage:
        """Return an image; raises any exception if there is none."""


class FileFound(NamedTuple):
    """What was found of a file.

    Args:
        stat: its state when it was read.
        facts: as in `DecodedImage`.
        sha256: of its content; empty if it could not be read.
        why: the reason why it could not be read, else empty.
    """

    stat: Stat
    facts: tuple[str, ...] = ()
    sha256: str = ""
    why: str = ""


@dataclass
class Block:
    """A block of files: what is asked for, and what became of it.

    Args:
        start: row of the first image.
        files: the files.
        sha256: of the bytes of its images, once they are written; rows of unreadable files are
            zero.
        found: what was found of each file.
        forms: the forms that its images have, with the positions of these images.
    """

    start: int
    files: list[ImageFile]
    sha256: str = ""
    found: list[FileFound] = field(default_factory=list)
    forms: dict[Form, list[int]] = field(default_factory=dict)

    @property
    def rows(self) -> slice:
        """The rows of its images."""
        return slice(self.start, self.start + len(self.files))

    def __getstate__(self) -> tuple[Any, ...]:
        """Return the block for another process; text is sent faster than paths."""
        files = [(os.fspath(file.path), file.page) for file in self.files]
        return self.start, files, self.sha256, self.found, self.forms

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Take over what another process sent."""
        self.start, files, self.sha256, self.found, self.forms = state
        self.files = [ImageFile(path, page) for path, page in files]


Keep = Callable[[int, NDArray[Any]], None]
"""Receives the first row and the images of a block."""


def decode_block(block: Block, reading: Reads, form: Form, keep: Keep) -> Block:
    """Decode the files of a block and pass its images on, if they fit into a form.

    Returns:
        The block with its results. If its images need a larger form, nothing was passed on.
    """
    images: dict[int, NDArray[Any]] = {}
    block.found, block.forms = [], {}
    for position, file in enumerate(block.files):
        found, pixels = _decoded(file, reading)
        block.found.append(found)
        if pixels is not None:
            images[position] = pixels
            block.forms.setdefault(Form.of(pixels), []).append(position)
    if all(map(form.holds, block.forms)):
        array = np.zeros((len(block.files), *form.shape), form.dtype)
        for own, positions in block.forms.items():
            for position in positions:
                pixels = images[position]
                array[position] = pixels if own == form else form.fitted(pixels)
        block.sha256 = hashlib.sha256(array.data).hexdigest()
        keep(block.start, array)
    return block


def decode_for(block: Block, reading: Reads, form: Form, keep: Keep) -> Block:
    """Decode a block for a process that knows its files: the result has none, to be sent faster."""
    decode_block(block, reading, form, keep)
    return replace(block, files=[])


def _decoded(file: ImageFile, reading: Reads) -> tuple[FileFound, NDArray[Any] | None]:
    """Return what was found of a file, and its image if it can be read."""
    try:
        image = reading.read(file)
    except MemoryError:
        raise
    # Broken files make decoders raise exceptions of many types.
    except Exception as error:
        why = " ".join(str(error).split()) or type(error).__name__
        return FileFound(stat_of(file.path), why=why), None
    return FileFound(image.stat, image.facts, image.sha256), image.pixels


class FileOfImages:
    """Writes blocks into a file; it is pickled to other processes."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self, start: int, images: NDArray[Any]) -> None:
        """Write the images of a block, the first at row ``start``."""
        with open(self._path, "r+b", buffering=0) as file:  # noqa: PTH123
            file.seek(start * images[0].nbytes)
            remaining = images.data.cast("B")
            while remaining:
                remaining = remaining[file.write(remaining) :]


def in_processes(
    work: Callable[..., T], tasks: Iterable[tuple[Any, ...]], files: int, files_of_task: int
) -> Iterator[T]:
    """Yield the results of tasks in any order, from all processors if there is much to do.

    The first task shows how long a file takes. Threads help with slow files, whose decoders mostly
    leave Python's lock to others. Other processes help with any files, but need a second to start.

    Args:
        work: called with each task; it and the tasks are pickled.
        tasks: arguments.
        files: number of files that all tasks read.
        files_of_task: most files that a task reads.

    Raises:
        ResourceError: the system ended a process, probably because there is no memory left.
    """
    waiting = iter(tasks)
    started = time.perf_counter()
    for task in waiting:
        result = work(*task)
        seconds = (time.perf_counter() - started) / min(files, files_of_task)
        yield result
        break
    else:
        return
    total, slow = seconds * files, seconds > _SLOW
    if usable_cpus() == 1 or total < (_FOR_THREADS if slow else _FOR_PROCESSES):
        yield from (work(*task) for task in waiting)
    elif slow and total < _FOR_MANY_PROCESSES:
        yield from _in_threads(work, waiting)
    else:
        yield from _in_all_processes(work, waiting)


def _in_all_processes(work: Callable[..., T], tasks: Iterator[tuple[Any, ...]]) -> Iterator[T]:
    """Yield results from other processes, and from this one, which works meanwhile."""
    from joblib.externals.loky import get_reusable_executor
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    others = usable_cpus() - 1
    # They must not import from the current folder, which may be a stranger's.
    one_thread = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "MKL", "OPENBLAS")}
    executor = get_reusable_executor(others, env={**one_thread, **without_current_folder()})
    running: set[Future[T]] = set()
    try:
        for task in tasks:
            if len(running) < _QUEUED * others:
                running.add(executor.submit(work, *task))
            else:
                yield work(*task)
            done = {one for one in running if one.done()}
            running -= done
            yield from (one.result() for one in done)
        yield from (one.result() for one in as_completed(running))
    except TerminatedWorkerError as error:
        raise errors.ResourceError(
            "a process that decoded images was ended by the system, probably because the memory "
            "is full: close other programs and repeat the command, which continues from there"
        ) from error
    except BaseException:
        executor.shutdown(kill_workers=True)
        raise


def _in_threads(work: Callable[..., T], tasks: Iterable[tuple[Any, ...]]) -> Iterator[T]:
    # Decoders leave out warnings, each thread for itself: the filters they leave are mixed up.
    with warnings.catch_warnings(), ThreadPoolExecutor(usable_cpus()) as pool:
        waiting = [pool.submit(work, *task) for task in tasks]
        try:
            for done in as_completed(waiting):
                yield done.result()
        finally:
            for one in waiting:
                one.cancel()
