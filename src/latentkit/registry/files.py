"""A plugin in a single file, for experiments: read once, known by its content."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.abc import SourceLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from latentkit.errors import UserError, describe_os_error

VARIABLE = "LATENTKIT_PLUGIN_FILES"


@dataclass(frozen=True)
class PluginFile:
    """A Python file that implements hooks.

    Args:
        path: absolute.
        source: its content, which is what is executed, whatever becomes of the file.
    """

    path: Path
    source: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def module(self) -> str:
        """The ``__name__`` of the module, which no installed module has."""
        stem = re.sub(r"\W", "_", self.path.stem)
        return f"latentkit_file_{stem}_{self.sha256[:12]}"

    def load(self) -> ModuleType:
        """Execute the content as a module, once a process; it may raise anything."""
        if self.module in sys.modules:
            return sys.modules[self.module]
        spec = spec_from_loader(self.module, _ContentLoader(self))
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # it has one
        module = module_from_spec(spec)
        # Classes look for their module there while it is executed.
        sys.modules[self.module] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise
        return module


class _ContentLoader(SourceLoader):
    """Executes the bytes that were read; no bytecode of another version is ever taken."""

    def __init__(self, file: PluginFile) -> None:
        self._file = file

    def get_filename(self, fullname: str) -> str:
        """Return the path, for tracebacks."""
        return str(self._file.path)

    def get_data(self, path: str | bytes) -> bytes:
        """Return the content."""
        return self._file.source


def read_plugin_files(paths: Iterable[str | os.PathLike[str]]) -> tuple[PluginFile, ...]:
    """Read plugin files, each once.

    Raises:
        UserError: one cannot be read, is no Python file, or two have one name.
    """
    files: dict[Path, PluginFile] = {}
    for path in (Path(path).absolute() for path in paths):
        if path.suffix != ".py":
            raise UserError(f"plugin file {path} is no .py file")
        try:
            files[path] = PluginFile(path, path.read_bytes())
        except OSError as error:
            raise UserError(
                f"cannot read plugin file {path}: {describe_os_error(error)}"
            ) from error
    for path in files:
        for other in files:
            if other != path and other.name == path.name:
                raise UserError(f"plugin files {path} and {other} have one name: rename one")
    return tuple(files.values())


def paths_from_environment() -> list[str]:
    """Return the paths in ``LATENTKIT_PLUGIN_FILES``, separated as those in ``PATH`` are."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def add_to_environment(paths: Iterable[str]) -> None:
    """Add paths to ``LATENTKIT_PLUGIN_FILES``, for this process and those that it starts."""
    added = [str(Path(path).absolute()) for path in paths]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*paths_from_environment(), *added]))
