"""Pictures that a library reads one after the other, decoded once and memory-mapped thereafter."""

from __future__ import annotations

import warnings
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from latentkit.errors import DataError
from latentkit.plugin.image_cache import StoredImages
from latentkit.plugin.image_files import DecodedImage, ImageReading
from latentkit.plugin.image_formats import Picture
from latentkit.plugin.image_sets import Form, common_form, in_range_of, reading_notes
from latentkit.plugin.machine import usable_cpus
from latentkit.plugin.row_store import stored_rows

T = TypeVar("T")
Pictures = Callable[[], Iterator[bytes | Image.Image | Picture]]
_SAMPLED = 32  # pictures at the start, whose form is expected of all


def stored_pictures(
    pictures: Pictures,
    n: int,
    reading: ImageReading,
    settings: Mapping[str, Any],
    *,
    path: Path,
    source: str,
) -> StoredImages:
    """Return pictures as images of one form, decoded now or by an earlier command.

    Memory is bounded: pictures are read in order, a block at a time, and their pixels are kept in
    the cache of decoded images. ``facts`` of what is returned are sentences for `ImageData.notes`.

    Args:
        pictures: returns an iterator that starts at the first picture. It may be called again.
        n: number of pictures.
        reading: the rules by which pictures become images.
        settings: everything that decides the pictures beside ``path``, as JSON has it; if they
            come from several files, something that changes when one of these does.
        path: the file or folder of the pictures. If its size or time changes, they are read again.
        source: what the pictures are, for lists of the cache and for messages.

    Raises:
        latentkit.errors.DataError: a picture cannot be read, or they have no common form.
        latentkit.errors.ResourceError: there is room neither on the disk nor in memory.
    """
    decoding = _Decoding(pictures, n, reading, source)
    rows = np.arange(n)
    described = {**settings, "reading": asdict(reading), "n": n}
    while True:
        try:
            stored = stored_rows(
                path, rows, decoding.read, described, source=source, facts=decoding.notes
            )
            return replace(stored, facts=dict.fromkeys(stored.facts, 1))
        except _Wider:
            continue  # once for colours among grey images, and once for 16 bits among 8


class _Wider(Exception):  # noqa: N818  # it is no error
    """An image needs a form that earlier ones were not stored in."""


class _Decoding:
    """Decodes pictures in order, into the form of all that were seen so far."""

    def __init__(self, pictures: Pictures, n: int, reading: ImageReading, source: str) -> None:
        self._pictures, self._n, self._source = pictures, n, source
        self._reading = reading
        self._forms = Counter[Form]()
        self._form: Form | None = None
        self._at = self._seen = 0
        self._iterator: Iterator[DecodedImage] = iter(())
        self._facts = Counter[str]()

    def read(self, rows: NDArray[np.int64]) -> NDArray[Any]:
        """Return the images of rows that follow those of the last call, or start again at 0."""
        if self._form is None:
            self._start()
        if rows[0] == 0 or rows[0] != self._at:
            self._iterator, self._at, self._facts = self._decoded(), 0, Counter()
        form = self._form
        assert form is not None  # noqa: S101  # for mypy
        images = np.empty((len(rows), *form.shape), form.dtype)
        for position in range(len(rows)):
            found = next(self._iterator, None)
            if found is None:
                raise DataError(f"{self._source} has {self._at:,} images, and says {self._n:,}")
            self._join(found, self._at)
            if self._form != form:
                raise _Wider
            images[position] = form.fitted(found.pixels)
            self._facts.update(found.facts)
            self._at += 1
        return images

    def notes(self) -> Sequence[str]:
        """Return what is to be said about the images that were read."""
        return reading_notes(self._facts, self._at, self._reading)

    def _start(self) -> None:
        if self._reading.value_range == "data":
            limits = list(islice(self._in_order(self._reading.limits_of_picture), self._n))
            try:
                self._reading = in_range_of(self._reading, limits)
            except ValueError as error:
                raise DataError(f"{self._source}: {error}") from error
        for at, found in enumerate(islice(self._decoded(), _SAMPLED)):
            self._join(found, at)

    def _decoded(self) -> Iterator[DecodedImage]:
        return self._in_order(self._reading.read_picture)

    def _in_order(self, read: Callable[[Any], T]) -> Iterator[T]:
        """Yield what ``read`` makes of each picture, in order.

        Pictures that are bytes are decoded by threads, one for each processor, because decoders
        let other threads work meanwhile. Only few are read ahead. A library may use its other
        objects again for the next picture, so these are decoded before it is asked for that.
        """
        threads = usable_cpus()
        waiting: deque[Future[T]] = deque()
        # Decoders leave out warnings, each thread for itself: the filters they leave are mixed up.
        with warnings.catch_warnings(), ThreadPoolExecutor(threads) as pool:
            try:
                at = 0
                for picture in self._pictures():
                    if isinstance(picture, bytes) and threads > 1:
                        waiting.append(pool.submit(read, picture))
                    else:
                        waiting.append(_done(read, picture))
                    if len(waiting) > 2 * threads or not isinstance(picture, bytes):
                        yield self._explained(at, waiting.popleft())
                        at += 1
                while waiting:
                    yield self._explained(at, waiting.popleft())
                    at += 1
            finally:
                for one in waiting:
                    one.cancel()

    def _explained(self, at: int, found: Future[T]) -> T:
        try:
            return found.result()
        except ValueError as error:
            raise DataError(f"{self._source}: image {at:,} cannot be read: {error}") from error

    def _join(self, found: DecodedImage, at: int) -> None:
        form = Form.of(found.pixels)
        is_known = form in self._forms
        if at >= self._seen:  # images are read again where a form turns out too small
            self._forms[form] += 1
            self._seen = at + 1
        if is_known:
            return
        try:
            self._form = common_form(self._forms, self._reading)
        except ValueError as error:
            raise DataError(f"{self._source}: {error}; image {at:,} differs") from error


def _done(read: Callable[[Any], T], picture: Any) -> Future[T]:
    found: Future[T] = Future()
    try:
        found.set_result(read(picture))
    except Exception as error:
        found.set_exception(error)
    return found
