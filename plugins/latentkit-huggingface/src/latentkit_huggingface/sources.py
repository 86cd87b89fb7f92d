"""Where the images are: local files, files of the hub that were downloaded, or the hub itself.

A data set of the hub is downloaded once, as the files of one commit. ``commits.json`` beside them
says which commit each revision was when all of its files had arrived.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from latentkit.errors import DataError, LatentkitError, NetworkError
from latentkit.plugin import check_downloads_allowed
from latentkit_huggingface.options import HuggingfaceOptions
from latentkit_huggingface.parquet_files import parquet_splits

_FOLDER = "HuggingFace"
_COMMITS = "commits.json"
_KINDS = {".parquet": "parquet", ".pq": "parquet", ".arrow": "arrow"}
_CODE = ["*.py", "*.pkl", "*.pickle"]

_HASH = re.compile(r"[0-9a-f]{40}")


@dataclass(frozen=True)
class Source:
    """A data set that can be opened.

    Args:
        named: what it is, for messages.
        path: its file or folder; of the hub, a place that does not exist.
        state: changes if the files do, or is the commit.
        open: returns its splits by name, of datasets' own kind.
        notes: what is to be said about it.
        hub: the address on the hub, if its files are read from there.
    """

    named: str
    path: Path
    state: str
    open: Callable[[], Mapping[str, Any]]
    notes: tuple[str, ...] = ()
    hub: str = ""

    def licence(self, split: Any) -> str:
        """Return the licence that the data set states, if it does."""
        return str(getattr(split.info, "license", "") or "")

    def content(self, place: str) -> bytes:
        """Return the content of a file of the data set that one of its rows names.

        Raises:
            DataError: the row names a file elsewhere, which could be any of the user's.
        """
        from datasets.utils.file_utils import xopen

        outer = place.rsplit("::", 1)[-1]  # of zip://a.png::/folder/images.zip
        inside = Path(os.path.abspath(outer)).is_relative_to(self.path)  # noqa: PTH100
        if not (inside and "://" not in outer) and not (self.hub and outer.startswith(self.hub)):
            raise DataError(
                f"{self.named} has images that lie elsewhere, such as {place}: save them inside"
            )
        with xopen(place, "rb") as file:
            return bytes(file.read())


def find_source(options: HuggingfaceOptions, cache: Path) -> Source:
    """Return the data set that the options name; download it if it is one of the hub.

    Raises:
        DataError: there is no such file, or nothing may be downloaded.
        NetworkError: the hub cannot be reached, or has no such data set.
    """
    if options.path:
        path = Path(options.path).expanduser().absolute()
        return _local(path, options.config, str(path))
    named = f"{options.hub} of the hub"
    if options.streaming:
        check_downloads_allowed(f"{named} (streaming=true keeps no files)", cache)
        commit = _commit(options)
        opened = partial(
            _load, options.hub, options.config, revision=commit, cache_dir=str(cache / _FOLDER)
        )
        address, notes = f"hf://datasets/{options.hub}@", _pinned(options, commit)
        return Source(named, cache / _FOLDER / "-", commit, opened, notes, address)
    commit, folder = _downloaded(options, cache)
    found = _local(folder, options.config, named)
    return Source(found.named, found.path, commit, found.open, _pinned(options, commit))


def _pinned(options: HuggingfaceOptions, commit: str) -> tuple[str, ...]:
    if options.revision == commit:
        return ()
    advice = f"pin it with -o huggingface.revision={commit}"
    return (f"revision {options.revision} of {options.hub} is commit {commit}: {advice}",)


def _local(path: Path, config: str, named: str) -> Source:
    if not path.exists():
        raise DataError(f"there is no {path}: say where the images are with  huggingface.path=PATH")
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    stats = [(os.fspath(one), one.stat().st_size, one.stat().st_mtime_ns) for one in files]
    state = hashlib.sha256(repr(stats).encode("utf-8", "surrogateescape")).hexdigest()
    return Source(named, path, state, partial(_opened, path, config))


def _opened(path: Path, config: str) -> Mapping[str, Any]:
    import datasets

    if any((path / name).is_file() for name in ("dataset_dict.json", "state.json")):
        found = datasets.load_from_disk(str(path))
        return found if isinstance(found, datasets.DatasetDict) else {"train": found}
    if path.is_file():
        kind = _KINDS.get(path.suffix.lower())
        if kind is None:
            raise DataError(
                f"{path} is not a Parquet or Arrow file: name one that ends in .parquet or .arrow"
            )
        return _load(kind, "", data_files={"train": str(path)})
    _check_folder(path)
    return _load(str(path), config)


def _check_folder(path: Path) -> None:
    """Refuse a folder whose own description has files elsewhere.

    Raises:
        DataError: it has.
    """
    try:
        text = (path / "README.md").read_text("utf-8", "replace")
    except OSError:
        return
    _, _, rest = text.partition("---")
    head, end, _ = rest.partition("\n---")
    if end and "data_files" in head and "://" in head:
        raise DataError(
            f"{path / 'README.md'} names files that lie elsewhere: remove its first part"
        )


def _load(name: str, config: str, **others: Any) -> Mapping[str, Any]:
    import datasets

    builder = datasets.load_dataset_builder(name, config or None, **others)
    splits: Mapping[str, Any] | None = parquet_splits(builder)
    if splits is None:
        splits = builder.as_streaming_dataset()
    return {
        split: one if one.features else one._resolve_features() for split, one in splits.items()
    }


def _downloaded(options: HuggingfaceOptions, cache: Path) -> tuple[str, Path]:
    """Return the commit of a data set of the hub, and the folder of its files."""
    root = cache / _FOLDER / options.hub.replace("/", "--")
    known = _commits(root)
    commit = known.get(options.revision, "")
    if not commit:
        check_downloads_allowed(f"{options.hub} of the hub, revision {options.revision}", cache)
        commit = _commit(options)
        if commit not in known:
            _fetch(options.hub, commit, root / commit)
        root.mkdir(parents=True, exist_ok=True)
        (root / f".{_COMMITS}").write_text(
            json.dumps({**_commits(root), options.revision: commit, commit: commit})
        )
        (root / f".{_COMMITS}").replace(root / _COMMITS)
    return commit, root / commit


def _commits(root: Path) -> dict[str, str]:
    try:
        found = json.loads((root / _COMMITS).read_text("utf-8"))
        return {
            str(name): str(commit)
            for name, commit in found.items()
            if _HASH.fullmatch(commit) and (root / commit).is_dir()
        }
    except (OSError, ValueError, AttributeError, TypeError):
        return {}


def _commit(options: HuggingfaceOptions) -> str:
    import huggingface_hub

    try:
        found = huggingface_hub.HfApi().dataset_info(options.hub, revision=options.revision)
        return str(found.sha)
    except Exception as error:
        raise _network_error(options.hub, error) from error


def _fetch(name: str, commit: str, folder: Path) -> None:
    import huggingface_hub

    try:
        huggingface_hub.snapshot_download(
            name, repo_type="dataset", revision=commit, local_dir=folder, ignore_patterns=_CODE
        )
    except Exception as error:
        raise _network_error(name, error) from error


def _network_error(name: str, error: Exception) -> LatentkitError:
    reason = " ".join(str(error).split())[:300]
    return NetworkError(
        f"{name} cannot be fetched from the hub ({type(error).__name__}: {reason}): check the name "
        f"and the network; a private one needs the variable HF_TOKEN"
    )
