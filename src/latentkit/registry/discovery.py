"""Find plugins without importing them.

"Found" and "loaded" are two types, so neither is taken for the other.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.metadata import Distribution, distributions

from latentkit.registry.files import PluginFile

GROUP = "latentkit.plugins"
HOME = "latentkit"
"""The distribution whose plugins are the built-in parts."""


@dataclass(frozen=True, order=True)
class FoundPlugin:
    """An entry point that names a plugin, or a file that is one.

    Args:
        distribution: the installed distribution that names it, normalised (PEP 503); a file's name.
        name: the entry point's name.
        module: the import path it points to, ``package.module`` or ``package.module:object``.
        version: the distribution's version; the beginning of a file's SHA-256.
        file: the file, where it is one.
    """

    distribution: str
    name: str
    module: str
    version: str
    file: PluginFile | None = field(default=None, compare=False)

    @property
    def label(self) -> str:
        """What a message calls the plugin."""
        return f"plugin {self.name!r} of {self.distribution} {self.version}"

    @property
    def built_in(self) -> bool:
        """Whether the plugin belongs to latentkit itself."""
        return self.distribution == HOME


@dataclass(frozen=True)
class PluginPolicy:
    """Which plugins may be loaded, and how to take a broken one.

    Args:
        allow: distributions of third-party plugins that may load; None for all. Built-in parts
            always load.
        strict: raise on a broken plugin instead of going on without it.
    """

    allow: frozenset[str] | None = None
    strict: bool = False

    def allows(self, found: FoundPlugin) -> bool:
        """Return whether ``found`` may be loaded."""
        return found.built_in or self.allow is None or found.distribution in self.allow

    def unknown(self, found: Iterable[FoundPlugin]) -> frozenset[str]:
        """Return the distributions that may load and are not among ``found``."""
        return (self.allow or frozenset()) - {plugin.distribution for plugin in found}


def policy_from_environment() -> PluginPolicy:
    """Read ``LATENTKIT_PLUGINS`` (distributions, comma-separated) and ``LATENTKIT_STRICT``.

    ``LATENTKIT_PLUGINS`` set to the empty string allows no third-party plugin.
    """
    listed = os.environ.get("LATENTKIT_PLUGINS")
    allow = None
    if listed is not None:
        allow = frozenset(_normal(name) for name in listed.split(",") if name.strip())
    return PluginPolicy(allow, strict=os.environ.get("LATENTKIT_STRICT", "") not in ("", "0"))


def found_file(file: PluginFile) -> FoundPlugin:
    """Return the plugin in a file, as if a distribution of the file's name offered it."""
    path = file.path
    return FoundPlugin(path.name, path.stem, file.module, file.sha256[:12], file)


def find_plugins() -> list[FoundPlugin]:
    """Return every entry point of the group, sorted, so that no order of scanning shows.

    Distributions are asked one by one: `importlib.metadata.entry_points` would drop the second
    of two distributions' plugins of one name without a word.
    """
    first: dict[str, list[FoundPlugin]] = {}
    for distribution in distributions():
        # A package that is damaged or half removed, whosever it is, must not end the tool.
        with suppress(Exception):
            name, plugins = _offered_by(distribution)
            # The first on the path is the one that is imported; a later one is shadowed.
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
