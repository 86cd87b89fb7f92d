"""The source keeps its limits on size, imports, names, documentation and wording."""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

MOST_LINES_OF_A_FILE = 500
MOST_LINES_OF_A_FUNCTION = 60
MOST_IMPORTS = 0.070  # imports on one line each would be 6.0 % of all lines
"""Share of all lines of src that are import statements, lazy ones included."""

REASONS_TO_STAND_ALONE: dict[str, str] = {}
"""Why a module of fewer than 60 lines with a single importer is not a part of its importer."""

SHARED_NAMES = {"__init__.py", "options.py", "plugin.py"}
EMPTY_NAMES = ["common", "few", "items", "parts", "places", "settings", "things", "work"]

ROOT = Path(__file__).parents[2]
DIALECT = re.compile(
    r"\bshel(f|ves)\b|\bworkshops?\b|\bjudg(e|es|ed|ing|ements?)\b|(?<!barlow[ -])\btwins?\b"
    r"|\bconduct(s|ed|ing)?\b|\bafresh\b|\b(go(es|ing|ne)?|went)\s+on\s+with\b|\bshall\b"
    r"|\bmend(s|ed|ing)?\b|\bof\s+one's\s+own\b|\banybody's\b|\bthere\s+is\s+none\s+to\b",
    re.IGNORECASE,
)
# Barlow Twins is the name of a method.
DIALECT_IS_MEANT: set[str] = set()
"""Lines that use one of these words in its usual sense, without the space around them."""


def _measures() -> ModuleType:
    path = Path(__file__).parents[1] / "house_measures.py"
    spec = importlib.util.spec_from_file_location("house_measures", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclass looks up its own module
    spec.loader.exec_module(module)
    return module


house = _measures()
FOUND = house.modules()
NAMES = {module.name for module in FOUND}


def parsed(name: str, source: str):
    return house.Module(name, Path(f"{name}.py"), len(source.splitlines()), ast.parse(source))


def test_no_file_is_long():
    long = {module.name: module.lines for module in FOUND if module.lines > MOST_LINES_OF_A_FILE}
    assert long == {}


def test_a_short_file_with_a_single_importer_has_a_stated_reason():
    assert set(house.single_importers(FOUND)) == set(REASONS_TO_STAND_ALONE)


def test_imports_are_a_small_share_of_all_lines():
    assert house.import_share(FOUND) <= MOST_IMPORTS


def test_no_function_is_longer_than_a_screen():
    sizes = {f"{m.name}.{f.name}": house.length(f) for m in FOUND for f in m.functions}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES_OF_A_FUNCTION} == {}


def test_there_are_no_circular_imports():
    assert house.circles({m.name: house.imports_at_start(m, NAMES) for m in FOUND}) == []


def test_every_public_name_is_documented():
    assert house.undocumented(FOUND) == []


def test_docstrings_describe_only_arguments_that_exist():
    assert house.described_but_missing(FOUND) == []


def test_no_two_files_have_the_same_name():
    places = defaultdict(list)
    for module in FOUND:
        places[module.path.name].append(module.name)
    twice = {name: at for name, at in places.items() if len(at) > 1 and name not in SHARED_NAMES}
    assert twice == {}


def test_no_name_of_a_package_is_also_that_of_a_file_or_folder_in_it():
    # Python makes an imported file an attribute of its package, in place of the function.
    guarded = ROOT / "src/latentkit"  # whose class refuses that
    packages = {path.parent for path in ROOT.glob("src/latentkit/**/__init__.py")} - {guarded}
    packages |= {path.parent for path in ROOT.glob("plugins/*/src/**/__init__.py")}
    assert len(packages) > 30
    twice = {
        str(package.relative_to(ROOT)): names
        for package in packages
        if (names := house.names_bound(package / "__init__.py") & house.names_within(package))
    }
    assert twice == {}


def test_names_that_a_package_binds_are_found(tmp_path):
    init = tmp_path / "__init__.py"
    init.write_text(
        "from a.b import c, d as e\nif x:\n    from f import g\n__all__ = ['h']\n"
        "def i():\n    from j import k\n"
    )
    (tmp_path / "c.py").touch()
    (tmp_path / "folder").mkdir()
    assert house.names_bound(init) == {"c", "e", "g", "h", "i"}
    assert house.names_within(tmp_path) == {"c", "folder"}


def test_no_file_has_a_meaningless_name():
    assert [module.name for module in FOUND if module.path.stem in EMPTY_NAMES] == []


def test_the_run_core_imports_no_kind_of_run():
    kinds = _modules_with_kinds()
    assert len(kinds) >= 3
    graph = {module.name: house.imports_anywhere(module, NAMES) for module in FOUND}
    core = {name for name in NAMES if name.startswith("latentkit.runs.")} - kinds
    found = {name: house.reached(name, graph) & (kinds | {"latentkit.api.kinds"}) for name in core}
    assert {name: reached for name, reached in found.items() if reached} == {}


def _modules_with_kinds() -> set[str]:
    """Return the modules that define a subclass of `RunKind`, directly or not."""
    bases = {"RunKind"}
    found: set[str] = set()
    while True:
        new = {
            (module.name, node.name)
            for module in FOUND
            for node in module.tree.body
            if isinstance(node, ast.ClassDef) and bases & {ast.unparse(one) for one in node.bases}
        }
        if {name for _, name in new} <= bases:
            return found
        found |= {module for module, _ in new}
        bases |= {name for _, name in new}


def _prose() -> Iterator[Path]:
    for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "noxfile.py"):
        yield ROOT / name
    for folder in ("src", "docs", "plugins", "examples", "tests"):
        for path in sorted((ROOT / folder).rglob("*")):
            ours = "node_modules" not in path.parts  # of the front end, where it was built
            if ours and path.suffix in {".py", ".md", ".tmpl", ".toml", ".html", ".ipynb"}:
                yield path


def test_source_and_documents_use_plain_words():
    found = []
    for path in _prose():
        text = "" if path == Path(__file__) else path.read_text(encoding="utf-8")
        for match in DIALECT.finditer(text):
            number = text.count("\n", 0, match.start())
            line = text.splitlines()[number].strip()
            if line not in DIALECT_IS_MEANT:
                found.append(f"{path.relative_to(ROOT)}:{number + 1}: {line}")
    assert found == []


@pytest.mark.parametrize(
    ("line", "plain"),
    [
        ("a run of this name is gone on\n    with", False),
        ("asha shall judge it afresh", False),
        ("a twin axis: ax.twinx()", False),
        ("ax.twinx() of a judgemental colleague, shallow", True),
    ],
)
def test_dialect_is_found_as_whole_words(line, plain):
    assert (DIALECT.search(line) is None) == plain


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_circular_imports_are_found(graph, expected):
    assert house.circles(graph) == expected


def test_docstrings_do_not_count_as_length_and_type_imports_do_not_count_at_start():
    module = parsed(
        "own",
        "import typing\nif typing.TYPE_CHECKING:\n    import other\n"
        'def f(x):\n    """Say.\n\n    More.\n    """\n    return x\n',
    )
    (function,) = module.functions
    assert house.length(function) == 2
    assert house.imports_at_start(module, {"own", "other"}) == set()
    assert house.imports_anywhere(module, {"own", "other"}) == {"other"}


def test_every_line_of_an_import_counts_even_inside_a_function():
    source = "from a import (\n    b,\n    c,\n)\n\n\ndef f():\n    import d\n    return d\n\n"
    assert house.import_lines(parsed("own", source)) == 5
    assert house.import_share([parsed("own", source)]) == pytest.approx(0.5)


def test_a_short_module_with_one_importer_is_found():
    modules = [
        parsed("big", "x = 1\n" * 60),
        parsed("alone", "import big\n"),
        parsed("shared", "import big\n"),
        parsed("first", "import alone, shared\n"),
        parsed("second", "def f():\n    import shared\n"),
    ]
    assert house.single_importers(modules) == {"alone": "first"}


def test_a_described_argument_that_does_not_exist_is_found():
    source = (
        'def f(x, *rest):\n    """Say.\n\n    Args:\n        x: a number.\n'
        '        *rest: numbers.\n        y: gone.\n\n    Returns:\n        one: none.\n    """\n'
    )
    assert house.described_but_missing([parsed("own", source)]) == ["own.f: y"]
