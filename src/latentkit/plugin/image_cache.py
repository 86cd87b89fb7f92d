"""The cache of decoded images: one folder for each set, with checksums, and within a limit.

A set's folder has ``images.bin``, the pixels in the order of the files; ``index.json``, with the
SHA-256 of each block of images and of itself; and ``files.npz``, with paths, sizes and times.
Pixels are compared with their SHA-256 when the set is opened if they have up to 256 MiB, and else
if their file has another size or time than it had when it was complete.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
from numpy.typing import NDArray

from latentkit import errors, reading
from latentkit.atomic import write_atomically
from latentkit.hashed_json import read_hashed, write_hashed
from latentkit.plugin.decoding import FileFound
from latentkit.plugin.downloads import Stat, stat_of
from latentkit.plugin.image_files import ImageFile
from latentkit.plugin.image_sets import Form

CACHE_VARIABLE = "LATENTKIT_CACHE"
LIMIT_VARIABLE = "LATENTKIT_CACHE_LIMIT"
SMALLER = f"choose a smaller size, or set {CACHE_VARIABLE} to a folder on a disk with more room"
"""What a user can do if images fit neither on the disk nor into the memory."""

SCHEMA = 1
PIXELS, INDEX, FILES, JOURNAL = "images.bin", "index.json", "files.npz", "journal.jsonl"
BUILDING = ".building"
LOCK = ".lock"
_OLD = ".old"
_ALWAYS_HASHED = 256 * 2**20  # bytes that are hashed faster than a user notices
_SHARE_OF_DISK = 0.25
_hashed: set[tuple[Path, Stat, str]] = set()
"""The pixels that this process has compared with their hash, and the state of their files then."""

FilesDone = Callable[[int, int], None]
_progress: ContextVar[FilesDone | None] = ContextVar("decoding progress", default=None)


@dataclass(frozen=True)
class StoredImages:
    """Images of files, memory-mapped if they could be kept.

    Args:
        images: uint8 or uint16, (N, C, H, W), in the order of the files; changes stay in memory.
        kept: int64 (N,), the position of each image's file in the list that was asked for.
        sha256: of the pixels.
        files_sha256: of the contents of the files that were read, in their order.
        facts: how many images have each fact of `DecodedImage`.
        unreadable: the reason for each position whose file could not be read.
        value_range: the numbers that became black and white, if all files decided them.
        note: why the images were not kept; usually empty.
    """

    images: NDArray[Any]
    kept: NDArray[np.int64]
    sha256: str
    files_sha256: str = ""
    facts: Mapping[str, int] = field(default_factory=dict)
    unreadable: Mapping[int, str] = field(default_factory=dict)
    value_range: tuple[float, float] | None = None
    note: str = ""


@contextmanager
def decoding_progress(progress: FilesDone) -> Iterator[None]:
    """Tell ``progress`` inside the block how many of how many files have been decoded."""
    token = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(token)


def report_progress(done: int, total: int) -> None:
    """Tell how many of how many files have been decoded."""
    progress = _progress.get()
    if progress is not None:
        progress(done, total)


def cache_folder() -> Path:
    """Return the folder of decoded images: ``LATENTKIT_CACHE``, or a folder of the user's cache."""
    chosen = os.environ.get(CACHE_VARIABLE)
    folder = Path(chosen) if chosen else platformdirs.user_cache_path("latentkit") / "images"
    return folder.expanduser().absolute()


def canonical_key(settings: Mapping[str, Any], source: str) -> str:
    """Return the name of the folder of a set."""
    text = json.dumps([SCHEMA, source, settings], sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:32]


def why_not_kept(folder: Path, error: OSError | errors.StorageError) -> str:
    """Return a note for images that could not be kept."""
    why = errors.describe_os_error(error) if isinstance(error, OSError) else error
    return (
        f"decoded images cannot be kept in {folder} ({why}), so each "
        f"command decodes them again: make room there, or choose a folder with {CACHE_VARIABLE}"
    )


@dataclass(frozen=True)
class Files:
    """The files that a set was made of, and what was found of each; M files.

    Args:
        paths: their paths.
        pages: the picture in the file, int64 (M,).
        stats: their sizes and times of change, int64 (M, 3), as `stat_of` has them.
        rows: the row of each file's image, int64 (M,); -1 if it could not be read.
        facts: the number of each file's facts in ``vocabulary``, int64 (M,).
        vocabulary: all different combinations of facts.
        sha256s: of the files' contents, uint8 (M, 32); zeros if a file could not be read.
    """

    paths: list[str]
    pages: NDArray[np.int64]
    stats: NDArray[np.int64]
    rows: NDArray[np.int64]
    facts: NDArray[np.int64]
    vocabulary: list[tuple[str, ...]]
    sha256s: NDArray[np.uint8]

    @classmethod
    def of(cls, files: Sequence[ImageFile], found: Sequence[FileFound]) -> Files:
        """Return the record of files, whose images follow each other without gaps."""
        codes: dict[tuple[str, ...], int] = {}
        readable = np.array([not one.why for one in found])
        hashes = b"".join(bytes.fromhex(one.sha256) if one.sha256 else bytes(32) for one in found)
        return cls(
            [os.fspath(file.path) for file in files],
            np.array([file.page for file in files], np.int64),
            np.array([one.stat for one in found], np.int64).reshape(-1, 3),
            np.where(readable, np.cumsum(readable) - 1, -1).astype(np.int64),
            np.array([codes.setdefault(tuple(one.facts), len(codes)) for one in found], np.int64),
            list(codes),
            np.frombuffer(hashes, np.uint8).reshape(-1, 32),
        )

    @classmethod
    def read(cls, folder: Path, sha256: str) -> Files:
        """Return the record in a folder.

        Raises:
            OSError: it cannot be read.
            ValueError: it is damaged.
        """
        content = reading.read_inside(folder, FILES, 2**32)
        if hashlib.sha256(content).hexdigest() != sha256:
            raise ValueError(f"{FILES} is damaged")
        arrays = reading.parse_arrays(content, folder / FILES)
        paths = arrays["paths"].tobytes().decode("utf-8", "surrogateescape").split("\0")
        words = arrays["vocabulary"].tobytes().decode().split("\0")
        vocabulary = [tuple(word.split("\n")) if word else () for word in words]
        numbers = {name: arrays[name] for name in ("pages", "stats", "rows", "facts", "sha256s")}
        return cls(paths=paths, vocabulary=vocabulary, **numbers)

    def write(self, path: Path) -> None:
        """Write the record into a file."""
        texts = "\0".join(self.paths).encode("utf-8", "surrogateescape")
        words = "\0".join("\n".join(facts) for facts in self.vocabulary).encode()
        np.savez(
            path,
            paths=np.frombuffer(texts, np.uint8),
            pages=self.pages,
            stats=self.stats,
            rows=self.rows,
            facts=self.facts,
            vocabulary=np.frombuffer(words, np.uint8),
            sha256s=self.sha256s,
        )

    def are_as_they_were(self) -> bool:
        """Return whether no file has changed since it was read."""
        now = np.array([stat_of(path) for path in self.paths], np.int64).reshape(-1, 3)
        return bool(np.array_equal(now, self.stats))

    def are(self, files: Sequence[ImageFile]) -> bool:
        """Return whether these are the files."""
        return self.paths == [os.fspath(file.path) for file in files] and bool(
            np.array_equal(self.pages, [file.page for file in files])
        )

    def count_facts(self) -> Counter[str]:
        """Return how many images have each fact."""
        counts = np.bincount(self.facts[self.rows >= 0], minlength=len(self.vocabulary)).tolist()
        found = Counter[str]()
        for facts, count in zip(self.vocabulary, counts, strict=True):
            found.update(dict.fromkeys(facts, count))
        return +found

    def sha256(self) -> str:
        """Return the SHA-256 of the contents of all files that could be read."""
        return hashlib.sha256(self.sha256s[self.rows >= 0].tobytes()).hexdigest()


@dataclass(frozen=True)
class Entry:
    """A complete set of the cache, with its index."""

    folder: Path
    index: Mapping[str, Any]

    @property
    def form(self) -> Form:
        """The form of its images."""
        return Form(*self.index["form"])

    @property
    def count(self) -> int:
        """Number of its images."""
        return int(self.index["count"])

    def pixels(self) -> NDArray[Any]:
        """Return the images, mapped; changes to them stay in memory."""
        shape = (self.count, *self.form.shape)
        # Copy-on-write, because torch does not support read-only memory.
        return np.memmap(self.folder / PIXELS, self.form.dtype, "c", 0, shape)

    def files(self) -> Files:
        """Return the files that the set was made of; raises as `Files.read`."""
        return Files.read(self.folder, self.index["files_sha256"])

    def stored(self, files: Files) -> StoredImages:
        """Return its images with what is known of them."""
        limits = self.index["value_range"]
        return StoredImages(
            self.pixels(),
            np.flatnonzero(files.rows >= 0),
            self.index["pixels_sha256"],
            files.sha256(),
            files.count_facts(),
            {int(position): why for position, why in self.index["unreadable"].items()},
            None if limits is None else (limits[0], limits[1]),
        )

    def is_intact(self) -> bool:
        """Return whether the pixels are those that were written."""
        path = self.folder / PIXELS
        found = stat_of(path)
        if found[0] != self.count * self.form.bytes_of_image:
            return False
        if found[0] > _ALWAYS_HASHED and list(found) == self.index["written"]:
            return True
        seen = (path, found, self.index["pixels_sha256"])
        if seen not in _hashed:
            if hashes_of(self.pixels(), self.form.files_of_block) != list(self.index["blocks"]):
                return False
            _hashed.add(seen)
        return True


def hashes_of(images: NDArray[Any], size: int) -> list[str]:
    """Return the SHA-256 of each block of ``size`` images."""
    starts = range(0, len(images), size)
    return [
        hashlib.sha256(np.ascontiguousarray(images[start : start + size]).data).hexdigest()
        for start in starts
    ]


def sha256_of_all(form: Form, count: int, hashes: Sequence[str]) -> str:
    """Return the SHA-256 of all pixels, made from those of their blocks."""
    sha = hashlib.sha256(repr((form, count)).encode())
    sha.update("".join(hashes).encode())
    return sha.hexdigest()


@dataclass(frozen=True)
class Place:
    """Where a set is kept."""

    folder: Path
    key: str
    source: str

    @property
    def path(self) -> Path:
        """Its folder once it is complete."""
        return self.folder / self.key

    @property
    def building(self) -> Path:
        """Its folder until then."""
        return self.folder / f"{self.key}{BUILDING}"

    def commit(
        self,
        form: Form,
        hashes: Sequence[str],
        files: Files,
        unreadable: Mapping[int, str],
        value_range: tuple[float, float] | None = None,
        count: int | None = None,
    ) -> None:
        """Put the set that was built in its place, which other processes may be reading.

        Args:
            form: the form of its images.
            hashes: the SHA-256 of each block of images.
            files: what it was made of.
            unreadable: the reason for each position whose file could not be read.
            value_range: as in `StoredImages`.
            count: number of images; by default one for each file that could be read.

        Raises:
            OSError: the disk is full, or cannot be written.
            StorageError: as OSError.
        """
        building, final = self.building, self.path
        count = int((files.rows >= 0).sum()) if count is None else count
        write_atomically(building / FILES, files.write)
        with (building / PIXELS).open("r+b") as file:
            os.fsync(file.fileno())
        pixels_sha256 = sha256_of_all(form, count, hashes)
        index = {
            "schema": SCHEMA,
            "source": self.source,
            "form": list(form),
            "count": count,
            "blocks": list(hashes),
            "pixels_sha256": pixels_sha256,
            "files_sha256": hashlib.sha256((building / FILES).read_bytes()).hexdigest(),
            "written": list(stat_of(building / PIXELS)),
            "unreadable": {str(position): why for position, why in unreadable.items()},
            "value_range": value_range,
        }
        write_hashed(building / INDEX, index)
        (building / JOURNAL).unlink(missing_ok=True)
        old = final.with_name(f"{final.name}{_OLD}")
        shutil.rmtree(old, ignore_errors=True)
        if final.exists():
            final.rename(old)  # who has mapped it keeps it
        building.rename(final)
        # These pixels were hashed a moment ago.
        _hashed.add((final / PIXELS, stat_of(final / PIXELS), pixels_sha256))
        shutil.rmtree(old, ignore_errors=True)

    def entry(self) -> Entry | None:
        """Return the set that is there, whatever files it was made of; None if it is damaged."""
        try:
            index = read_hashed(self.path, INDEX)
            if index["schema"] != SCHEMA:
                return None
            entry = Entry(self.path, index)
            return entry if entry.count > 0 and entry.is_intact() else None
        except (OSError, errors.LatentkitError, KeyError, TypeError, ValueError):
            return None


@dataclass(frozen=True)
class CachedSet:
    """A set in the cache, for lists.

    Args:
        key: its name.
        source: what it was made of.
        count: number of images; 0 if it is not complete.
        shape: channels, height and width of each image; empty if it is not complete.
        bytes: what it takes on the disk.
        used: when it was last used, in seconds since 1970.
    """

    key: str
    source: str
    count: int
    shape: tuple[int, ...]
    bytes: int
    used: float


def cached_sets(folder: Path | None = None) -> list[CachedSet]:
    """Return the sets in the cache, those that were used last first."""
    folder = folder or cache_folder()
    found = []
    with suppress(OSError):
        for path in folder.iterdir():
            if path.is_dir() and path.suffix != _OLD:
                found.append(_described(path))
    return sorted(found, key=lambda one: -one.used)


def _described(path: Path) -> CachedSet:
    source, count, size, used = "", 0, 0, 0.0
    shape: tuple[int, ...] = ()
    with suppress(OSError):
        used = path.stat().st_mtime
        size = sum(file.stat().st_blocks * 512 for file in path.iterdir())
    with suppress(OSError, errors.LatentkitError, KeyError, TypeError, ValueError):
        index = read_hashed(path, INDEX)
        source, count, shape = str(index["source"]), int(index["count"]), Form(*index["form"]).shape
    return CachedSet(path.name, source, count, shape, size, used)


def prune(keep_bytes: int, *, folder: Path | None = None, keep: str = "") -> list[CachedSet]:
    """Delete sets, those that were used longest ago first, until the rest is small enough.

    A process that has opened a set keeps it until it ends.

    Args:
        keep_bytes: how much may stay.
        folder: the cache; by default the user's.
        keep: name of a set that stays in any case.

    Returns:
        The sets that were deleted.
    """
    folder = folder or cache_folder()
    import filelock

    deleted, taken = [], 0
    for one in cached_sets(folder):
        taken += one.bytes
        key = one.key.removesuffix(BUILDING)
        if taken <= keep_bytes or key == keep:
            continue
        with suppress(filelock.Timeout, OSError):  # a set that is being built stays
            with filelock.FileLock(folder / f"{key}{LOCK}", timeout=0):
                shutil.rmtree(folder / one.key, ignore_errors=True)
            deleted.append(one)
            taken -= one.bytes
    return deleted


def make_room(folder: Path, size: int, keep: str = "") -> None:
    """Delete sets that were used longest ago, so that a new one stays within the limit.

    Raises:
        OSError: the disk has less room than the new set needs.
    """
    disk = shutil.disk_usage(folder)
    prune(max(0, limit_bytes(disk.total) - size), folder=folder, keep=keep)
    if size > shutil.disk_usage(folder).free:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(folder))


def limit_bytes(disk: int) -> int:
    """Return how many bytes the cache may have: ``LATENTKIT_CACHE_LIMIT``, or a quarter of a disk.

    Raises:
        UserError: the variable is no number of gigabytes.
    """
    given = os.environ.get(LIMIT_VARIABLE, "")
    if not given:
        return int(disk * _SHARE_OF_DISK)
    try:
        gigabytes = float(given)
        if not gigabytes >= 0:
            raise ValueError
    except ValueError:
        raise errors.UserError(
            f"{LIMIT_VARIABLE} is {given!r}, expected a number of gigabytes, such as 50"
        ) from None
    return int(gigabytes * 1e9)
