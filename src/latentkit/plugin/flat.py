"""Configurations and summaries as flat tables, the form that experiment trackers store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_LABELS = ("name", "share", "k")
"""Keys that identify a table within a list of tables."""


def flat_options(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's configuration as a flat dictionary keyed by ``"part.option"``.

    Args:
        config: as in `RunInfo.config`.

    Returns:
        Numbers, strings, booleans and lists of these. If a run may have several parts of a kind,
        the key includes the part's name, as in ``"corruption.gaussian-noise.std"``. A second part
        with the same name gets a number: ``"corruption.gaussian-noise-2.std"``.
    """
    return dict(_leaves(config, "", "."))


def flat_figures(summary: Mapping[str, Any]) -> dict[str, float]:
    """Return the numbers of a finished run as a flat dictionary keyed by ``"part/figure"``.

    Args:
        summary: as `latentkit_run_finished` receives it.

    Returns:
        Numbers. A figure with an error or an interval gives only its value, as in
        ``"reconstruction/mse"``. The key of a table in a list includes the table's label, as in
        ``"representation/spaces/latents/knn/share-0.1/accuracy"``. Strings, booleans and lists
        of numbers are left out.
    """
    leaves = _leaves(summary, "", "/")
    return {
        key.removesuffix("/value"): float(value)
        for key, value in leaves
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and not key.endswith(("/standard_error", "/low", "/high"))
    }


def _leaves(document: Mapping[str, Any], above: str, joint: str) -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        path = f"{above}{joint}{key}" if above else key
        if isinstance(value, Mapping):
            yield from _leaves(value, path, joint)
        elif isinstance(value, list | tuple) and any(isinstance(one, Mapping) for one in value):
            yield from _tables(value, path, joint)
        else:
            yield path, value


def _tables(tables: Any, path: str, joint: str) -> Iterator[tuple[str, Any]]:
    seen: dict[str, int] = {}
    for number, table in enumerate(tables):
        label = next((key for key in _LABELS if key in table), "")
        text = str(table.get(label, number))
        name = text if label in ("", "name") else f"{label}-{text}"
        seen[name] = seen.get(name, 0) + 1
        unique = name if seen[name] == 1 else f"{name}-{seen[name]}"
        rest = {key: value for key, value in table.items() if key != label or label == "name"}
        yield from _leaves(rest, f"{path}{joint}{unique}", joint)
