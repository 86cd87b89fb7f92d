"""The generated reference is complete and agrees with the source."""

from __future__ import annotations

import dataclasses
import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import click
import pluggy
import pytest

import latentkit
from latentkit import errors
from latentkit.config import RunOptions, SplitOptions, TrainingOptions
from latentkit.plugin import events, hookspecs
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / "reference" / name).read_text(encoding="utf-8")


def section(text: str, heading: str) -> str:
    """Return the text below a heading, up to the next heading of its level."""
    found = re.search(rf"^## {re.escape(heading)}$(.*?)(?=^## |\Z)", text, re.M | re.S)
    assert found, f"there is no section {heading!r}"
    return found[1]


def built_in_parts():
    return Registry(found for found in find_plugins() if found.built_in).parts()


def subclasses(base: type):
    for child in base.__subclasses__():
        yield child
        yield from subclasses(child)


@pytest.fixture
def generator(monkeypatch):
    monkeypatch.syspath_prepend(str(DOCS))
    return importlib.import_module("generate_reference")


def test_every_generated_page_is_up_to_date(generator):
    assert generator.stale_pages(ROOT) == []


def test_every_hook_is_on_the_page_with_its_example():
    manager = pluggy.PluginManager("latentkit")
    manager.add_hookspecs(hookspecs)
    hooks = list(vars(manager.hook))
    assert len([name for name in hooks if name.startswith("latentkit_")]) >= 8
    for name in filter(lambda name: name.startswith("latentkit_"), hooks):
        found = re.search(rf"^### {name}$(.*?)(?=^### |^## )", page("hooks.md"), re.M | re.S)
        assert found, name
        assert f"def {name}(" in found[1]


@pytest.mark.parametrize("part", built_in_parts(), ids=str)
def test_every_option_of_a_built_in_part_is_on_the_page(part):
    text = section(page("options.md"), f"{part.spec.kind} {part.spec.name}")
    for option in part.options_type().model_fields:
        assert f"| `{option}` |" in text


@pytest.mark.parametrize(
    ("heading", "options"),
    [("The run itself", RunOptions), ("split", SplitOptions), ("training", TrainingOptions)],
)
def test_every_option_of_a_run_is_on_the_page(heading, options):
    text = section(page("options.md"), heading)
    for option in options.model_fields:
        assert f"| `{option}` |" in text


@pytest.mark.parametrize("part", built_in_parts(), ids=str)
def test_every_built_in_part_is_in_the_readme(part):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"| {part.spec.kind} | [`{part.spec.name}`]" in text


def test_every_public_name_of_python_is_on_the_page():
    headings = re.findall(r"^###? (\S+)$", page("python.md"), re.M)
    offered = {name for name in latentkit.__all__ if name not in ("__version__", "explore")}
    offered |= {"explore", *(f"explore.{name}" for name in latentkit.explore.__all__)}
    assert set(headings) == offered
    assert "lk.run(\n    *,\n    model: str | None = None,\n" in page("python.md")


def test_every_command_and_each_of_its_options_is_on_the_page(all_commands):
    for path, command in all_commands.items():
        text = section(page("cli.md"), path.replace("explore ", "explore RUN "))
        for parameter in command.params:
            if isinstance(parameter, click.Option):
                assert parameter.opts[-1] in text, f"{path} {parameter.opts[-1]}"


def test_no_list_of_commands_is_cut():
    lists = re.findall(r"^Commands:\n(.*?)^```", page("cli.md"), re.M | re.S)
    assert len(lists) == 4
    assert [one for one in lists if "..." in one] == []


def test_every_exit_code_is_on_the_page_with_its_meaning():
    text = page("errors.md")
    for error in subclasses(errors.LatentkitError):
        if error.__module__ == errors.__name__:
            first = error.__doc__.splitlines()[0]
            assert f"| `{error.exit_code}` | `{error.__name__}` | {first}" in text
    for code in (0, 1, errors.INTERRUPTED_EXIT_CODE):
        assert f"| `{code}` |" in text


def test_every_event_is_on_the_page_with_its_fields():
    for event in subclasses(events.Event):
        if event.__module__ == events.__name__:
            text = section(page("events.md"), event.__name__)
            for item in dataclasses.fields(event):
                assert f"| `{item.name}` |" in text


def test_every_variable_that_the_source_reads_is_on_the_page():
    source = Path(latentkit.__file__).parent
    texts = (path.read_text(encoding="utf-8") for path in source.rglob("*.py"))
    variables = {name for text in texts for name in re.findall(r'"(LATENTKIT_[A-Z]+)"', text)}
    assert "LATENTKIT_DATA" in variables
    for variable in variables:
        assert f"`{variable}`" in page("cli.md")


def test_the_pages_do_not_depend_on_the_terminal_or_on_plugin_settings(generator, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("LATENTKIT_PLUGINS", "")
    assert generator.stale_pages(ROOT) == []


def test_a_page_that_was_edited_or_deleted_is_stale(generator, tmp_path):
    (tmp_path / "README.md").write_text((ROOT / "README.md").read_text(encoding="utf-8"))
    generator.write_pages(tmp_path)
    assert generator.stale_pages(tmp_path) == []
    (tmp_path / "docs/reference/events.md").write_text("old")
    (tmp_path / "docs/reference/hooks.md").unlink()
    assert generator.stale_pages(tmp_path) == [
        "docs/reference/hooks.md",
        "docs/reference/events.md",
    ]


def test_check_names_a_stale_page_and_fails(tmp_path):
    docs = tmp_path / "docs"
    docs.mkdir()
    for script in DOCS.glob("*.py"):
        (docs / script.name).write_text(script.read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "README.md").write_text(readme)
    checked = subprocess.run(
        [sys.executable, "docs/generate_reference.py", "--check"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 1
    assert (
        "docs/reference/cli.md is stale: run 'python docs/generate_reference.py'" in checked.stderr
    )
    assert "README.md is stale" not in checked.stderr
