"""``latentkit plugins``: list, show, check, new."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from latentkit.cli import shared_options
from latentkit.errors import LatentkitError, StorageError, UserError, did_you_mean

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
    type=click.Choice(shared_options.KINDS),
    help="Only parts of this kind.",
)
@shared_options.settings_option("Check a part with this option instead of its default.")
@click.option(
    "--data-dir",
    metavar="DIR",
    help="Also check data sets that need downloads, and keep their files in this folder.",
)
@shared_options.json_option()
@shared_options.common_options
def check_parts(
    name: str | None,
    kind: str | None,
    options: tuple[str, ...],
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Check that parts do what latentkit expects of their kind.

    NAME is a part or a distribution; without it, everything that is installed is checked. The
    exit code is 1 if a check fails or a plugin does not load.
    """
    from latentkit.testing.suites import find_parts

    registry = shared_options.load_registry()
    parts = find_parts(registry, *([name] if name else []), kind=kind)
    names = [registry.short_name(part) for part in parts]
    values = _values_by_part(options, parts)
    data = Path(data_dir) if data_dir else None
    with shared_options.work_of_parts():
        checked = list(_check(list(zip(parts, names, strict=True)), values, data))
    if kind is None:
        checked += _not_loaded(registry, name)
    if as_json:
        shared_options.print_json([_facts(one) for one in checked])
    else:
        shared_options.print_rows(
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
            shared_options.echo(
                f"checking {part.spec.kind} {name} ({number} of {len(named)})", err=True
            )
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
    for key, value in shared_options.parse_options(texts).items():
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


@click.command("new")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(shared_options.KINDS),
    required=True,
    help="What the plugin offers.",
)
@click.option(
    "--no-decoder", is_flag=True, help="Create a model that only encodes: an encoder, with a loss."
)
@click.option(
    "--out",
    metavar="DIR",
    default=".",
    help="Folder in which the plugin's folder is created.  [default: here]",
)
@shared_options.common_options
def new_plugin(name: str, kind: str, no_decoder: bool, out: str) -> None:
    """Create a working plugin NAME, with options and tests.

    \b
    latentkit plugins new my-net --kind model
    pip install -e latentkit-my-net
    latentkit plugins check my-net
    """  # noqa: D301  # Click takes a real backspace
    from latentkit.scaffold.distribution import new_distribution

    written = new_distribution(name, kind, Path(out), decoder=not no_decoder)
    for path in written:
        shared_options.echo(path)
    root = written[0].parent
    install, test = (shlex.quote(str(words)) for words in (f"{root}[test]", root))
    shared_options.echo(f"\nNext: pip install -e {install} && python -m pytest {test}", err=True)


@click.group("plugins", cls=shared_options.CommandGroup)
def plugins_command() -> None:
    """List installed parts, show their options, check them, and create a new plugin."""


plugins_command.add_command(check_parts)
plugins_command.add_command(new_plugin)


@plugins_command.command("trust")
@click.argument("file", metavar="FILE.py")
@shared_options.common_options
def trust_command(file: str) -> None:
    """Allow a plugin file to be executed for runs that name it.

    A run that somebody sent may name a plugin file. latentkit executes it only after you named it
    with --plugin, or allowed it here. The permission is for the file's content: a changed file
    needs a new one. Read the file first.
    """
    from latentkit import trust
    from latentkit.registry.discovery import read_plugin_files

    (found,) = read_plugin_files([file])
    if not trust.trust("plugin", found.sha256, str(found.path)):
        raise StorageError(f"{trust.folder()} cannot be written: change its permissions")
    shared_options.echo(f"{found.path} may be executed for runs that name it")
    shared_options.echo(f"to take this back, delete its file in {trust.folder()}")


@plugins_command.command("list")
@click.option("--kind", type=click.Choice(shared_options.KINDS), help="Only parts of this kind.")
@shared_options.json_option()
@shared_options.common_options
def list_parts(kind: str | None, as_json: bool) -> None:
    """List every model, data set, corruption, embedding and tuner."""
    registry = shared_options.load_registry()
    parts = registry.parts(kind)
    if as_json:
        shared_options.print_json([_part_facts(part, registry) for part in parts])
        return
    shared_options.print_rows(
        ("kind", "name", "what it does", "from"),
        (
            (
                part.spec.kind,
                registry.short_name(part),
                part.spec.summary,
                f"{part.plugin.distribution} {part.plugin.version}",
            )
            for part in parts
        ),
    )


@plugins_command.command("show")
@click.argument("name")
@click.option(
    "--kind",
    type=click.Choice(shared_options.KINDS),
    help="Kind of the part, if several kinds share the name.",
)
@shared_options.json_option()
@shared_options.common_options
def show_part(name: str, kind: str | None, as_json: bool) -> None:
    """Show what NAME does, where it comes from, and every option it takes."""
    registry = shared_options.load_registry()
    part = _find(registry, name, kind)
    facts = {**_part_facts(part, registry), "options": option_facts(part)}
    if as_json:
        shared_options.print_json(facts)
        return
    spec = part.spec
    shared_options.echo(f"{spec.kind} {registry.short_name(part)}: {spec.summary}")
    shared_options.echo(f"from {part.plugin.distribution} {part.plugin.version}, {spec.target}")
    if spec.tags:
        shared_options.echo(f"tags: {', '.join(sorted(spec.tags))}")
    if spec.requires:
        missing = facts["missing"]
        state = f"missing: {', '.join(missing)}" if missing else "installed"
        shared_options.echo(f"needs: {', '.join(spec.requires)} ({state})")
    if not facts["options"]:
        shared_options.echo("It has no options.")
        return
    shared_options.echo()
    shared_options.print_rows(
        ("option", "default", "values", "search", "meaning"),
        (
            (f["name"], _shown(f["default"]), f["values"], f["search"], f["description"])
            for f in facts["options"]
        ),
    )


def option_facts(part: Part) -> list[dict[str, Any]]:
    """Return name, default, accepted values, search range and meaning of each option."""
    from latentkit.registry.options import describe_options

    return describe_options(part.options_type())


def _find(registry: Registry, name: str, kind: str | None) -> Part:
    found = [part for part in registry.parts(kind) if part.is_called(name)]
    if not found:
        known = sorted({part.spec.name for part in registry.parts(kind)})
        raise UserError(
            f"there is no {kind or 'part'} {name!r}{did_you_mean(name, known)}: 'latentkit plugins "
            f"list' shows all parts"
        )
    kinds = {part.spec.kind for part in found}
    if len(kinds) > 1:
        raise UserError(f"{name!r} is a {' and a '.join(sorted(kinds))}: add --kind")
    return registry.get(found[0].spec.kind, name)


def _part_facts(part: Part, registry: Registry) -> dict[str, Any]:
    from latentkit.registry.options import missing_requirements

    spec = part.spec
    return {
        "kind": spec.kind,
        "name": registry.short_name(part),
        "qualified_name": part.qualified_name,
        "summary": spec.summary,
        "distribution": part.plugin.distribution,
        "version": part.plugin.version,
        "plugin": part.plugin.name,
        "target": spec.target,
        "tags": sorted(spec.tags),
        "requires": list(spec.requires),
        "missing": missing_requirements(spec),
    }


def _shown(value: Any) -> str:
    """Return a default as a user would type it; an option that is not set is empty."""
    if isinstance(value, list):
        return f"[{','.join(map(_shown, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)
