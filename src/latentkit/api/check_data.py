"""A data set checked before it is trained on, in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from latentkit.api.inputs import Path_, configure, data_dir
from latentkit.atomic import write_bytes
from latentkit.config import PartConfig
from latentkit.data.data_check import DataCheck, check_files, check_images
from latentkit.errors import UserError, did_you_mean
from latentkit.plugin.events import Listener, StageProgress, ignore
from latentkit.plugin.image_cache import decoding_progress
from latentkit.plugin.image_sets import FilePlan
from latentkit.registry.catalogue import Registry, default_registry
from latentkit.registry.options import fault_of, resolve_target
from latentkit.runs.context import load_images

FOLDER, ARRAYS = "image-folder", "npz"


def check_data(
    source: Path_,
    *,
    options: Mapping[str, Any] | None = None,
    out: Path_ | None = None,
    data: Path_ | None = None,
    plugins: Iterable[Path_] = (),
    listener: Listener = ignore,
) -> DataCheck:
    """Check a data set: what it holds, what cannot be read, and which images it has twice.

    Nothing is changed, and nothing is kept but the page.

    Args:
        source: a folder of images, a file of arrays, or the name of a data set. A name that is
            both means the data set; ``./NAME`` means the folder.
        options: options of the data set by ``"part.key"``, e.g. ``{"image-folder.size": 128}``.
        out: file for an HTML page with pictures, which loads nothing; None for no page.
        data: the folder of data sets; by default ``LATENTKIT_DATA`` or the user's cache.
        plugins: files of plugins that are not installed.
        listener: called with the progress, `latentkit.plugin.events.StageProgress`.

    Returns:
        What was found.

    Raises:
        latentkit.errors.DataError: the images cannot be read, or their folders are ambiguous.
        latentkit.errors.UserError: there is no such source, or an option is unknown.

    Example:
        >>> import latentkit as lk
        >>> check = lk.check_data("digits")
        >>> len(check), check.counts("test")["3"], check.in_training
        (1797, 37, [])
    """
    registry = default_registry(plugins)
    chosen = _chosen(registry, str(source), options or {})
    with decoding_progress(lambda done, total: listener(StageProgress("check", done, total))):
        check = _checked(chosen, str(source), data)
    if out is not None:
        from latentkit.report.data_page import data_page

        write_bytes(Path(out).expanduser(), data_page(check).encode())
    return check


def _checked(chosen: PartConfig, source: str, data: Path_ | None) -> DataCheck:
    plan = _plan(chosen)
    if plan is not None:
        path = Path(getattr(chosen.options, "path", "")).expanduser().absolute()
        return check_files(plan, path, chosen.name)
    folder = data_dir(data)
    train, test = load_images(chosen, "train", folder), load_images(chosen, "test", folder)
    return check_images({"train": train, "test": test}, source, chosen.name)


def _chosen(registry: Registry, source: str, options: Mapping[str, Any]) -> PartConfig:
    """Return the data set that a source means."""
    path = Path(source).expanduser()
    known = registry.parts("dataset")
    if any(part.is_called(source) for part in known):
        return configure(registry, dataset=source, options=options).dataset
    if not path.exists():
        near = did_you_mean(source, {part.spec.name for part in known})
        raise UserError(
            f"there is no folder or file {source!r}, and no dataset of that name{near}: give the "
            f"path of your images, or a name that 'latentkit data list' shows"
        )
    name = FOLDER if path.is_dir() and path.suffix != ".zarr" else ARRAYS
    return configure(registry, dataset=name, options={f"{name}.path": str(path), **options}).dataset


def _plan(chosen: PartConfig) -> FilePlan | None:
    """Return which files a data set reads; None if it does not say."""
    stated = getattr(chosen.part.spec, "plan", None)
    if stated is None:
        return None
    chosen.part.target()  # which says what is missing
    plan = resolve_target(stated, str(chosen.part))
    with fault_of(f"{chosen.part} failed to list its files"):
        found: FilePlan = plan(chosen.options)
    return found
