"""Pages of the generated reference, made from the live objects that they describe."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import is_dataclass
from types import ModuleType
from typing import Any

import click
from _reference_markup import code, fields_table, parse_docstring, signature, table
from pydantic import BaseModel

import latentkit
from latentkit import config, errors
from latentkit.cli.main import cli
from latentkit.plugin import (
    array_files,
    decorators,
    downloads,
    events,
    hookspecs,
    images,
    machine,
    protocols,
    specs,
    studies,
    vectors,
)
from latentkit.registry.catalogue import Part, Registry
from latentkit.registry.discovery import find_plugins
from latentkit.registry.options import describe_options

COMMAND = "python docs/generate_reference.py"
_BANNER = f"<!-- Generated from the source by '{COMMAND}': do not edit. -->"
_HELP_WIDTH = 88
_ENVIRONMENT = [
    (
        "`LATENTKIT_STORAGE`",
        "URL of the database of studies, unless `--storage` is given. Use it for passwords.",
    ),
    ("`LATENTKIT_DATA`", "The folder of data sets, unless `--data-dir` is given."),
    ("`LATENTKIT_RUNS`", "The folder of runs, unless `--runs` is given."),
    ("`LATENTKIT_CACHE`", "The folder of decoded images; by default in the user's cache."),
    (
        "`LATENTKIT_CACHE_LIMIT`",
        "How many gigabytes of decoded images are kept; by default a quarter of the disk.",
    ),
    (
        "`LATENTKIT_PLUGINS`",
        "Distributions whose plugins may load, separated by commas. If empty, none may.",
    ),
    (
        "`LATENTKIT_PLUGIN_FILES`",
        "Plugin files to load in addition, as with `--plugin`; separated as in `PATH`.",
    ),
    ("`LATENTKIT_STRICT`", "`1` stops at a broken plugin instead of leaving it out."),
    ("`NO_COLOR`, `CI`", "Plain progress lines, also on a terminal."),
]


def _page(title: str, intro: str, *blocks: str) -> str:
    return "\n\n".join([_BANNER, f"# {title}", intro, *(b for b in blocks if b)]) + "\n"


def hooks_page() -> str:
    """Return the page of hooks, specs and protocols."""
    blocks = ["## Hooks"]
    for name, hook in vars(hookspecs).items():
        if hasattr(hook, "latentkit_spec"):
            blocks += [f"### {name}", *_function_blocks(name, hook)]
    blocks += ["## Decorators", parse_docstring(decorators.__doc__).text]
    for function in (
        decorators.corruption,
        decorators.model,
        decorators.embedding,
        decorators.dataset,
    ):
        blocks += [f"### @{function.__name__}", *_function_blocks(function.__name__, function)]
    base = parse_docstring(specs.Spec.__doc__)
    blocks += ["## Specs", base.text, fields_table(specs.Spec, base.arguments)]
    for spec in specs.SPEC_TYPES.values():
        own = parse_docstring(spec.__doc__)
        blocks += [f"### {spec.__name__}", own.text, fields_table(spec, own.arguments, specs.Spec)]
    blocks += ["## What a target provides", parse_docstring(protocols.__doc__).text]
    for name, thing in _own_classes(protocols):
        blocks += _class_blocks(name, thing)
    blocks += ["## Flat tables", "Trackers store configurations and summaries as flat tables."]
    for function in (events.flat_options, events.flat_figures):
        blocks += [f"### {function.__name__}", *_function_blocks(function.__name__, function)]
    blocks += ["## Studies", parse_docstring(studies.__doc__).text]
    for name, thing in _own_classes(studies):
        blocks += _class_blocks(name, thing)
    blocks += ["## Downloads", parse_docstring(downloads.__doc__).text]
    for name, thing in _own_classes(downloads):
        blocks += _class_blocks(name, thing)
    blocks += ["## Files and arrays of the user", parse_docstring(array_files.__doc__).text]
    for name, thing in _own_classes(array_files):
        blocks += _class_blocks(name, thing)
    taken = (machine.check_memory, downloads.read_bytes, images.to_uint8, images.class_codes)
    for function in taken:
        blocks += [f"### {function.__name__}", *_function_blocks(function.__name__, function)]
    blocks += ["## Vectors that an embedding maps", parse_docstring(vectors.__doc__).text]
    for name, thing in vars(vectors).items():
        if inspect.isfunction(thing) and thing.__module__ == vectors.__name__:
            blocks += [f"### {name}", *_function_blocks(name, thing)]
    intro = parse_docstring(hookspecs.__doc__).text
    return _page(
        "Hooks",
        f"{intro}\n\nThe contract is at version {hookspecs.HOOKSPEC_VERSION}. "
        "The [guide for plugin authors](../plugins.md) explains it step by step.",
        *blocks,
    )


def _class_blocks(name: str, thing: type[Any]) -> list[str]:
    described = parse_docstring(thing.__doc__)
    blocks = [f"### {name}", described.text]
    if is_dataclass(thing):
        blocks.append(fields_table(thing, described.arguments))
    else:
        stated = inspect.get_annotations(thing).items()
        blocks += [_python(f"{attribute}: {annotation}") for attribute, annotation in stated]
    for member, found in vars(thing).items():
        if isinstance(found, property) and found.fget and member[0] != "_":
            annotation = inspect.signature(found.fget).return_annotation
            blocks += [_python(f"{member}: {annotation}"), parse_docstring(found.__doc__).text]
        elif inspect.isfunction(found) and (member == "__call__" or member[0] != "_"):
            blocks += _function_blocks(member, found)
    return blocks


def _function_blocks(name: str, function: Callable[..., Any]) -> list[str]:
    described = parse_docstring(function.__doc__)
    return [
        _python(signature(name, function)),
        described.text,
        described.argument_list,
        described.outcomes,
    ]


def _python(source: str) -> str:
    return f"```python\n{source}\n```"


def _own_classes(module: ModuleType) -> list[tuple[str, type[Any]]]:
    return [
        (name, thing)
        for name, thing in vars(module).items()
        if inspect.isclass(thing) and thing.__module__ == module.__name__ and name[0] != "_"
    ]


def python_page() -> str:
    """Return the page of the functions and classes of ``latentkit`` and ``latentkit.explore``."""
    blocks = []
    for name in latentkit.__all__:
        thing = getattr(latentkit, name)
        if inspect.ismodule(thing) or name == "__version__":
            continue
        blocks += _public_blocks(name, thing)
    explore = latentkit.explore
    blocks += ["## explore", parse_docstring(explore.__doc__).text]
    for name in explore.__all__:
        blocks += _public_blocks(name, getattr(explore, name), "explore.")
    return _page(
        "Python",
        "What `import latentkit as lk` offers. The [tutorial](../tutorial.md#from-python) shows "
        "how it\nworks together.",
        *blocks,
    )


def _public_blocks(name: str, thing: Any, module: str = "") -> list[str]:
    heading = f"{'###' if module else '##'} {module}{name}"
    if not inspect.isclass(thing):
        return [heading, *_function_blocks(f"lk.{module}{name}", thing)]
    blocks = _class_blocks(name, thing)
    if not is_dataclass(thing):
        blocks.insert(2, parse_docstring(thing.__doc__).argument_list)
    return [heading, *blocks[1:]]


def options_page() -> str:
    """Return the page of the options of a run and of every built-in part."""
    run = [
        ("The run itself", "At the top of the file; `-o seed=1`.", config.RunOptions),
        ("split", "In the table `[split]`; `-o split.validation=0.1`.", config.SplitOptions),
        ("training", "In the table `[training]`; `-o training.epochs=5`.", config.TrainingOptions),
        ("init", "In the table `[init]`; what `--init-from` sets.", config.InitOptions),
        (
            "transfer",
            "In the table `[transfer]`; `latentkit transfer RUN -o transfer.shift=2`.",
            config.TransferOptions,
        ),
    ]
    blocks = []
    for title, intro, options in run:
        blocks += [f"## {title}", intro, _options_table(options)]
    for part in built_in_parts():
        blocks += _part_blocks(part)
    return _page(
        "Options",
        "Each option can be set with `-o part.key=value`, in a configuration file, or from "
        "Python.\n`latentkit plugins show NAME` prints the same for any installed part. "
        "*Search* is\nthe range that `latentkit tune` searches.",
        *blocks,
    )


def _part_blocks(part: Part) -> list[str]:
    spec = part.spec
    facts = [("Tags", sorted(spec.tags)), ("Needs", spec.requires)]
    told = [f"{name}: {', '.join(f'`{v}`' for v in values)}." for name, values in facts if values]
    summary = " ".join([f"{spec.summary}.", *told])
    return [f"## {spec.kind} {spec.name}", summary, _options_table(part.options_type())]


def _options_table(options: type[BaseModel]) -> str:
    rows = [
        (
            code(fact["name"]),
            code('""' if fact["default"] == "" else fact["default"]),
            fact["values"],
            fact["search"],
            fact["description"],
        )
        for fact in describe_options(options)
    ]
    if not rows:
        return "It has no options."
    return table(("option", "default", "values", "search", "meaning"), rows)


def cli_page() -> str:
    """Return the page of the help of every command."""
    blocks = []
    for name, text in command_help():
        blocks += [f"## {name}", f"```text\n{text}\n```"]
    return _page(
        "Commands",
        "What `--help` prints. Results go to stdout, progress and messages to stderr. The exit "
        "codes are in [errors](errors.md), and the documents of `--json` in "
        "[JSON for scripts](json.md).",
        table(("environment variable", "what it does"), _ENVIRONMENT),
        *blocks,
    )


def command_help() -> list[tuple[str, str]]:
    """Return name and help of every command; a group precedes its commands."""
    top = cli.make_context(
        "latentkit",
        [],
        resilient_parsing=True,
        terminal_width=_HELP_WIDTH,
        max_content_width=_HELP_WIDTH,
    )
    return list(_help_below(cli, top))


def _help_below(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    help_text = "\n".join(line.rstrip() for line in command.get_help(context).splitlines())
    yield context.command_path, help_text
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            if child is not None:
                below = child.make_context(name, [], parent=context, resilient_parsing=True)
                yield from _help_below(child, below)


def errors_page() -> str:
    """Return the page of exit codes."""
    rows = [(code(0), "", "Success.")]
    for name, error in _own_classes(errors):
        meaning = " ".join((error.__doc__ or "").split())
        rows.append((code(error.exit_code), code(name), meaning))
    interrupted = (
        "Ctrl-C, SIGTERM or SIGUSR1, which schedulers send, or SIGHUP, if a terminal closes. A run "
        "keeps what was committed; `latentkit resume` continues it."
    )
    rows.append((code(errors.INTERRUPTED_EXIT_CODE), "", interrupted))
    return _page(
        "Errors and exit codes",
        "An error is one line on stderr that says what is wrong, where, and what to do; `--debug` "
        "adds the\ntraceback. From Python the same errors are exceptions of `latentkit.errors`.",
        table(("exit code", "exception", "meaning"), rows),
    )


def events_page() -> str:
    """Return the page of events."""
    blocks = []
    for name, record in _own_classes(events):
        if issubclass(record, events.Event) and record is not events.Event:
            note = (
                "For display only: `events.jsonl` does not contain it." if record.transient else ""
            )
            blocks += [f"## {name}", *_record_blocks(record), note]
    told = {"a run": events.RunInfo, "a study": events.StudyInfo, "a trial": events.TrialInfo}
    for what, record in told.items():
        blocks += [f"## What a plugin receives about {what}", *_record_blocks(record)]
    return _page(
        "Events",
        f"{parse_docstring(events.__doc__).text}\n\nEach line of a run's `events.jsonl` is one "
        "event: its class under `event`, `time` in seconds since\n1970, and the fields below. From "
        "Python, `lk.run(..., listener=f)` receives every event.",
        *blocks,
    )


def _record_blocks(record: type[Any]) -> list[str]:
    described = parse_docstring(record.__doc__)
    return [described.text, fields_table(record, described.arguments)]


def built_in_parts() -> list[Part]:
    """Return the parts of the distribution ``latentkit``, sorted by kind and name."""
    return Registry(found for found in find_plugins() if found.built_in).parts()
