"""Find plugins without importing them.

Found and loaded plugins have different types, so that one cannot be mistaken for the other.
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
    listed = os.environ.get("LATENTKIT_PLUGINS")
    allow = None
    if listed is not None:
        allow = frozenset(_normal(name) for name in listed.split(",") if name.strip())
    return PluginPolicy(allow, strict=os.environ.get("LATENTKIT_STRICT", "") not in ("", "0"))


def found_file(file: PluginFile) -> FoundPlugin:
    """Return the plugin in a file; its file name takes the place of a distribution's name."""
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
