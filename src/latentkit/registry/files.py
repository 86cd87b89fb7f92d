"""Plugins in single files, for experiments: each is read once and identified by its content."""

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
        path: absolute path.
        source: its content. This is what is executed, even if the file changes later.
    """

    path: Path
    source: bytes = field(repr=False)

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def module(self) -> str:
        """The ``__name__`` of the module; no installed module has the same name."""
        stem = re.sub(r"\W", "_", self.path.stem)
        return f"latentkit_file_{stem}_{self.sha256[:12]}"

    def load(self) -> ModuleType:
        """Execute the content as a module, once per process; it may raise any exception."""
        if self.module in sys.modules:
            return sys.modules[self.module]
        spec = spec_from_loader(self.module, _ContentLoader(self))
        assert spec is not None and spec.loader is not None  # noqa: S101, PT018  # it has one
        module = module_from_spec(spec)
        # dataclasses and others look the module up there while it is executed.
        sys.modules[self.module] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[self.module]
            raise
        return module


class _ContentLoader(SourceLoader):
    """A loader that executes the bytes already read, never cached bytecode of another version."""

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
        UserError: a file cannot be read or is not a Python file, or two have the same name.
    """
    files: dict[Path, PluginFile] = {}
    for path in (Path(path).absolute() for path in paths):
        if path.suffix != ".py":
            raise UserError(f"plugin file {path} is not a .py file")
        try:
            files[path] = PluginFile(path, path.read_bytes())
        except OSError as error:
            raise UserError(
                f"cannot read plugin file {path}: {describe_os_error(error)}"
            ) from error
    for path in files:
        for other in files:
            if other != path and other.name == path.name:
                raise UserError(f"plugin files {path} and {other} have the same name: rename one")
    return tuple(files.values())


def paths_from_environment() -> list[str]:
    """Return the paths in ``LATENTKIT_PLUGIN_FILES``; its separator is that of ``PATH``."""
    return [path for path in os.environ.get(VARIABLE, "").split(os.pathsep) if path]


def add_to_environment(paths: Iterable[str]) -> None:
    """Add paths to ``LATENTKIT_PLUGIN_FILES``, for this process and its child processes."""
    added = [str(Path(path).absolute()) for path in paths]
    os.environ[VARIABLE] = os.pathsep.join(dict.fromkeys([*paths_from_environment(), *added]))
