"""Duplicate names: parts whose name appears twice within one distribution."""

from __future__ import annotations

from collections.abc import Iterable

from latentkit.registry.loading import LoadedPlugin, Problem


def find_twins(plugins: Iterable[LoadedPlugin]) -> list[Problem]:
    """Return a problem for each plugin that offers the same part name as a sibling plugin.

    Sibling plugins belong to the same distribution, so not even ``distribution:name`` distinguishes
    their parts. All of them are left out, because the user could not see which one was chosen.

    Args:
        plugins: the loaded plugins; within each, the names of a kind are unique.
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
            problem = Problem(plugin.found, "broken", message, conduct=plugin.conduct)
            problems.setdefault(plugin.found.label, problem)
    return list(problems.values())
