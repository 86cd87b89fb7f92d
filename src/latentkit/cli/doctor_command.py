"""``latentkit doctor``: what is installed, what is broken, and how to repair it."""

from __future__ import annotations

import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from latentkit import caches
from latentkit.cli.outcome import data_option
from latentkit.cli.shared_options import common_options, json_option, print_json, runs_option
from latentkit.errors import BrokenEnvironmentError, UserError, describe_os_error
from latentkit.terminal import printable

if TYPE_CHECKING:
    from latentkit.registry.discovery import FoundPlugin
    from latentkit.registry.loading import LoadedPlugin, Problem

_STATES = {"ok": "green", "note": "cyan", "broken": "red"}

# Never 'pip install latentkit': on the package index, that name is another project's.
_REINSTALL = "pip install .  in the folder of latentkit's source"


@dataclass(frozen=True)
class Finding:
    """One result: what was checked, its state, and how to repair it."""

    topic: str
    state: Literal["ok", "note", "broken"]
    text: str
    remedy: str = ""
    details: str = ""


@click.command("doctor")
@data_option
@runs_option
@json_option()
@common_options
def doctor_command(data_dir: str | None, runs_dir: str | None, as_json: bool) -> None:
    """Check versions, devices, plugins, data and runs; exit with code 3 if something is broken."""
    findings = list(examine(data_dir, runs_dir))
    if as_json:
        print_json([asdict(finding) for finding in findings])
    else:
        _print(findings)
    broken = [finding for finding in findings if finding.state == "broken"]
    if broken:
        raise BrokenEnvironmentError(
            f"{len(broken)} thing{'s are' if len(broken) > 1 else ' is'} broken: "
            f"{', '.join(finding.topic for finding in broken)}"
        )


def examine(data_dir: str | None, runs_dir: str | None = None) -> Iterator[Finding]:
    """Run all checks and yield their findings."""
    from latentkit.registry.catalogue import default_registry

    caches.prepare()
    # Load plugins first: once torch is imported, plugins that import it would look fast.
    default_registry()
    yield from _packages()
    yield from _device()
    yield from _plugins()
    yield from _data(data_dir)
    yield from _runs(runs_dir)
    yield _writable(Path.cwd())
    yield from _caches()


def _packages() -> Iterator[Finding]:
    from latentkit.plugin.downloads import REPAIR_TORCH
    from latentkit.runs.stages import package_versions

    for name, version in package_versions().items():
        if name in ("latentkit", "python"):
            yield Finding(name, "ok", version)
            continue
        try:
            import_module({"scikit-learn": "sklearn"}.get(name, name))
        # A package that is incompatible with another can raise any exception.
        except Exception as error:
            first = (str(error).splitlines() or [""])[0]
            yield Finding(
                name,
                "broken",
                f"{version}: {type(error).__name__}: {first}",
                REPAIR_TORCH
                if name.startswith("torch")
                else f"pip install --force-reinstall {name}",
            )
        else:
            yield Finding(name, "ok", version)


def _device() -> Iterator[Finding]:
    try:
        import torch

        from latentkit.plugin.machine import usable_cpus
        from latentkit.training.device import resolve_device
    except Exception:  # _packages reports it
        return
    device = resolve_device("auto")
    name = f" ({torch.cuda.get_device_name()})" if device.type == "cuda" else ""
    cpus = usable_cpus()
    count = "1 CPU" if cpus == 1 else f"{cpus} CPUs"
    yield Finding("device", "ok", f"{device.type}{name}, {count} usable")


def _plugins() -> Iterator[Finding]:
    from latentkit.registry.catalogue import KINDS, default_registry
    from latentkit.registry.discovery import find_plugins
    from latentkit.registry.options import missing_requirements

    registry = default_registry()
    yield from map(_loaded, registry.plugins)
    yield from map(_set_aside, registry.problems)
    for found in registry.skipped:
        yield Finding(_topic(found), "note", "not loaded: LATENTKIT_PLUGINS leaves it out")
    for name in sorted(registry.policy.unknown(find_plugins())):
        text = f"names {name!r}, which is not installed or offers no plugin"
        yield Finding("LATENTKIT_PLUGINS", "note", text)
    for kind in KINDS:
        if not registry.parts(kind):
            yield Finding(f"{kind}s", "broken", "none found", _REINSTALL)
    for part in registry.parts():
        name = registry.short_name(part)
        if name != part.spec.name:
            text = f"{part.spec.name!r} is offered more than once; this one is {name}"
            yield Finding(str(part), "note", text)
        if missing := missing_requirements(part.spec):
            remedy = f"pip install {shlex.join(missing)}"
            yield Finding(str(part), "note", f"cannot be used: needs {', '.join(missing)}", remedy)


def _loaded(plugin: LoadedPlugin) -> Finding:
    # A name that two kinds share is said once.
    offers = [", ".join(dict.fromkeys(spec.name for spec in plugin.specs))] if plugin.specs else []
    if plugin.watches_runs:
        offers.append("watches runs")
    # A built-in plugin may be slow only because it is the first to import shared packages.
    remarks = [] if plugin.found.built_in else plugin.side_effects.remarks()
    if not offers:
        remarks.insert(0, f"offers nothing: {', '.join(plugin.hooks)} returned no part")
    text = "; ".join([*offers, *remarks])
    return Finding(
        _topic(plugin.found),
        "note" if remarks else "ok",
        f"{plugin.found.version}: {text} (loaded in {plugin.side_effects.seconds:.2f} s)",
        "report it to its authors, or set LATENTKIT_PLUGINS to the plugins that may load"
        if remarks
        else "",
    )


def _set_aside(problem: Problem) -> Finding:
    distribution = problem.plugin.distribution
    remedy = f"pip install --upgrade {distribution}, or pip uninstall {distribution}"
    if problem.plugin.built_in:
        remedy = _REINSTALL
    elif problem.plugin.file is not None:
        remedy = "repair the file, or leave out its --plugin or LATENTKIT_PLUGIN_FILES"
    return Finding(
        _topic(problem.plugin),
        "broken",
        "; ".join([f"{problem.status}: {problem.message}", *problem.side_effects.remarks()]),
        remedy,
        problem.details,
    )


def _topic(found: FoundPlugin) -> str:
    return f"plugin {found.distribution}:{found.name}"


def _data(data_dir: str | None) -> Iterator[Finding]:
    from latentkit.api.inputs import data_dir as find_data_dir

    folder = find_data_dir(data_dir)
    try:
        sets = sorted(path.name for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        yield Finding("data", "note", f"{folder} does not exist yet; downloads will go there")
        return
    except OSError as error:
        text = f"{folder} cannot be read: {describe_os_error(error)}"
        yield Finding("data", "broken", text, "change its permissions, or use --data-dir")
        return
    yield Finding("data", "ok", f"{folder} holds {', '.join(sets) or 'nothing yet'}")


def _runs(runs_dir: str | None) -> Iterator[Finding]:
    from latentkit.api.inputs import runs_dir as find_runs_dir
    from latentkit.runs.find import run_folders

    folder = find_runs_dir(runs_dir).absolute()
    if not folder.exists():
        yield Finding("runs", "note", f"{folder} does not exist yet; runs will be made there")
        return
    try:
        count = len(run_folders(folder))
    except UserError as error:
        yield Finding(
            "runs",
            "broken",
            str(error),
            "choose another folder with --runs, or change its permissions",
        )
        return
    yield Finding("runs", "ok", f"{folder} holds {count} run{'' if count == 1 else 's'}")


def _writable(folder: Path) -> Finding:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        remedy = "change to another folder, or use --runs"
        return Finding("folder", "broken", f"{folder} cannot be written: {error}", remedy)
    return Finding("folder", "ok", f"{folder} can be written")


def _caches() -> Iterator[Finding]:
    """Check the folders that packages write to save time; everything also works without them."""
    for topic, folder, loss, variable in (
        ("temporary files", caches.temporary_folder(), "some downloads need it", "TMPDIR"),
        (
            "machine code",
            caches.numba_folder(),
            "each process compiles its maps again",
            "NUMBA_CACHE_DIR",
        ),
        (
            "list of fonts",
            caches.matplotlib_folder(),
            "each process makes it again",
            "MPLCONFIGDIR",
        ),
    ):
        if folder is None:
            text = f"no folder for it can be written: {loss}"
            yield Finding(topic, "note", text, f"set {variable} to a folder that can be written")
        else:
            yield Finding(topic, "ok", f"{folder} can be written")


def _print(findings: list[Finding]) -> None:
    from rich.text import Text

    from latentkit.cli.console import TerminalConsole

    console = TerminalConsole(file=sys.stdout, soft_wrap=True)
    width = max(len(finding.topic) for finding in findings)
    for finding in findings:
        line = Text(f"{finding.state:6} ", style=_STATES[finding.state])
        line.append(printable(f"{finding.topic:{width}}  {finding.text}"), style="default")
        console.print(line)
        if finding.remedy:
            console.print(Text(f"{'':7}{'':{width}}  to repair it: {finding.remedy}", style="dim"))
        if finding.details:
            for row in finding.details.rstrip().splitlines():
                console.print(Text(f"{'':9}{row}", style="dim"))
