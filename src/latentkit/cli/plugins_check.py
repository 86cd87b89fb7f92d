"""``latentkit plugins check``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.choices import settings_option
from latentkit.cli.common import (
    KINDS,
    common_options,
    load_registry,
    parse_options,
    print_json,
    print_rows,
    work_of_parts,
)
from latentkit.errors import LatentkitError, UserError

if TYPE_CHECKING:
    from latentkit.registry.catalogue import Part, Registry
    from latentkit.testing.conformance import Result

_PASSED, _FAILED = "passed", "failed"


@dataclass(frozen=True)
class _Checked:
    """A part with its results or the reason to leave it out; or a plugin that does not load."""

    kind: str
    name: str
    qualified_name: str
    left_out: str
    results: list[Result]

    def of(self, outcome: str) -> list[Result]:
        return [result for result in self.results if result.outcome == outcome]


@click.command("check")
@click.argument("name", required=False)
@click.option(
    "--kind",
    type=click.Choice(KINDS),
    help="Only parts of this kind.",
)
@settings_option("Check a part with this option instead of its default.")
@click.option(
    "--data-dir",
    metavar="DIR",
    help="Also check data sets that need downloads, and keep their files in this folder.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def check_parts(
    name: str | None,
    kind: str | None,
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Check that parts keep the contract of their kind.

    NAME is a part or a distribution; without it, everything that is installed is checked. The
    exit code is 1 if a check fails or a plugin does not load.
    """
    from latentkit.testing.suites import find_parts

    registry = load_registry()
    parts = find_parts(registry, *([name] if name else []), kind=kind)
    names = [registry.short_name(part) for part in parts]
    values = _values_by_part(options, parts)
    data = Path(data_dir) if data_dir else None
    with work_of_parts():
        checked = list(_check(list(zip(parts, names, strict=True)), values, data))
    if kind is None:
        checked += _not_loaded(registry, name)
    if as_json:
        print_json([_facts(one) for one in checked])
    else:
        print_rows(
            ("kind", "name", "result", "meaning"), (r for one in checked for r in _rows(one))
        )
    _end(checked)


def _check(
    named: list[tuple[Part, str]], values: dict[str, dict[str, Any]], data: Path | None
) -> Iterator[_Checked]:
    from latentkit.testing.conformance import check_part, why_left_out

    for number, (part, name) in enumerate(named, 1):
        chosen = values.get(part.spec.name)
        reason = why_left_out(part, chosen, data)
        results: list[Result] = []
        if not reason:
            click.echo(f"checking {part.spec.kind} {name} ({number} of {len(named)})", err=True)
            results = check_part(part, options=chosen, data=data)
        yield _Checked(part.spec.kind, name, part.qualified_name, reason, results)


def _not_loaded(registry: Registry, distribution: str | None) -> Iterator[_Checked]:
    """Yield the plugins that failed to load, from one distribution or from all."""
    from latentkit.testing.conformance import Result

    for problem in registry.problems:
        found = problem.plugin
        if distribution in (None, found.distribution):
            name = f"{found.distribution}:{found.name}"
            fault = Result("plugin_loads", "failed", problem.message)
            yield _Checked("plugin", name, name, "", [fault])


def _values_by_part(texts: tuple[str, ...], parts: list[Part]) -> dict[str, dict[str, Any]]:
    """Return the options of each part after validating them.

    Raises:
        UserError: an option belongs to no part that is checked, or is not valid.
    """
    found: dict[str, dict[str, Any]] = {}
    for key, value in parse_options(texts).items():
        name, dot, option = key.rpartition(".")
        meant = [part for part in parts if name in (part.spec.name, part.qualified_name)]
        if not (dot and meant):
            raise UserError(f"-o {key}: write NAME.KEY=VALUE, with the name of a part to check")
        for part in meant:
            found.setdefault(part.spec.name, {})[option] = value
            part.options(found[part.spec.name])
    return found


def _rows(one: _Checked) -> Iterator[tuple[str, str, str, str]]:
    if one.left_out:
        yield one.kind, one.name, "left out", one.left_out
        return
    yield one.kind, one.name, f"{len(one.of(_PASSED))} of {len(one.results)} passed", ""
    for result in one.of(_FAILED):
        yield "", "", result.check, result.reason


def _facts(one: _Checked) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "name": one.name,
        "qualified_name": one.qualified_name,
        "left_out": one.left_out,
        "checks": [
            {"check": r.check, "outcome": r.outcome, "reason": r.reason} for r in one.results
        ],
    }


def _end(checked: Iterable[_Checked]) -> None:
    """Raise an error if something failed or nothing was checked."""
    done = [one for one in checked if not one.left_out]
    if not done:
        raise UserError("nothing was checked: every selected part is left out")
    if failed := [one for one in done if one.of(_FAILED)]:
        count = sum(len(one.of(_FAILED)) for one in failed)
        names = ", ".join(one.name for one in failed)
        raise LatentkitError(f"{count} {'check' if count == 1 else 'checks'} failed, of {names}")
