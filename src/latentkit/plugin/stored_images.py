"""Image files that are decoded once, and memory-mapped by every later command.

`read_images` decodes files in several processes and keeps the pixels in the user's cache
(`latentkit.plugin.image_cache`). A set is used again if every file has the path, the size and the
times of change that it had; only what differs is decoded again. A process that is killed leaves
what it has decoded to the next one. Two processes that need the same set do not decode it twice.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import filelock
import numpy as np
from numpy.typing import NDArray

from latentkit import errors
from latentkit.plugin.decoding import (
    Block,
    FileFound,
    FileOfImages,
    decode_block,
    decode_for,
    in_processes,
)
from latentkit.plugin.downloads import stat_of
from latentkit.plugin.image_cache import (
    JOURNAL,
    LOCK,
    PIXELS,
    SCHEMA,
    SMALLER,
    Entry,
    Files,
    Place,
    StoredImages,
    cache_folder,
    canonical_key,
    hashes_of,
    make_room,
    report_progress,
    sha256_of_all,
    why_not_kept,
)
from latentkit.plugin.image_files import ImageFile, ImageReading
from latentkit.plugin.image_sets import (
    Form,
    FormsFound,
    in_range_of,
    reading_notes,
    unreadable_note,
)
from latentkit.plugin.images import Pixels
from latentkit.plugin.machine import check_memory

_ATTEMPTS = 3
_LOST = 2.0  # seconds of decoding that a process loses at most when it is killed
_SAMPLED = 16  # files whose forms are expected of all
_DAMAGED = (OSError, errors.LatentkitError, KeyError, TypeError, ValueError, IndexError)


class ImagesRead(NamedTuple):
    """The images of files.

    Args:
        pixels: uint8 or uint16, (N, C, H, W), memory-mapped if they could be kept.
        kept: positions of the files that could be read, int64 (N,).
        sha256: of the files; changes if any of them does.
        pixels_sha256: changes if any pixel does.
        notes: as in `latentkit.plugin.ImageData`.
        value_range: the numbers of the files that became black and white; None if the types of
            the numbers say so.
    """

    pixels: Pixels
    kept: NDArray[np.int64]
    sha256: str
    pixels_sha256: str
    notes: tuple[str, ...]
    value_range: tuple[float, float] | None = None


def read_images(
    files: Sequence[ImageFile],
    reading: ImageReading,
    *,
    source: str = "",
    skip: bool = False,
    advice: Callable[[str], str] = str,
) -> ImagesRead:
    """Return the images of files, decoded now or by an earlier command.

    Args:
        files: one for each image, at least one, with absolute paths.
        reading: the rules.
        source: what the files are, for lists of the cache; by default the folder of the first.
            With the rules it names the set: another set of this name takes its place.
        skip: leave out files that cannot be read, and say so in the notes; else they are an error.
        advice: turns ``OPTION=VALUE`` into what the user has to write.

    Raises:
        latentkit.errors.DataError: files cannot be read, or have no common form.
        latentkit.errors.ResourceError: there is room neither on the disk nor in memory.
    """
    stored = stored_images(
        _Wanted(tuple(files), reading, source or str(Path(files[0].path).parent), skip)
    )
    said = unreadable_note(files, stored.unreadable, skip, advice)
    if stored.value_range is not None:
        reading = replace(reading, value_range=stored.value_range)
    notes = (*said, *reading_notes(stored.facts, len(stored.kept), reading))
    notes = (*notes, stored.note) if stored.note else notes
    limits = None if isinstance(reading.value_range, str) else reading.value_range
    return ImagesRead(stored.images, stored.kept, stored.files_sha256, stored.sha256, notes, limits)


@dataclass(frozen=True)
class _Wanted:
    """What a caller asks for; see `read_images`."""

    files: tuple[ImageFile, ...]
    reading: ImageReading
    source: str
    skip: bool

    def blocks(self, form: Form) -> list[Block]:
        size = form.files_of_block
        starts = range(0, len(self.files), size)
        return [Block(start, list(self.files[start : start + size])) for start in starts]


def stored_images(wanted: _Wanted) -> StoredImages:
    """Return images from the cache, or decode them; without any if they must all be readable."""
    key = canonical_key(asdict(wanted.reading), wanted.source)
    place = Place(cache_folder(), key, wanted.source)
    found = _opened(place, wanted)
    if found is None:
        try:
            found = _built(place, wanted)
        except (OSError, errors.StorageError) as error:
            found = _in_memory(wanted, why_not_kept(place.folder, error))
    return found


def _opened(place: Place, wanted: _Wanted) -> StoredImages | None:
    """Return the set if it is there and all its files are as they were."""
    entry = place.entry()
    if entry is None:
        return None
    try:
        files = entry.files()
        stored = entry.stored(files)
    except _DAMAGED:
        return None
    if not files.are(wanted.files) or not files.are_as_they_were():
        return None
    if stored.unreadable and not wanted.skip:
        return None
    with suppress(OSError):
        os.utime(place.path)  # it was used now
    return stored


def _built(place: Place, wanted: _Wanted) -> StoredImages:
    """Decode what is not decoded yet, keep it, and return the images.

    Raises:
        OSError: the cache cannot be written, or has no room.
    """
    place.folder.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(place.folder / f"{place.key}{LOCK}"):
        found = _opened(place, wanted)  # another process may have built it while this one waited
        if found is None:
            for _ in range(_ATTEMPTS):  # files may change after they were read
                found = _Building(place, wanted).build() or _opened(place, wanted)
                if found is not None:
                    break
    if found is None:
        raise errors.DataError(
            f"the images of {place.source} change while they are read: repeat the command when "
            f"nothing writes them"
        )
    return found


def _sampled(wanted: _Wanted, reading: ImageReading) -> Form:
    """Return the form that some files, spread over all, need together.

    If none of them can be read, it is the form of any file that can.
    """
    n = len(wanted.files)
    picked = np.unique(np.linspace(0, n - 1, min(_SAMPLED, n)).astype(int)).tolist()
    sample = Block(0, [wanted.files[position] for position in picked])
    nothing = Form(1, 1, 1, "uint8")
    decode_block(sample, reading, nothing, _forget)
    if sample.forms:
        return FormsFound(reading).joined(sample.forms, sample.files)
    for file in wanted.files:
        with suppress(Exception):
            return Form.of(reading.read(file).pixels)
    return nothing


def _forget(start: int, images: NDArray[Any]) -> None:
    """Keep nothing."""


def _with_range(wanted: _Wanted) -> ImageReading:
    """Return the rules, with the range of all files that can be read if files decide it.

    Raises:
        DataError: all numbers in all files are equal.
    """
    reading = wanted.reading
    if reading.value_range != "data":
        return reading
    size = 128
    tasks = ((reading, wanted.files[at : at + size]) for at in range(0, len(wanted.files), size))
    limits = [one for some in in_processes(_limits, tasks, len(wanted.files), size) for one in some]
    if not limits:  # reading them says why
        return replace(reading, value_range="type")
    try:
        return in_range_of(reading, limits)
    except ValueError as error:
        raise errors.DataError(str(error)) from error


def _limits(reading: ImageReading, files: Sequence[ImageFile]) -> list[tuple[float, float]]:
    found = []
    for file in files:
        with suppress(ValueError, errors.DataError):
            found.append(reading.limits(file))
    return found


class _Building:
    """A set that is being made, from where an earlier process stopped."""

    def __init__(self, place: Place, wanted: _Wanted) -> None:
        self._place, self._wanted = place, wanted
        self._reading = _with_range(wanted)
        self._forms = FormsFound(self._reading)
        self._done: dict[int, Block] = {}
        self._form = Form(1, 1, 1, "uint8")
        self._unwritten: list[Block] = []
        self._written = time.monotonic()

    def build(self) -> StoredImages | None:
        """Make the set; return it only if it cannot be kept, because files cannot be read."""
        folder = self._place.building
        folder.mkdir(exist_ok=True)
        if not self._continued():
            self._start()
        with (folder / JOURNAL).open("a", encoding="utf-8") as journal:
            all_read = False
            try:
                self._decode_all(journal)
                found = (one for block in self._done.values() for one in block.found)
                all_read = not any(one.why for one in found)
            finally:
                if not all_read:
                    self._write(journal)
        return self._commit()

    @property
    def _pixels(self) -> Path:
        return self._place.building / PIXELS

    def _mapped(self, mode: str = "r") -> NDArray[Any]:
        shape = (len(self._wanted.files), *self._form.shape)
        return np.memmap(self._pixels, self._form.dtype, mode, 0, shape)  # type: ignore[call-overload, no-any-return]

    def _head(self) -> dict[str, Any]:
        asked = repr([(os.fspath(file.path), file.page) for file in self._wanted.files])
        sha256 = hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()
        limits = self._reading.value_range
        document = {"schema": SCHEMA, "files": sha256, "form": self._form, "range": limits}
        return dict(json.loads(json.dumps(document)))

    def _size(self) -> int:
        return len(self._wanted.files) * self._form.bytes_of_image

    def _start(self) -> None:
        old = self._place.entry()
        self._form = _sampled(self._wanted, self._reading)
        if old is not None and old.form.holds(self._form):
            self._form = old.form
        make_room(self._place.folder, self._size(), keep=self._place.key)
        with self._pixels.open("wb") as file:
            file.truncate(self._size())
        (self._place.building / JOURNAL).write_text(json.dumps(self._head()) + "\n", "utf-8")
        if old is not None:
            with suppress(*_DAMAGED):
                self._copy(old, old.files())

    def _copy(self, old: Entry, files: Files) -> None:
        """Take over the blocks whose files all are as they were when an older set was made."""
        limits = old.index["value_range"]
        same_range = limits is None or tuple(limits) == self._reading.value_range
        if not (same_range and self._form.holds(old.form)):
            return
        rows, facts = files.rows.tolist(), files.facts.tolist()
        each = zip(files.paths, files.pages.tolist(), rows, range(len(rows)), strict=True)
        known = {(path, page): at for path, page, row, at in each if row >= 0}
        images, keep = old.pixels(), FileOfImages(self._pixels)
        with (self._place.building / JOURNAL).open("a", encoding="utf-8") as journal:
            for block in self._wanted.blocks(self._form):
                at = [known.get((os.fspath(file.path), file.page), -1) for file in block.files]
                now = [stat_of(file.path) for file in block.files]
                if min(at) < 0 or files.stats[at].tolist() != [list(one) for one in now]:
                    continue
                copied = self._form.fitted(images[[rows[one] for one in at]])
                block.found = [
                    FileFound(
                        stat, files.vocabulary[facts[one]], files.sha256s[one].tobytes().hex()
                    )
                    for stat, one in zip(now, at, strict=True)
                ]
                block.sha256 = hashlib.sha256(copied.data).hexdigest()
                keep(block.start, copied)
                self._record(block, journal)
            self._write(journal)

    def _continued(self) -> bool:
        """Take over what an earlier process has decoded; return whether there is any of it."""
        try:
            lines = (self._place.building / JOURNAL).read_text("utf-8").splitlines()
            head = json.loads(lines[0])
            self._form = Form(*head["form"])
            if head != self._head() or self._pixels.stat().st_size != self._size():
                return False
            blocks = {block.start: block for block in self._wanted.blocks(self._form)}
            images = self._mapped()
            for line in lines[1:]:
                start, sha256, found = json.loads(line)
                block = blocks[start]
                block.found = [
                    FileFound(tuple(stat), tuple(facts), own, why)
                    for stat, facts, own, why in found
                ]
                same = hashlib.sha256(images[block.rows].data).hexdigest() == sha256
                now = [stat_of(file.path) for file in block.files]
                if same and [one.stat for one in block.found] == now:
                    block.sha256 = sha256
                    self._done[start] = block
        except _DAMAGED:
            # A torn last line ends what can be taken over.
            return bool(self._done)
        return True

    def _record(self, block: Block, journal: Any) -> None:
        self._done[block.start] = block
        if not any(found.why for found in block.found):  # unreadable files are tried again
            self._unwritten.append(block)
        if time.monotonic() - self._written > _LOST:
            self._write(journal)

    def _write(self, journal: Any) -> None:
        """Write what is decoded into the journal, from which another process can resume."""
        for block in self._unwritten:
            journal.write(json.dumps([block.start, block.sha256, block.found]) + "\n")
        journal.flush()
        self._unwritten.clear()
        self._written = time.monotonic()

    def _decode_all(self, journal: Any) -> None:
        while blocks := [b for b in self._wanted.blocks(self._form) if b.start not in self._done]:
            left = sum(len(block.files) for block in blocks)
            done = len(self._wanted.files) - left
            keep, wider = FileOfImages(self._pixels), self._form
            tasks = ((block, self._reading, self._form, keep) for block in blocks)
            files = {block.start: block.files for block in blocks}
            for block in in_processes(decode_for, tasks, left, self._form.files_of_block):
                block.files = files[block.start]
                if block.forms:
                    joined = self._forms.joined(block.forms, block.files)
                    wider = wider if wider.holds(joined) else joined
                if block.sha256:
                    self._record(block, journal)
                    done += len(block.files)
                report_progress(done, len(self._wanted.files))
            if wider != self._form:
                self._widen(wider)
                self._unwritten.clear()
                journal.seek(0)
                journal.truncate()
                journal.write(json.dumps(self._head()) + "\n")
                for block in list(self._done.values()):
                    self._record(block, journal)

    def _widen(self, form: Form) -> None:
        """Rewrite what is decoded in a larger form."""
        old, done = self._mapped(), self._done
        found = {
            block.start + i: one for block in done.values() for i, one in enumerate(block.found)
        }
        self._form, self._done = form, {}
        temporary = self._pixels.with_suffix(".wider")
        with temporary.open("wb") as file:
            file.truncate(self._size())
        keep = FileOfImages(temporary)
        for block in self._wanted.blocks(form):
            rows = range(block.start, block.start + len(block.files))
            if all(row in found for row in rows):
                images = form.fitted(old[block.rows])
                keep(block.start, images)
                block.sha256 = hashlib.sha256(images.data).hexdigest()
                block.found = [found[row] for row in rows]
                self._done[block.start] = block
        temporary.replace(self._pixels)

    def _commit(self) -> StoredImages | None:
        """Put the set in its place; return it if it must not be kept."""
        blocks = [self._done[start] for start in sorted(self._done)]
        found = [one for block in blocks for one in block.found]
        unreadable = {at: one.why for at, one in enumerate(found) if one.why}
        files = Files.of(self._wanted.files, found)
        kept = np.flatnonzero(files.rows >= 0)
        if not len(kept) or (unreadable and not self._wanted.skip):
            return StoredImages(np.empty(0), kept, "", unreadable=unreadable)
        hashes = [block.sha256 for block in blocks]
        if unreadable:
            self._compact(kept)
            images = self._mapped()[: len(kept)]
            hashes = hashes_of(images, self._form.files_of_block)
            os.truncate(self._pixels, len(kept) * self._form.bytes_of_image)
        limits = self._reading.value_range
        decided = self._wanted.reading.value_range == "data" and not isinstance(limits, str)
        self._place.commit(
            self._form,
            hashes,
            files,
            unreadable,
            limits if decided else None,  # type: ignore[arg-type]
        )
        return None

    def _compact(self, kept: NDArray[np.int64]) -> None:
        """Close the gaps that unreadable files left."""
        (self._place.building / JOURNAL).unlink()  # it does not fit the pixels from here on
        images = self._mapped("r+")
        size = self._form.files_of_block
        for start in range(0, len(kept), size):
            part = kept[start : start + size]
            images[start : start + len(part)] = images[part]
        images.flush()  # type: ignore[attr-defined]


def _in_memory(wanted: _Wanted, note: str) -> StoredImages:
    """Decode the images into memory, because they cannot be kept."""
    reading = _with_range(wanted)
    forms = FormsFound(reading)
    form = _sampled(wanted, reading)
    n = len(wanted.files)
    while True:
        check_memory(
            n * form.bytes_of_image, f"{n:,} images that cannot be kept on the disk", SMALLER
        )
        images = np.empty((n, *form.shape), form.dtype)

        def keep(start: int, block: NDArray[Any], into: NDArray[Any] = images) -> None:
            into[start : start + len(block)] = block

        found: list[FileFound] = []
        wider = form
        for block in wanted.blocks(form):
            decode_block(block, reading, form, keep)
            if block.forms:
                joined = forms.joined(block.forms, block.files)
                wider = wider if wider.holds(joined) else joined
            found += block.found
            report_progress(len(found), n)
        if wider == form:
            break
        form = wider
    files = Files.of(wanted.files, found)
    kept = np.flatnonzero(files.rows >= 0)
    images = images[kept] if len(kept) < n else images
    sha = sha256_of_all(form, len(kept), hashes_of(images, form.files_of_block))
    unreadable = {at: one.why for at, one in enumerate(found) if one.why}
    limits = reading.value_range if wanted.reading.value_range == "data" else None
    decided = None if isinstance(limits, str) else limits
    facts = files.count_facts()
    return StoredImages(images, kept, sha, files.sha256(), facts, unreadable, decided, note)
