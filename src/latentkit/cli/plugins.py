"""``latentkit plugins``: list, show, check, new."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from latentkit.cli.common import KINDS, common_options, load_registry, print_json, print_rows
from latentkit.cli.plugins_check import check_parts
from latentkit.cli.plugins_new import new_plugin
from latentkit.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from latentkit.registry.catalogue import Part, Registry


@click.group("plugins")
def command() -> None:
    """List installed parts, show their options, check them, and create a new plugin."""


command.add_command(check_parts)
command.add_command(new_plugin)


@command.command("list")
@click.option("--kind", type=click.Choice(KINDS), help="Only parts of this kind.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def list_parts(kind: str | None, as_json: bool) -> None:
    """List every model, data set, corruption, embedding and tuner."""
    registry = load_registry()
    parts = registry.parts(kind)
    if as_json:
        print_json([_part_facts(part, registry) for part in parts])
        return
    print_rows(
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


@command.command("show")
@click.argument("name")
@click.option(
    "--kind", type=click.Choice(KINDS), help="Kind of the part, if several kinds share the name."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
@common_options
def show_part(name: str, kind: str | None, as_json: bool) -> None:
    """Show what NAME does, where it comes from, and every option it takes."""
    registry = load_registry()
    part = _find(registry, name, kind)
    facts = {**_part_facts(part, registry), "options": option_facts(part)}
    if as_json:
        print_json(facts)
        return
    spec = part.spec
    click.echo(f"{spec.kind} {registry.short_name(part)}: {spec.summary}")
    click.echo(f"from {part.plugin.distribution} {part.plugin.version}, {spec.target}")
    if spec.tags:
        click.echo(f"tags: {', '.join(sorted(spec.tags))}")
    if spec.requires:
        missing = facts["missing"]
        state = f"missing: {', '.join(missing)}" if missing else "installed"
        click.echo(f"needs: {', '.join(spec.requires)} ({state})")
    if not facts["options"]:
        click.echo("It has no options.")
        return
    click.echo()
    print_rows(
        ("option", "default", "values", "search", "meaning"),
        (
            (f["name"], _shown(f["default"]), f["values"], f["search"], f["description"])
            for f in facts["options"]
        ),
    )


def option_facts(part: Part) -> list[dict[str, Any]]:
    """Return name, default, accepted values, search range and meaning of each option."""
    from latentkit.registry.describe import describe_options

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
    from latentkit.registry.targets import missing_requirements

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
