"""Measures of src: sizes, imports and documentation, as a table.

python tests/house_measures.py
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
SHORT = 60
"""Below this number of lines, a file that one other module imports could be part of that module."""

_ENTRANCES = ("__init__.py", "plugin.py", "options.py")
_DESCRIBED_ARGUMENT = re.compile(r"^    (\*{0,2}\w+(?:, \*{0,2}\w+)*): ", re.MULTILINE)
Function = ast.FunctionDef | ast.AsyncFunctionDef
Described = Function | ast.ClassDef | ast.Module


@dataclass(frozen=True)
class Module:
    """A source file, parsed."""

    name: str
    path: Path
    lines: int
    tree: ast.Module

    @property
    def functions(self) -> list[Function]:
        """Every function and method, nested ones too."""
        return [node for node in ast.walk(self.tree) if isinstance(node, Function)]


def modules(root: Path = SRC) -> list[Module]:
    """Return every module below a folder of packages, by name."""
    found = []
    for path in sorted(root.rglob("*.py")):
        if "node_modules" in path.parts:  # of the front end, where it was built
            continue
        text = path.read_text(encoding="utf-8")
        parts = path.relative_to(root).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found.append(Module(name, path, len(text.splitlines()), ast.parse(text)))
    return found


def length(function: Function) -> int:
    """Return the lines of a function from ``def`` to its end, without its docstring."""
    whole = (function.end_lineno or function.lineno) - function.lineno + 1
    first = function.body[0]
    is_docstring = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    documentation = (first.end_lineno or 0) - first.lineno + 1 if is_docstring else 0
    return whole - documentation


def imports_at_start(module: Module, names: set[str]) -> set[str]:
    """Return the modules among ``names`` that importing a module imports at once."""
    return _imported(_executed_at_import(module.tree.body), names) - {module.name}


def imports_anywhere(module: Module, names: set[str]) -> set[str]:
    """Return the modules among ``names`` that a module imports, in functions and for types too."""
    return _imported(ast.walk(module.tree), names) - {module.name}


def _imported(nodes: Iterable[ast.AST], names: set[str]) -> set[str]:
    found: set[str] = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & names) or {node.module}
    return found & names


def _executed_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from _executed_at_import(node.body)


def import_lines(module: Module) -> int:
    """Return how many lines the import statements of a module take, in functions too."""
    return sum(
        (node.end_lineno or node.lineno) - node.lineno + 1
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
    )


def import_share(found: list[Module]) -> float:
    """Return the share of lines that are import statements, from 0 to 1."""
    return sum(map(import_lines, found)) / sum(module.lines for module in found)


def single_importers(found: list[Module]) -> dict[str, str]:
    """Return the short modules that exactly one module imports, and that module."""
    names = {module.name for module in found}
    importers: dict[str, list[str]] = {name: [] for name in names}
    for module in found:
        for other in imports_anywhere(module, names):
            importers[other].append(module.name)
    return {
        module.name: importers[module.name][0]
        for module in found
        if module.lines < SHORT
        and module.path.name not in _ENTRANCES
        and len(importers[module.name]) == 1
    }


def reached(start: str, graph: dict[str, set[str]]) -> set[str]:
    """Return every module that a module imports, directly or through others."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        new = graph[waiting.pop()] - found
        found |= new
        waiting += new
    return found


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules that import each other at once (R. Tarjan 1972)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
            if other in stack:
                low[name] = min(low[name], low[other])
        if low[name] == index[name]:
            group = stack[stack.index(name) :]
            del stack[stack.index(name) :]
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def names_bound(init: Path) -> set[str]:
    """Return the names that the ``__init__.py`` of a package imports, defines or lists."""
    found: set[str] = set()
    waiting: list[ast.AST] = [ast.parse(init.read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, Function | ast.ClassDef):
            found.add(node.name)
            continue
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            listed = (one for one in ast.walk(node.value) if isinstance(one, ast.Constant))
            found |= {str(one.value) for one in listed}
        waiting += ast.iter_child_nodes(node)
    return found


def names_within(package: Path) -> set[str]:
    """Return the names of the modules and folders in a package."""
    files = {path.stem for path in package.glob("*.py")}
    return (files | {path.name for path in package.iterdir() if path.is_dir()}) - {"__init__"}


def public(module: Module) -> Iterator[tuple[str, Described]]:
    """Yield what a module offers: itself, its public functions and classes, and their methods."""
    yield module.name, module.tree
    for node in module.tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            if "overload" in map(ast.unparse, node.decorator_list):
                continue  # the function itself follows, and is documented
            yield f"{module.name}.{node.name}", node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{module.name}.{node.name}.{inner.name}", inner


def undocumented(found: list[Module]) -> list[str]:
    """Return what is public and has no docstring."""
    return [
        name
        for module in found
        for name, node in public(module)
        if not any(part.startswith("_") for part in name.split(".")[1:])
        and not ast.get_docstring(node)
    ]


def described_but_missing(found: list[Module]) -> list[str]:
    """Return arguments that a docstring describes and that do not exist."""
    wrong = []
    for module in found:
        for node in ast.walk(module.tree):
            if isinstance(node, Function | ast.ClassDef):
                section = (ast.get_docstring(node) or "").partition("\nArgs:\n")[2]
                entries = _DESCRIBED_ARGUMENT.findall(re.split(r"\n(?=\S)", section)[0])
                described = {one.strip("* ") for entry in entries for one in entry.split(",")}
                wrong += [
                    f"{module.name}.{node.name}: {name}" for name in described - _declared(node)
                ]
    return wrong


def _declared(node: Function | ast.ClassDef) -> set[str]:
    """Return the arguments of a function, or the fields and constructor's arguments of a class."""
    if isinstance(node, ast.ClassDef):
        fields = {ast.unparse(one.target) for one in node.body if isinstance(one, ast.AnnAssign)}
        makers = [one for one in node.body if isinstance(one, Function) and one.name == "__init__"]
        return fields.union(*map(_declared, makers))
    return {one.arg for one in ast.walk(node.args) if isinstance(one, ast.arg)}


def main() -> None:
    """Print the measures."""
    found = modules()
    names = {module.name for module in found}
    graph = {module.name: imports_at_start(module, names) for module in found}
    longest_file = max(found, key=lambda module: module.lines)
    longest, where = max((length(f), f"{m.name}.{f.name}") for m in found for f in m.functions)
    sizes = sorted(module.lines for module in found)
    alone = single_importers(found)
    rows = (
        ("files", f"{len(found)}"),
        ("lines", f"{sum(sizes):,}"),
        ("median file, lines", f"{sizes[len(sizes) // 2]}"),
        ("longest file, lines", f"{longest_file.lines}, {longest_file.name}"),
        (f"files under {SHORT} lines", f"{sum(size < SHORT for size in sizes)}"),
        ("of these, with one importer", f"{len(alone)} {', '.join(sorted(alone))}".strip()),
        ("imports, share of lines", f"{import_share(found):.1%}"),
        ("longest function, lines", f"{longest}, {where}"),
        ("circles of imports", f"{len(circles(graph))}"),
    )
    print("| measure | value |\n| --- | --- |")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
