"""A run as one file, ``NAME.latentkit``: a zip of its folder, unpacked to the cache when read.

The file may come from a stranger. Nothing in it is compressed, so it is as large as what it holds.
Its members are exactly the files that its ``run.json`` lists, and each is compared with the size
and SHA-256 recorded there before the folder exists under its final name.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import struct
import time
import zipfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, BinaryIO

import platformdirs

from latentkit import reading
from latentkit.atomic import TEMPORARY_PREFIX, json_bytes, storage_error, write_atomically
from latentkit.config import canonical_sha256
from latentkit.errors import DataError, IntegrityError, UserError, describe_os_error
from latentkit.runs import run_files
from latentkit.runs.find import find_run
from latentkit.runs.folder import CONFIG, RunFolder
from latentkit.runs.manifest import NAME, LeftOut, Manifest, read_manifest
from latentkit.terminal import printable

SUFFIX = ".latentkit"
_FIGURES = "figures/"
_PAGES = ("report.html", "report.json", "explorer.html")
_AGAIN = {"report": ("report",), "explorer": ("explore", "--no-open")}
"""The stages of these pages, with the command that makes them."""
_PIECE = 2**20  # bytes copied at once
_MOST_DIRECTORY = 16 * 2**20  # bytes of the zip's list of members, which is read at once
_MOST_FOLDER_NAME = 200  # bytes; file systems allow 255, and outputs are named after the run
_KEPT = 30 * 24 * 3600  # seconds for which an unpacked run is kept after its last use
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first time that a zip can state
_END, _END64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sQ2H2L4Q")
_LOCATOR = struct.Struct("<4sLQL")


def pack_run(
    folder: RunFolder, path: Path, *, pictures: bool = False, plugins: Collection[str] | None = None
) -> None:
    """Write a run as one file; the same run gives the same bytes.

    The file has the configuration and every committed file. Not in it are checkpoints, the log of
    events, and the folder of the data set and the process that wrote the run. The pictures, which
    show images of the data set, are left out together with the pages that contain them, unless
    they are asked for; the run then says how to make them again.

    Args:
        folder: the run.
        path: the file.
        pictures: whether to keep figures, report and explorer.
        plugins: the distributions that the run needs; None for all that were loaded.

    Raises:
        UserError: the run has no weights yet.
        IntegrityError: a file of the run is missing, or was changed.
        StorageError: the file cannot be written.
    """
    manifest = folder.manifest
    if run_files.MODEL not in manifest.artefacts:
        raise UserError(f"run {manifest.id} has no trained model yet: resume it first")
    check_name(manifest.id)
    told = _portable(manifest, pictures)
    if plugins is not None:
        told.plugins = {name: v for name, v in told.plugins.items() if name in plugins}
    document = told.model_dump(mode="json")
    start = {
        NAME: json_bytes({**document, "sha256": canonical_sha256(document)}),
        CONFIG: folder.config_toml().encode(),
    }

    def write(temporary: Path) -> None:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
            for name, content in start.items():
                archive.writestr(_member(manifest.id, name), content)
            for name in sorted(told.artefacts):
                with folder.verified(name).open("rb") as source:
                    _add(archive, _member(manifest.id, name), source, told.artefacts[name].size)

    write_atomically(path, write)


def _portable(manifest: Manifest, pictures: bool) -> Manifest:
    """Return the manifest without what is of this machine, and without pictures."""
    told = manifest.model_copy(deep=True)
    told.data_dir, told.writer = "", {}
    if pictures:
        return told
    gone = {one.stage for name, one in told.artefacts.items() if name in _PAGES}
    told.artefacts = {
        name: one
        for name, one in told.artefacts.items()
        if not (name in _PAGES or name.startswith(_FIGURES))
    }
    told.stages = {name: one for name, one in told.stages.items() if name not in gone}
    why = "it shows images, and the run was packed without them"
    for stage in sorted(gone & _AGAIN.keys()):
        told.left_out[stage] = LeftOut(part=stage, why=why, again=_AGAIN[stage])
    return told


def _member(run: str, name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"{run}/{name}", _EPOCH)
    info.external_attr, info.create_system = 0o644 << 16, 3
    return info


def _add(archive: zipfile.ZipFile, info: zipfile.ZipInfo, source: IO[bytes], size: int) -> None:
    info.file_size = size
    with archive.open(info, "w") as target:
        shutil.copyfileobj(source, target, _PIECE)


def check_name(name: str) -> None:
    """Refuse the name of a run that cannot be the name of a folder on every machine.

    Raises:
        UserError: the name has control characters or separators, or is too long.
    """
    plain = name == printable(name) and not set('/\\:*?"<>|') & set(name)
    fits = 0 < len(name.encode(errors="replace")) <= _MOST_FOLDER_NAME
    if not plain or not fits or name[0] in ".- " or name[-1] in ". ":
        raise UserError(f"{name!r} cannot be the name of a packed run: rename its folder")


def named_run(reference: str, root: Path, find: Callable[[str, Path], Path] = find_run) -> Path:
    """Return the folder of the run that a user refers to, which may be a packed run.

    A packed run is unpacked to the user's cache, unless it is there already.

    Args:
        reference: the path of a packed run, or what `find_run` takes.
        root: the folder of runs; packed runs are looked up there, too.
        find: looks up other references.

    Raises:
        UserError: there is no such run.
        IntegrityError, DataError: the packed run is damaged, or is none.
        StorageError: the cache cannot be written.
    """
    if reference.endswith(SUFFIX):
        for path in (Path(reference).expanduser(), root / reference):
            if path.is_file():
                return _in_cache(path)
    return find(reference, root)


def _cache() -> Path:
    return platformdirs.user_cache_path("latentkit") / "packed"


def is_unpacked(run: Path) -> bool:
    """Return whether a run's folder is that of a packed run in the cache, which is only read."""
    return run.absolute().parent.parent == _cache().absolute()


def can_write(run: Path) -> bool:
    """Return whether a run may be changed: this user can write it, and it is not a packed run."""
    return os.access(run, os.W_OK) and not is_unpacked(run)


def unpack_run(path: Path, into: Path) -> Path:
    """Make a folder of a packed run, in which it can be resumed, and return it.

    Args:
        path: the packed run.
        into: the folder of runs.

    Raises:
        UserError: ``into`` already has a run or another file of this name.
        IntegrityError, DataError: the packed run is damaged, or is none.
        StorageError: the folder cannot be written.
    """
    with _opened(path) as (archive, _):
        name = _run_of(archive, path)
        target = into / name
        if os.path.lexists(target):
            raise UserError(f"{target} already exists: choose another folder with --runs")
        with _extracted(archive, path, into) as made:
            _rename(made / name, target)
    return target


def _in_cache(path: Path) -> Path:
    """Return the folder of a packed run in the cache, after unpacking it there if it is not."""
    with _opened(path) as (archive, sha256):
        name = _run_of(archive, path)
        home = _cache() / sha256
        if not _is_whole(home / name):
            _forget_old()
            if os.path.lexists(home):
                shutil.rmtree(home, ignore_errors=True)  # damaged, or of a version before
            with _extracted(archive, path, _cache()) as made:
                _rename(made, home)
        with suppress(OSError):  # the cache is read-only
            os.utime(home)
        return home / name


def _is_whole(run: Path) -> bool:
    """Return whether every file of an unpacked run is there, with the size that it should have."""
    try:
        artefacts = read_manifest(run).artefacts.values()
        sizes = [(run / one.path).stat().st_size == one.size for one in artefacts]
        return (run / CONFIG).is_file() and all(sizes)
    except (UserError, IntegrityError, OSError):
        return False


def _forget_old() -> None:
    """Remove unpacked runs that nobody used for a month, and what a killed process left."""
    with suppress(OSError):  # there is no cache yet, or another process removes it
        for home in _cache().iterdir():
            if time.time() - home.stat().st_mtime > _KEPT:
                shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, str]]:
    """Open a packed run, and hash it.

    Raises:
        DataError: the file cannot be read, or is not a packed run.
    """
    try:
        with reading.open_file(path) as file:
            _check_directory(file)
            file.seek(0)
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
            with zipfile.ZipFile(file) as archive:
                yield archive, sha256
    except reading.ARCHIVE_FAULTS as error:
        if isinstance(error, FileNotFoundError):
            raise DataError(f"there is no file {path}: name a packed run") from error
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, OSError) and error.strerror:
            reason = describe_os_error(error)
        raise DataError(
            f"{path} is not a packed run, or is damaged ({reason}): get another copy, or make one "
            f"with 'latentkit pack'"
        ) from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse a zip whose list of members would take much memory, before it is read.

    Raises:
        ValueError: the list is large, or is not where `pack_run` puts it.
    """
    size = file.seek(0, os.SEEK_END)
    wanted = min(size, _END64.size + _LOCATOR.size + _END.size)
    file.seek(size - wanted)
    tail = file.read(wanted)
    if len(tail) < _END.size or tail[-_END.size :][:4] != b"PK\x05\x06":
        raise ValueError("it does not end as a zip does")
    length = _END.unpack(tail[-_END.size :])[5]
    before = tail[: -_END.size]
    if before[-_LOCATOR.size :][:4] == b"PK\x06\x07":
        record = before[: -_LOCATOR.size]
        place = _LOCATOR.unpack(before[-_LOCATOR.size :])[2]
        if len(record) != _END64.size or record[:4] != b"PK\x06\x06" or place != size - wanted:
            raise ValueError("its list of members is damaged")
        length = max(_END64.unpack(record)[8], length if length < 2**32 - 1 else 0)
    if length > _MOST_DIRECTORY:
        raise ValueError("it has more members than a run has files")


def _run_of(archive: zipfile.ZipFile, path: Path) -> str:
    """Return the name of the run in an archive, after checking the archive's structure.

    Raises:
        IntegrityError: members are compressed, overlap, appear twice, or are not of one folder.
    """
    members = archive.infolist()
    names = [info.filename for info in members]
    run = names[0].partition("/")[0] if names else ""
    try:
        check_name(run)
    except (UserError, IndexError):
        raise IntegrityError(f"{path} is not a packed run: it holds no folder of a run") from None
    if f"{run}/{NAME}" not in names:
        raise IntegrityError(f"{path} is not a packed run: it has no {run}/{NAME}")
    if len({name.casefold() for name in names}) < len(names):
        raise IntegrityError(f"{path} is damaged: a name appears twice")
    total = sum(info.file_size for info in members)
    stored = all(
        info.compress_type == zipfile.ZIP_STORED
        and info.compress_size == info.file_size
        and not info.flag_bits & 1
        for info in members
    )
    if not stored or total > path.stat().st_size:
        raise IntegrityError(
            f"{path} is not a packed run: its files are compressed or overlap, and "
            f"'latentkit pack' writes them one after the other as they are"
        )
    return run


@contextmanager
def _extracted(archive: zipfile.ZipFile, path: Path, into: Path) -> Iterator[Path]:
    """Unpack and verify a run below a temporary folder in ``into``, and give that folder."""
    run = _run_of(archive, path)
    made = into / f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}"
    try:
        try:
            (made / run).mkdir(parents=True)
        except OSError as error:
            raise storage_error(into, error) from error
        members = {info.filename.removeprefix(f"{run}/"): info for info in archive.infolist()}
        for name in (NAME, CONFIG):
            most = reading.MOST_JSON if name == NAME else reading.MOST_TOML
            if name not in members or members[name].file_size > most:
                raise IntegrityError(f"{path} is not a packed run: {name} is missing or too large")
            _extract(archive, members.pop(name), made / run / name)
        _extract_artefacts(archive, members, made / run, path)
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _extract_artefacts(
    archive: zipfile.ZipFile, members: Mapping[str, zipfile.ZipInfo], run: Path, path: Path
) -> None:
    manifest = read_manifest(run)
    if manifest.artefacts.keys() != members.keys():
        odd = min(manifest.artefacts.keys() ^ members.keys())
        raise IntegrityError(f"{path} is damaged: {odd!r} is missing, or is not a file of the run")
    for name, info in members.items():
        known = manifest.artefacts[name]
        if info.file_size != known.size:
            raise IntegrityError(f"{path} is damaged: {name} has {info.file_size:,} bytes")
        if _extract(archive, info, reading.inside(run, name)) != known.sha256:
            raise IntegrityError(f"{path} is damaged: the SHA-256 of {name} differs")


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, target: Path) -> str:
    """Write a member to a new file, and return its SHA-256."""
    sha = hashlib.sha256()

    def write(temporary: Path) -> None:
        with archive.open(info) as source, temporary.open("wb") as file:
            while piece := source.read(_PIECE):
                sha.update(piece)
                file.write(piece)

    write_atomically(target, write)
    return sha.hexdigest()


def _rename(made: Path, target: Path) -> None:
    """Give a folder its final name; another process may have been faster with the same content."""
    try:
        made.rename(target)
    except OSError as error:
        if not target.is_dir():
            raise storage_error(target, error) from error
