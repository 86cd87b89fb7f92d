"""Image files to arrays of one form, a block of files at a time, in several processes."""

from __future__ import annotations

import hashlib
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from latentkit import errors
from latentkit.plugin.image_files import DecodedImage, ImageFile
from latentkit.plugin.image_sets import Form
from latentkit.plugin.machine import usable_cpus
from latentkit.trust import without_current_folder

Stat = tuple[int, int, int]
"""Size in bytes, and times of the last change of the content and of the file in nanoseconds."""
T = TypeVar("T")

_FEW = 256  # files that are decoded faster than threads help
_SOME = 4096  # files that threads decode faster than other processes start
_ATTEMPTS = 3  # to read a file that changes while it is read
_TICK = 0.02  # seconds; two changes of a file within a tick may have the same time


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
        self.files = [ImageFile(Path(path), page) for path, page in files]


Keep = Callable[[int, NDArray[Any]], None]
"""Receives the first row and the images of a block."""


def stat_of(path: Path | str) -> Stat:
    """Return size and times of change of a file; zeros if there is none.

    The time of the last change of the file also changes if the other one is set by hand.
    """
    try:
        found = os.stat(path)  # noqa: PTH116  # a million times
    except OSError:
        return (0, 0, 0)
    return found.st_size, found.st_mtime_ns, found.st_ctime_ns


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
        for position, pixels in images.items():
            array[position] = form.fitted(pixels)
        block.sha256 = hashlib.sha256(array.data).hexdigest()
        keep(block.start, array)
    return block


def decode_for(block: Block, reading: Reads, form: Form, keep: Keep) -> Block:
    """Decode a block for a process that knows its files: the result has none, to be sent faster."""
    decode_block(block, reading, form, keep)
    return replace(block, files=[])


def _decoded(file: ImageFile, reading: Reads) -> tuple[FileFound, NDArray[Any] | None]:
    """Return what was found of a file, and its image if it can be read."""
    for _ in range(_ATTEMPTS):
        before = stat_of(file.path)
        if 0 <= time.time() - before[2] / 1e9 < _TICK:
            time.sleep(_TICK)  # so that a later change has another time
        try:
            pixels, facts, sha256 = reading.read(file)
            result: tuple[FileFound, NDArray[Any] | None]
            result = FileFound(before, facts, sha256), pixels
        except MemoryError:
            raise
        # Broken files make decoders raise exceptions of many types.
        except Exception as error:
            why = " ".join(str(error).split()) or type(error).__name__
            result = FileFound(before, why=why), None
        if stat_of(file.path) == before:
            return result
    return FileFound(before, why="it changes while it is read"), None


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
    work: Callable[..., T], tasks: Iterable[tuple[Any, ...]], files: int
) -> Iterator[T]:
    """Yield the results of tasks in any order, from all processors if there are many files.

    Threads are used for some files, because other processes need a second to start; they decode
    many files faster.

    Args:
        work: called with each task; it and the tasks are pickled.
        tasks: arguments.
        files: number of files that all tasks read.

    Raises:
        ResourceError: the system ended a process, probably because there is no memory left.
    """
    if files <= _FEW:
        yield from (work(*task) for task in tasks)
        return
    if files <= _SOME:
        yield from _in_threads(work, tasks)
        return
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    parallel = joblib.Parallel(n_jobs=-1, return_as="generator_unordered", batch_size=1)
    # They must not import from the current folder, which may be a stranger's.
    safe = without_current_folder()
    before = {name: os.environ.get(name) for name in safe}
    os.environ.update(safe)
    try:
        yield from parallel(joblib.delayed(work)(*task) for task in tasks)
    except TerminatedWorkerError as error:
        raise errors.ResourceError(
            "a process that decoded images was ended by the system, probably because the memory "
            "is full: close other programs and repeat the command, which goes on from there"
        ) from error
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


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
