"""Parts that have no name of their own, for their distribution offers another of that name."""

from __future__ import annotations

from collections.abc import Iterable

from latentkit.registry.loading import LoadedPlugin, Problem


def find_twins(plugins: Iterable[LoadedPlugin]) -> list[Problem]:
    """Return a problem for each plugin that offers a part which its neighbour offers too.

    Not even ``distribution:name`` tells such parts apart. Neither plugin is taken, for which one
    would be is decided by nothing that the user can see.

    Args:
        plugins: those that were loaded; each offers a name of a kind once.
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
