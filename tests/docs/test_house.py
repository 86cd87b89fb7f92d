"""The house keeps its measures: small files and functions, no circles, everything documented."""

from __future__ import annotations

import ast
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

MOST_LINES_OF_A_FILE = 350
MOST_LINES_OF_A_FUNCTION = 60


def _measures() -> ModuleType:
    path = Path(__file__).parents[1] / "house_measures.py"
    spec = importlib.util.spec_from_file_location("house_measures", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules[spec.name] = module  # its dataclass looks itself up
    spec.loader.exec_module(module)
    return module


house = _measures()
FOUND = house.modules()


def test_no_file_is_long():
    long = {module.name: module.lines for module in FOUND if module.lines > MOST_LINES_OF_A_FILE}
    assert long == {}


def test_no_function_is_longer_than_a_screen():
    sizes = {f"{m.name}.{f.name}": house.length(f) for m in FOUND for f in m.functions}
    assert {name: size for name, size in sizes.items() if size > MOST_LINES_OF_A_FUNCTION} == {}


def test_no_modules_import_each_other_in_a_circle():
    names = {module.name for module in FOUND}
    assert house.circles({m.name: house.imports_at_start(m, names) for m in FOUND}) == []


def test_everything_public_is_documented():
    assert house.undocumented(FOUND) == []


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": {"b"}, "b": {"c"}, "c": set()}, []),
        ({"a": {"b"}, "b": {"c"}, "c": {"b"}}, [["b", "c"]]),
        ({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}, [["a", "b", "c"]]),
    ],
)
def test_circles_are_found(graph, expected):
    assert house.circles(graph) == expected


def test_a_long_function_and_an_import_for_types_alone_are_told_apart():
    source = (
        "import typing\nif typing.TYPE_CHECKING:\n    import other\n"
        'def f(x):\n    """Say.\n\n    More.\n    """\n    return x\n'
    )
    module = house.Module("own", Path("own.py"), 9, ast.parse(source))
    (function,) = module.functions
    assert house.length(function) == 2
    assert not house.is_typed(function)
    assert house.imports_at_start(module, {"own", "other"}) == set()
