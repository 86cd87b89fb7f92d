"""The registry: which parts exist, which part a name means, and which plugins were left out."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from latentkit import caches, trust
from latentkit.errors import PluginError, UserError, did_you_mean
from latentkit.neighbors.threads import start_numba
from latentkit.plugin.options import Options
from latentkit.plugin.specs import SPEC_TYPES, Spec
from latentkit.registry import discovery
from latentkit.registry.loading import (
    LoadedPlugin,
    PluginLoader,
    Problem,
    find_duplicate_names,
    guarded,
    observed,
)
from latentkit.registry.options import check_requirements, options_type, resolve_target, validate

KINDS = tuple(SPEC_TYPES)


@dataclass(frozen=True)
class Part:
    """One part: its spec and the plugin that offers it."""

    spec: Spec
    plugin: discovery.FoundPlugin

    @property
    def qualified_name(self) -> str:
        """``distribution:name``, which is never ambiguous."""
        return f"{self.plugin.distribution}:{self.spec.name}"

    def is_called(self, name: str) -> bool:
        """Return whether ``name`` is the part's name, with or without its distribution."""
        return name in (self.spec.name, self.qualified_name)

    def __str__(self) -> str:
        return f"{self.spec.kind} {self.spec.name!r}"

    def options_type(self) -> type[Options]:
        """Return the class of the part's options."""
        return options_type(self.spec)

    def options(self, values: Mapping[str, Any]) -> Options:
        """Validate ``values`` as the part's options; raises what `validate` raises."""
        return validate(self.options_type(), values, f"{self.spec.kind} {self.spec.name}")

    def target(self) -> Any:
        """Check the requirements and import the target that the spec names.

        Raises:
            BrokenEnvironmentError: a requirement is not met.
            PluginError: the target cannot be imported.
        """
        check_requirements(self.spec)
        if self.spec.kind == "embedding":
            caches.prepare_numba()  # packages of maps compile with numba when they are imported
            start_numba()
        return resolve_target(self.spec.target, str(self))


class Registry:
    """All parts of all loaded plugins.

    Args:
        found: the plugins to load, e.g. from `find_plugins`.
        policy: which of them may load.
        files: plugins in single files. The policy does not apply to them, because the user asked
            for each of them explicitly.

    Raises:
        PluginError: a plugin file is broken, or the policy is strict and any plugin is broken.
    """

    def __init__(
        self,
        found: Iterable[discovery.FoundPlugin],
        policy: discovery.PluginPolicy | None = None,
        files: Iterable[discovery.PluginFile] = (),
    ) -> None:
        policy = self.policy = policy or discovery.PluginPolicy()
        self._loader = PluginLoader()
        self.plugins: list[LoadedPlugin] = []
        self.problems: list[Problem] = []
        self.skipped: list[discovery.FoundPlugin] = []
        for plugin in sorted(found):
            if not policy.allows(plugin):
                self.skipped.append(plugin)
                continue
            loaded = self._loader.load(plugin)
            if isinstance(loaded, LoadedPlugin):
                self.plugins.append(loaded)
            else:
                self._set_aside(loaded, policy)
        for duplicate in find_duplicate_names(self.plugins):
            self._set_aside(duplicate, policy)
        self.files = tuple(files)
        for file in self.files:
            loaded = self._loader.load(discovery.found_file(file))
            if not isinstance(loaded, LoadedPlugin):
                raise PluginError(f"plugin file {file.path} is {loaded.status}: {loaded.message}")
            self.plugins.append(loaded)

    def _set_aside(self, problem: Problem, policy: discovery.PluginPolicy) -> None:
        if policy.strict:
            raise PluginError(str(problem))
        self._loader.forget(problem.plugin)
        self.plugins = [plugin for plugin in self.plugins if plugin.found != problem.plugin]
        self.problems.append(problem)

    def remarks(self) -> list[str]:
        """Return a line for each third-party plugin that was slow to load or that printed."""
        observed = [(plugin.found, plugin.side_effects) for plugin in self.plugins]
        observed += [(problem.plugin, problem.side_effects) for problem in self.problems]
        return [
            f"{found.label} {remark}"
            for found, side_effects in observed
            if not found.built_in
            for remark in side_effects.remarks()
        ]

    def parts(self, kind: str | None = None) -> list[Part]:
        """Return all parts, of one kind or of all, sorted by kind, name and distribution."""
        parts = [
            Part(spec, plugin.found)
            for plugin in self.plugins
            for spec in plugin.specs
            if kind in (None, spec.kind)
        ]
        return sorted(
            parts, key=lambda p: (KINDS.index(p.spec.kind), p.spec.name, p.plugin.distribution)
        )

    def get(self, kind: str, name: str) -> Part:
        """Return the part called ``name`` or ``distribution:name``.

        Raises:
            UserError: there is no such part, or the bare name is ambiguous.
        """
        found = [part for part in self.parts(kind) if part.is_called(name)]
        if len(found) == 1:
            return found[0]
        if found:
            choices = " or ".join(part.qualified_name for part in found)
            raise UserError(f"{kind} {name!r} is offered more than once: choose {choices}")
        known = sorted({part.spec.name for part in self.parts(kind)})
        if not known:
            raise UserError(
                f"no plugin offers any {kind}: the installation is incomplete; run "
                f"'latentkit doctor'"
            )
        near = did_you_mean(name, known)
        own = "" if near else " (a plugin file of your own is read with --plugin FILE)"
        raise UserError(
            f"there is no {kind} {name!r}{near}; known {kind}s: {', '.join(known)}{own}"
        )

    def short_name(self, part: Part) -> str:
        """Return the bare name if it is unambiguous, otherwise ``distribution:name``."""
        same = [p for p in self.parts(part.spec.kind) if p.spec.name == part.spec.name]
        return part.spec.name if len(same) == 1 else part.qualified_name

    def default_name(self, kind: str, name: str) -> str:
        """Return an unambiguous name of a built-in part that is used as a default.

        If a plugin offers a part of the same name, the bare name is ambiguous when a user types
        it. A default still means the built-in part.
        """
        same = [part for part in self.parts(kind) if part.spec.name == name]
        return name if len(same) < 2 else f"{discovery.HOME}:{name}"

    def notify(self, hook: str, **arguments: Any) -> dict[str, str]:
        """Call a lifecycle hook of every plugin, one by one; their output goes to stderr.

        Returns:
            Error messages by plugin and hook. A failing plugin does not stop the others.
        """
        failures = {}
        for plugin in self.plugins:
            with observed():
                fault = guarded(partial(self._loader.call, plugin.found, hook, **arguments))
            if fault:
                failures[f"{plugin.found.label}: {hook}"] = fault
        return failures


def default_registry(
    files: Iterable[str | os.PathLike[str]] = (), read: Iterable[discovery.PluginFile] = ()
) -> Registry:
    """Return the registry of the installed plugins under the environment's policy.

    The registry is cached in the process, by policy and by content of the files.

    Args:
        files: plugins in single files, in addition to those of ``LATENTKIT_PLUGIN_FILES``. The user
            named them, so runs that name them may use them from now on.
        read: files that were read before and that the user has allowed.

    Raises:
        UserError: a file cannot be read.
        PluginError: a plugin file is broken, or the policy is strict and any plugin is broken.
    """
    named = discovery.read_plugin_files([*discovery.paths_from_environment(), *files])
    for file in named:
        trust.trust("plugin", file.sha256, str(file.path))
    return _load(
        os.environ.get(discovery.LOADED_PLUGINS),
        os.environ.get("LATENTKIT_STRICT"),
        discovery.read_plugin_files([], [*named, *read]),
    )


@functools.cache
def _load(
    plugins: str | None, strict: str | None, files: tuple[discovery.PluginFile, ...]
) -> Registry:
    return Registry(discovery.find_plugins(), discovery.policy_from_environment(), files)
