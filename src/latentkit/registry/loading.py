"""Load the found plugins one at a time, and leave out those that fail."""

from __future__ import annotations

import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field, replace
from importlib.metadata import EntryPoint
from typing import Any, TextIO

import pluggy
from packaging.requirements import InvalidRequirement, Requirement

from latentkit.errors import did_you_mean
from latentkit.plugin import HOOKSPEC_VERSION, hookspecs
from latentkit.plugin.decorated_parts import decorated_parts
from latentkit.plugin.specs import SPEC_TYPES, Spec
from latentkit.registry.discovery import GROUP, FoundPlugin

_WITHOUT = "--no-plugins leaves all plugins out"

SLOW = 2.0
"""Load time, in seconds, from which a plugin is reported as slow."""


@dataclass
class SideEffects:
    """Observed side effects of loading a plugin.

    Args:
        seconds: time for its import and its hooks together.
        printed: whether it wrote to stdout.
    """

    seconds: float = 0.0
    printed: bool = False

    @property
    def slow(self) -> bool:
        """Whether the plugin delays every command enough for the user to be told."""
        return self.seconds >= SLOW

    def remarks(self) -> list[str]:
        """Return a line for each problem that the plugin's author should fix."""
        lines = []
        if self.slow:
            lines.append(f"took {self.seconds:.1f} s to load")
        if self.printed:
            lines.append("wrote to stdout while loading; the text was sent to stderr")
        return lines


@contextmanager
def observed() -> Iterator[SideEffects]:
    """Observe plugin code in the block; send its output to stderr, because stdout is the result."""
    side_effects = SideEffects()
    out = _Diverted(sys.stderr)
    started = time.perf_counter()
    try:
        with redirect_stdout(out):
            yield side_effects
    finally:
        side_effects.seconds = time.perf_counter() - started
        side_effects.printed = out.used


class _Diverted:
    """A replacement for stdout that writes to stderr and records whether it was used."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.used = False

    def write(self, text: str) -> int:
        """Write to stderr."""
        self.used = True
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


VERSION_ATTRIBUTE = "LATENTKIT_HOOKSPEC_VERSION"


@dataclass(frozen=True)
class Problem:
    """The reason why a plugin was left out.

    Args:
        plugin: the plugin.
        status: ``"broken"``, or ``"incompatible"`` with this version of the contract.
        message: the reason, in one line.
        details: the traceback, if there is one.
        side_effects: side effects observed until then.
    """

    plugin: FoundPlugin
    status: str
    message: str
    details: str = ""
    side_effects: SideEffects = field(default_factory=SideEffects, compare=False)

    def __str__(self) -> str:
        return f"{self.plugin.label} is {self.status} and was left out: {self.message}"


@dataclass(frozen=True)
class LoadedPlugin:
    """A plugin that was imported, states its version and returned valid specs.

    Args:
        found: where it comes from.
        specs: the parts that it offers.
        hooks: the names of the hooks that it implements.
        side_effects: side effects observed while it was loaded.
    """

    found: FoundPlugin
    specs: tuple[Spec, ...]
    hooks: tuple[str, ...] = ()
    side_effects: SideEffects = field(default_factory=SideEffects, compare=False)

    @property
    def watches_runs(self) -> bool:
        """Whether it implements a hook that watches runs or studies."""
        return not set(self.hooks) <= {_hook_of(kind) for kind in SPEC_TYPES}


class PluginLoader:
    """Holder of the pluggy manager; it calls every hook for one plugin at a time.

    It never uses pluggy's own broadcast, which stops at the first implementation that raises.
    """

    def __init__(self) -> None:
        self.manager = pluggy.PluginManager("latentkit")
        self.manager.add_hookspecs(hookspecs)
        self._plugins: dict[FoundPlugin, object] = {}

    def load(self, found: FoundPlugin) -> LoadedPlugin | Problem:
        """Import and register ``found``, and get its specs; any failure becomes a `Problem`."""
        with observed() as side_effects:
            loaded = self._load(found)
        return replace(loaded, side_effects=side_effects)

    def _load(self, found: FoundPlugin) -> LoadedPlugin | Problem:
        try:
            plugin = _imported(found)
            if problem := self._version_problem(found, plugin):
                return problem
            self._register(found, plugin)
            specs = self._ask(found)
            hooks = self.manager.get_hookcallers(plugin) or []
            if not specs and not hooks:
                raise ValueError(_nothing_found(plugin))
        except KeyboardInterrupt as stop:
            # If the plugin hangs and the user presses Ctrl-C, the message names the plugin. A
            # plugin that raises this exception itself looks the same.
            stop.add_note(f"while {found.label} was loaded: {_WITHOUT}")
            raise
        # Catch SystemExit too: a plugin that is also a script must not stop latentkit.
        except BaseException as error:
            self.forget(found)
            return Problem(found, "broken", _one_line(error), traceback.format_exc())
        return LoadedPlugin(found, specs, tuple(hook.name for hook in hooks if hook.has_spec()))

    def call(self, found: FoundPlugin, hook: str, **arguments: Any) -> Any:
        """Call one hook of one plugin; return None if the plugin does not implement it."""
        plugin = self._plugins[found]
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        answers = self.manager.subset_hook_caller(hook, others)(**arguments)
        return answers[0] if answers else None

    def _version_problem(self, found: FoundPlugin, plugin: object) -> Problem | None:
        stated = getattr(plugin, VERSION_ATTRIBUTE, None)
        # Decorated parts of a file state none, because this release has made their specs itself.
        needed = found.file is None or not decorated_parts(plugin)
        if stated == HOOKSPEC_VERSION or (stated is None and not needed):
            return None
        if stated is None:
            message = f"it does not state its version: set {VERSION_ATTRIBUTE} = {HOOKSPEC_VERSION}"
            if found.file:
                message += " (a file needs none if it has decorated parts, such as @corruption)"
        else:
            message = (
                f"it is written for version {stated!r} of the plugin contract, and this is version "
                f"{HOOKSPEC_VERSION}: install a release of {found.distribution} that fits"
            )
        return Problem(found, "incompatible", message)

    def _register(self, found: FoundPlugin, plugin: object) -> None:
        self.manager.register(plugin, name=f"{found.distribution}:{found.name}")
        self._plugins[found] = plugin
        known = [name for name in vars(hookspecs) if name.startswith("latentkit_")]
        for hook in self.manager.get_hookcallers(plugin) or ():
            if not hook.has_spec() and not all(i.optionalhook for i in hook.get_hookimpls()):
                near = did_you_mean(hook.name, known)
                raise ValueError(f"there is no hook {hook.name!r}{near}")

    def forget(self, found: FoundPlugin) -> None:
        """Remove a plugin, no matter at which point its loading failed."""
        plugin = self._plugins.pop(found, None)
        name = f"{found.distribution}:{found.name}"
        if plugin is not None:
            self.manager.unregister(plugin)
        elif self.manager.has_plugin(name):  # register() itself failed half-way
            self.manager.unregister(name=name)

    def _ask(self, found: FoundPlugin) -> tuple[Spec, ...]:
        specs: list[Spec] = []
        for kind, spec_type in SPEC_TYPES.items():
            hook = _hook_of(kind)
            answer = self.call(found, hook)
            for spec in answer or ():  # a generator may raise here
                if type(spec) is not spec_type:
                    raise TypeError(
                        f"{hook} gave {_short(spec)}, expected {spec_type.__name__} objects"
                    )
                _add(specs, spec, f"{hook} gave two parts named {spec.name!r}")
        for part in decorated_parts(self._plugins[found]):
            kind, name = part.spec.kind, part.spec.name
            twice = f"two {kind}s are named {name!r}: use @{kind}(name=...) for one"
            _add(specs, part.spec, twice)
        return tuple(specs)


def _hook_of(kind: str) -> str:
    return f"latentkit_{kind}s"


def _imported(found: FoundPlugin) -> Any:
    if found.file is not None:
        return found.file.load()
    return EntryPoint(found.name, found.module, GROUP).load()


def _add(specs: list[Spec], spec: Spec, twice: str) -> None:
    """Check a spec and add it to the others; ``twice`` is the error if its name is taken."""
    if any(other.kind == spec.kind and other.name == spec.name for other in specs):
        raise ValueError(twice)
    _check_requires(spec)
    specs.append(spec)


def _check_requires(spec: Spec) -> None:
    for item in spec.requires:
        try:
            Requirement(item)
        except InvalidRequirement as error:
            raise ValueError(
                f"{spec.name} requires {item!r}, which is not a pip requirement (PEP 508)"
            ) from error


def _nothing_found(plugin: object) -> str:
    bare = [name for name in vars(plugin) if name.startswith("latentkit_")]
    if bare:
        return f"{', '.join(sorted(bare))} is not decorated with @hookimpl, so nothing is offered"
    return "it implements none of latentkit's hooks, and no part of its own is decorated"


def _one_line(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "MemoryError: it, or the system, is out of memory"
    try:
        text = " ".join(str(error).split())
    except Exception:  # the exception's __str__ may be the plugin's code, and may fail too
        text = ""
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _short(value: object, limit: int = 60) -> str:
    shown = repr(value)
    return shown if len(shown) <= limit else shown[: limit - 3] + "..."


def guarded(work: Callable[[], Any]) -> str | None:
    """Run plugin code that must not stop latentkit; return its error in one line, or None."""
    try:
        work()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return _one_line(error)
    return None


def find_duplicate_names(plugins: Iterable[LoadedPlugin]) -> list[Problem]:
    """Return a problem for each plugin that offers the same part name as a sibling plugin.

    Sibling plugins belong to the same distribution, so not even ``distribution:name`` distinguishes
    their parts. All of them are left out, because the user could not see which one was chosen.

    Args:
        plugins: the loaded plugins. No single plugin uses a name twice for the same kind of part.
    """
    offers: dict[tuple[str, str, str], list[LoadedPlugin]] = {}
    for plugin in plugins:
        for spec in plugin.specs:
            offers.setdefault((plugin.found.distribution, spec.kind, spec.name), []).append(plugin)
    problems: dict[str, Problem] = {}
    for (_, kind, name), offering in offers.items():
        for plugin in offering if len(offering) > 1 else ():
            others = " and ".join(repr(o.found.name) for o in offering if o is not plugin)
            message = f"it offers {kind} {name!r}, and so does {others} of the same distribution"
            problem = Problem(plugin.found, "broken", message, side_effects=plugin.side_effects)
            problems.setdefault(plugin.found.label, problem)
    return list(problems.values())
