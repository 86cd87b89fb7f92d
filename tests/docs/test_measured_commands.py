"""The commands beside the numbers of the documentation can be run, and all_tables.py runs them."""

from __future__ import annotations

import argparse
import ast
import json
import sys
from contextlib import suppress
from pathlib import Path

import click
import pytest

from latentkit.cli.main import cli

ROOT = Path(__file__).parents[2]
BENCHMARKS = ROOT / "tests" / "benchmarks"


@pytest.fixture(scope="module")
def all_tables():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        import all_tables

        yield all_tables


def parser_of(script: Path) -> argparse.ArgumentParser:
    """Return the parser of a script as its source describes it; nothing is imported."""
    parser = argparse.ArgumentParser(allow_abbrev=False, exit_on_error=False)
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "parser.add_argument":
            options = {}
            for one in node.keywords:
                if one.arg in ("action", "choices", "nargs", "required", "dest"):
                    with suppress(ValueError):  # choices that only the script knows
                        options[one.arg] = ast.literal_eval(one.value)
            if "choices" in options:
                options["choices"] = list(map(str, options["choices"]))
            parser.add_argument(*map(ast.literal_eval, node.args), **options)
    return parser


def problem(words: list[str]) -> str:
    """Return why a command would be refused, or nothing."""
    program, *rest = words
    if program == "pip":
        return ""
    if program == "latentkit":
        # A command keeps its option for help, whose names follow from the settings above it.
        above = click.Context(cli, **cli.context_settings)
        command = cli.get_command(above, rest[0])
        if command is None:
            return f"there is no command {rest[0]}"
        try:
            command.make_context(rest[0], rest[1:], parent=above)
        except click.UsageError as error:
            return error.message
        return ""
    if program != "python":
        return f"{program} is neither python nor latentkit"
    script = ROOT / rest[0]
    if not script.is_file():
        return f"there is no {rest[0]}"
    if "argparse" not in script.read_text(encoding="utf-8"):
        return "it has no options" if any(word.startswith("-") for word in rest[1:]) else ""
    try:
        parser_of(script).parse_args(rest[1:])
    except (argparse.ArgumentError, SystemExit) as error:
        return str(error)
    return ""


@pytest.mark.parametrize("page", ["measurements.md", "results.md"])
def test_every_command_beside_a_number_has_a_script_that_knows_its_options(all_tables, page):
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    commands = list(all_tables.commands_of(page, text))
    refused = {
        command.place: why
        for command in commands
        for words in all_tables.simple_commands(command.text)
        if (why := problem(words))
    }
    assert refused == {}
    assert len(commands) > 1


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("python tests/benchmarks/help_time.py --repeats 3", ""),
        ("python tests/benchmarks/help_time.py --rounds 3", "unrecognized arguments: --rounds 3"),
        ("python tests/benchmarks/none.py", "there is no tests/benchmarks/none.py"),
        ("python tests/benchmarks/map_growth.py", "required: vectors"),
        ("latentkit run --modle conv-ae", "No such option"),
        ("latentkit train", "there is no command train"),
        ("sleep 1", "sleep is neither"),
    ],
)
def test_a_command_that_would_be_refused_is_found(line, expected, capsys):
    found = problem(line.split()) + capsys.readouterr().err
    assert expected in found if expected else found == ""


PAGE = """\
# Numbers

Text.
    Still text.

    python a.py --one \\
        --two
    for S in 0 1; do
        time latentkit run --seed $S
    done

## On a GPU

```sh
OMP_NUM_THREADS=1 python b.py DIR LATENTS.npy
```
"""


def test_commands_are_read_with_their_place_and_heading(all_tables):
    found = list(all_tables.commands_of("page.md", PAGE))
    assert [(one.place, one.heading) for one in found] == [
        ("page.md:6", "Numbers"),
        ("page.md:8", "Numbers"),
        ("page.md:15", "On a GPU"),
    ]
    assert found[0].text == "python a.py --one --two"
    assert [all_tables.simple_commands(one.text) for one in found] == [
        [["python", "a.py", "--one", "--two"]],
        [["latentkit", "run", "--seed", "0"]],
        [["python", "b.py", "DIR", "LATENTS.npy"]],
    ]


def test_placeholders_are_filled_and_those_without_a_value_are_named(all_tables):
    text = "A_B=1 python tests/benchmarks/x.py DIR RUN/page.html LATENTS.npy --o r=examples/c.toml"
    command = all_tables.Command("page.md", 1, "", text)
    found, missing = all_tables.filled(command, {"DIR": "/my data", "RUN": "runs/a"})
    expected = f"A_B=1 python {ROOT}/tests/benchmarks/x.py '/my data' runs/a/page.html"
    assert found == f"{expected} LATENTS.npy --o r={ROOT}/examples/c.toml"
    assert missing == ["LATENTS.npy"]


def test_commands_run_once_and_a_failed_one_is_named_and_run_again(
    all_tables, tmp_path, monkeypatch, capsys
):
    page, out = tmp_path / "page.md", tmp_path / "out"
    script = tmp_path / "count.py"
    script.write_text(
        "import pathlib, sys\n"
        "times = pathlib.Path(sys.argv[1] + '.txt')\n"
        "times.write_text(times.read_text() + 'x' if times.exists() else 'x')\n"
        "print('this is', sys.argv[1])\n"
        "sys.exit(sys.argv[1] == 'bad' and times.read_text() == 'x')\n"
    )
    lines = [f"python {script} {word}" for word in ("first", "bad", "last", "RUN")]
    page.write_text("# Page\n\n" + "".join(f"    {line}\n" for line in lines))
    asked = ["all_tables.py", "--page", str(page), "--out", str(out)]

    monkeypatch.setattr(sys, "argv", asked)
    assert all_tables.main() == 1
    told = capsys.readouterr()
    assert told.err.startswith("failed: page.md:4, see ")
    assert "no value yet for RUN" in told.out
    log = (out / "logs" / "page.md-0003-count.txt").read_text()
    assert "this is first" in log
    assert "processor: " in log
    records = json.loads((out / "commands.json").read_text()).values()
    assert [one["state"] for one in records] == ["done", "failed", "done"]

    monkeypatch.setattr(sys, "argv", [*asked, "--set", "RUN=run"])
    assert all_tables.main() == 0
    counts = {path.stem: path.read_text() for path in out.glob("*.txt")}
    assert counts == {"first": "x", "bad": "xx", "last": "x", "run": "x"}


def test_commands_are_chosen_by_place_heading_or_text(all_tables):
    def chosen(*what: str) -> list[str]:
        return [
            one.place for one in all_tables.commands_of("page.md", PAGE) if one.matches([*what])
        ]

    assert len(chosen()) == 3
    assert chosen("page.md:6") == ["page.md:6"]
    assert chosen("GPU", "--seed") == ["page.md:8", "page.md:15"]
