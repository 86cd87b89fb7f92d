"""Caches of other packages, which save time and must never be needed.

numba keeps machine code, matplotlib a list of fonts. Where their folders cannot be written, because
the home folder is read-only or the disk is full, both give up or warn. Here they do without.
"""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from latentkit.errors import StorageError

_PREPARED = "_latentkit_prepared"
_ABOUT_CACHES = (
    "mkdir -p failed",
    "is not a writable directory",
    "created a temporary cache directory",
    "Could not save font_manager cache",
)


def prepare() -> None:
    """Let other packages work without folders for caches and temporary files.

    'latentkit doctor' reports such folders, so matplotlib's lines on them are dropped.

    Raises:
        StorageError: the current folder was deleted. Without one, torch's libraries would end the
            process when they are loaded.
    """
    if "torch" not in sys.modules:
        try:
            Path.cwd()
        except FileNotFoundError as error:
            raise StorageError(
                "the current folder was deleted: change to another folder, for example with  cd ~"
            ) from error
    for name in ("matplotlib", "matplotlib.font_manager"):
        logging.getLogger(name).addFilter(_not_about_caches)
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        tempfile.tempdir = str(Path.cwd())  # torch only asks for its name, and
        os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", tempfile.tempdir)  # whether it is there
        _import_matplotlib_without_folders()


def _not_about_caches(record: logging.LogRecord) -> bool:
    return not any(text in str(record.msg) for text in _ABOUT_CACHES)


def _import_matplotlib_without_folders() -> None:
    """Import matplotlib, which fails unless it can create a folder or believes so."""
    nowhere = os.path.join(os.sep, "no-folder-can-be-written")  # noqa: PTH118
    create = tempfile.mkdtemp
    setattr(tempfile, "mkdtemp", lambda **_: nowhere)  # noqa: B010  # the stub has overloads
    try:
        import matplotlib as mpl

        mpl.get_cachedir()
    finally:
        tempfile.mkdtemp = create
    if os.environ.get("MPLCONFIGDIR") == nowhere:
        atexit.unregister(shutil.rmtree)  # matplotlib would delete the folder


def prepare_numba() -> None:
    """Let numba compile functions whose machine code cannot be kept, or cannot be read again.

    Call it before the import of a package that compiles with ``cache=True``. Where numba finds no
    folder that it can write, it would refuse to compile; on a full disk or with a damaged file, it
    would fail after compilation.
    """
    from numba.core import caching, dispatcher
    from numba.np.ufunc import ufuncbuilder

    if hasattr(caching.Cache, _PREPARED):
        return
    setattr(caching.Cache, _PREPARED, True)
    faults = {
        "enable_caching": RuntimeError,
        "load_overload": Exception,
        "save_overload": Exception,
    }
    for owner in (dispatcher.Dispatcher, ufuncbuilder.UFuncDispatcher, caching.Cache):
        for name in faults.keys() & vars(owner).keys():
            setattr(owner, name, _without_failing(getattr(owner, name), faults[name]))


def temporary_folder() -> Path | None:
    """Return the folder of temporary files; None if there is none that can be written."""
    folder = Path(tempfile.gettempdir())
    return folder if os.access(folder, os.W_OK) else None


def numba_folder() -> Path | None:
    """Return where numba keeps the machine code of latentkit; None if it cannot."""
    from numba.core import caching

    from latentkit.neighbors import blocks

    kind, function = getattr(caching, "FunctionCache"), blocks.make_blocks  # noqa: B009
    try:
        return Path(kind(function).cache_path)
    except (RuntimeError, OSError):
        return None


def matplotlib_folder() -> Path | None:
    """Return where matplotlib keeps its list of fonts for later processes; None if it cannot."""
    import matplotlib as mpl

    folder = Path(mpl.get_cachedir())
    made_for_this_process = folder.name.startswith("matplotlib-")
    return None if made_for_this_process or not os.access(folder, os.W_OK) else folder


def _without_failing(
    function: Callable[..., Any], fault: type[Exception]
) -> Callable[..., Any | None]:
    def attempt(*arguments: Any) -> Any | None:
        try:
            return function(*arguments)
        except fault:
            return None

    return attempt
