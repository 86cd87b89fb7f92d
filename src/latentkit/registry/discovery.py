"""Find plugins, installed or in single files, without importing them.

Found and loaded plugins have different types, so that one cannot be mistaken for the other.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.abc import SourceLoader
from importlib.metadata import Distribution, distributions
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

from latentkit.errors import UserError, describe_os_error
from latentkit.reading import open_file

VARIABLE = "LATENTKIT_PLUGIN_FILES"
LOADED_PLUGINS = "LATENTKIT_PLUGINS"


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
        """Return the bytes that were read before; the path is ignored."""
        return self._file.source


def read_plugin_file(path: Path) -> PluginFile:
    """Read one plugin file, without executing it.

    Raises:
        UserError: the file cannot be read.
    """
    try:
        with open_file(path) as file:
            return PluginFile(path, file.read())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = describe_os_error(error) if isinstance(error, OSError) else str(error)
        raise UserError(f"cannot read plugin file {path}: {reason}") from error


def read_plugin_files(
    paths: Iterable[str | os.PathLike[str]], read: Iterable[PluginFile] = ()
) -> tuple[PluginFile, ...]:
    """Read plugin files, each once.

    Args:
        paths: the files.
        read: files that were read before, to add to them.

    Raises:
        UserError: a file cannot be read or is not a Python file, or two have the same name.
    """
    files = {file.path: file for file in read}
    for path in (Path(path).absolute() for path in paths):
        if path in files:
            continue
        if path.suffix != ".py":
            raise UserError(f"plugin file {path} is not a .py file")
        files[path] = read_plugin_file(path)
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


GROUP = "latentkit.plugins"
HOME = "latentkit"
"""The distribution whose plugins offer the built-in parts."""


@dataclass(frozen=True, order=True)
class FoundPlugin:
    """A plugin that was found: an entry point or a single file.

    Args:
        distribution: the distribution that has the entry point, normalised (PEP 503); for a file,
            its name.
        name: the entry point's name; for a file, its name without the suffix.
        module: the import path, ``package.module`` or ``package.module:object``.
        version: the distribution's version; for a file, the first digits of its SHA-256.
        file: the file; None for an entry point.
    """

    distribution: str
    name: str
    module: str
    version: str
    file: PluginFile | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """The plugin's name in messages."""
        return f"plugin {self.name!r} of {self.distribution} {self.version}"

    @property
    def built_in(self) -> bool:
        """Whether the plugin belongs to latentkit itself."""
        return self.distribution == HOME


@dataclass(frozen=True)
class PluginPolicy:
    """Which plugins may be loaded, and what to do about a broken one.

    Args:
        allow: distributions of third-party plugins that may load; None allows all. Built-in parts
            always load.
        strict: raise an error for a broken plugin instead of leaving it out.
    """

    allow: frozenset[str] | None = None
    strict: bool = False

    def allows(self, found: FoundPlugin) -> bool:
        """Return whether ``found`` may be loaded."""
        return found.built_in or self.allow is None or found.distribution in self.allow

    def unknown(self, found: Iterable[FoundPlugin]) -> frozenset[str]:
        """Return the allowed distributions that are not among ``found``."""
        return (self.allow or frozenset()) - {plugin.distribution for plugin in found}


def policy_from_environment() -> PluginPolicy:
    """Read ``LATENTKIT_PLUGINS`` (distributions, comma-separated) and ``LATENTKIT_STRICT``.

    If ``LATENTKIT_PLUGINS`` is the empty string, no third-party plugin may load.
    """
    listed = os.environ.get(LOADED_PLUGINS)
    allow = None
    if listed is not None:
        allow = frozenset(_normal(name) for name in listed.split(",") if name.strip())
    return PluginPolicy(allow, strict=os.environ.get("LATENTKIT_STRICT", "") not in ("", "0"))


def found_file(file: PluginFile) -> FoundPlugin:
    """Return the plugin in a file, with the file's name in place of a distribution's."""
    path = file.path
    return FoundPlugin(path.name, path.stem, file.module, file.sha256[:12], file)


def find_plugins() -> list[FoundPlugin]:
    """Return every entry point of the group, sorted, so that the order of scanning has no effect.

    Distributions are read one by one, because `importlib.metadata.entry_points` silently drops a
    plugin when two distributions have plugins of the same name.
    """
    first: dict[str, list[FoundPlugin]] = {}
    for distribution in distributions():
        # A damaged or half-removed package, from whatever source, must not stop latentkit.
        with suppress(Exception):
            name, plugins = _offered_by(distribution)
            # Python imports the first of its name on the path; later ones are shadowed.
            first.setdefault(name, plugins)
    return sorted(plugin for plugins in first.values() for plugin in plugins)


def _offered_by(distribution: Distribution) -> tuple[str, list[FoundPlugin]]:
    metadata = distribution.metadata
    name = _normal(metadata["Name"])
    return name, [
        FoundPlugin(name, entry.name, entry.value, metadata["Version"])
        for entry in distribution.entry_points
        if entry.group == GROUP
    ]


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name.strip()).lower()
