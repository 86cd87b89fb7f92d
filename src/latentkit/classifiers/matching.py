"""Rules that match saved tensors to the tensors of a network.

1. A tensor matches the tensor of the same name.
2. The remaining tensors match if their names are equal without the prefixes in `PREFIXES`, however
   many there are. If several tensors on one side share such a name, none of them matches.

In both cases the shapes must be equal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

PREFIXES = ("module.", "_orig_mod.", "model.", "network.", "backbone.", "encoder.")
"""Prefixes that `latentkit` and other libraries put before names of an encoder's weights."""

COUNTER = "num_batches_tracked"
"""Last part of the names of batch normalisation's counters, which are not weights."""


@dataclass(frozen=True)
class Match:
    """The tensors of a source that match those of a network.

    Args:
        sources: for each name in the network, the name in the source.
        by_name: how many of them have the same name; the others match without prefixes.
        missing: names in the network whose tensors stay as they are.
        unused: names in the source that match nothing.
        other_shape: names that match with different shapes, each as (name in the network, its
            shape, the source's shape).
    """

    sources: Mapping[str, str]
    by_name: int
    missing: tuple[str, ...]
    unused: tuple[str, ...]
    other_shape: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]

    @property
    def finds_weights(self) -> bool:
        """Whether anything other than a counter matches."""
        return any(not name.endswith(COUNTER) for name in self.sources)

    def as_dict(self) -> dict[str, Any]:
        """Return the match as a JSON object."""
        return {
            "matched": dict(self.sources),
            "matched_by_name": self.by_name,
            "missing": list(self.missing),
            "unused": list(self.unused),
            "other_shape": [
                {"name": name, "shape": list(here), "shape_in_source": list(there)}
                for name, here, there in self.other_shape
            ],
        }


def match(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> Match:
    """Match the tensors of ``source`` to those of ``target``, a network's state."""
    pairs = {name: name for name in target if name in source}
    same_name = set(pairs)
    places = _unique(name for name in target if name not in pairs)
    offered = _unique(name for name in source if name not in pairs)
    pairs |= {places[bare]: offered[bare] for bare in places if bare in offered}
    fitting = {a: b for a, b in pairs.items() if target[a].shape == source[b].shape}
    return Match(
        sources=fitting,
        by_name=len(same_name & set(fitting)),
        missing=tuple(name for name in target if name not in fitting),
        unused=tuple(name for name in source if name not in set(fitting.values())),
        other_shape=tuple(
            (a, tuple(target[a].shape), tuple(source[b].shape))
            for a, b in pairs.items()
            if a not in fitting
        ),
    )


def bare_name(name: str) -> str:
    """Return a name without its prefixes, however many there are."""
    while prefix := next((p for p in PREFIXES if name.startswith(p)), ""):
        name = name.removeprefix(prefix)
    return name


def _unique(names: Iterable[str]) -> dict[str, str]:
    """Return the names by their bare form, without names that share one."""
    named = {name: bare_name(name) for name in names}
    counts = Counter(named.values())
    return {bare: name for name, bare in named.items() if counts[bare] == 1}
