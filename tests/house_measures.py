"""The measures of the house: sizes, imports, documentation and types of src, as a table.

python tests/house_measures.py
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SRC = Path(__file__).parents[1] / "src"
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
    found: set[str] = set()
    for node in _executed_at_import(module.tree.body):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= (inner & names) or {node.module}
    return (found & names) - {module.name}


def _executed_at_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        if isinstance(node, ast.If | ast.Try | ast.With | ast.ClassDef):
            yield from _executed_at_import(node.body)


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


def public(module: Module) -> Iterator[tuple[str, Described]]:
    """Yield what a module offers: itself, its public functions and classes, and their methods."""
    yield module.name, module.tree
    for node in module.tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield f"{module.name}.{node.name}", node
            for inner in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(inner, Function) and not inner.name.startswith("_"):
                    yield f"{module.name}.{node.name}.{inner.name}", inner


def is_typed(function: Function) -> bool:
    """Return whether every argument but self and cls, and the result, has a type."""
    own = function.args
    stars = [one for one in (own.vararg, own.kwarg) if one is not None]
    arguments = [*own.posonlyargs, *own.args, *own.kwonlyargs, *stars]
    asked = [one for one in arguments if one.arg not in ("self", "cls")]
    return function.returns is not None and all(one.annotation is not None for one in asked)


def undocumented(found: list[Module]) -> list[str]:
    """Return what is public and has no docstring."""
    return [
        name
        for module in found
        for name, node in public(module)
        if not any(part.startswith("_") for part in name.split(".")[1:])
        and not ast.get_docstring(node)
    ]


def main() -> None:
    """Print the measures."""
    found = modules()
    names = {module.name for module in found}
    graph = {module.name: imports_at_start(module, names) for module in found}
    functions = [(length(f), f"{m.name}.{f.name}") for m in found for f in m.functions]
    typed = [is_typed(f) for m in found for f in m.functions]
    offered = sum(1 for module in found for _ in public(module))
    longest_file = max(found, key=lambda module: module.lines)
    longest, where = max(functions)
    files = sorted(module.lines for module in found)
    middle = sorted(size for size, _ in functions)[len(functions) // 2]
    rows = (
        ("files", f"{len(found)}"),
        ("lines", f"{sum(files):,}"),
        ("lines of a file, median", f"{files[len(files) // 2]}"),
        ("longest file", f"{longest_file.lines}, {longest_file.name}"),
        ("files above 250 lines", f"{sum(size > 250 for size in files)}"),
        ("functions", f"{len(functions):,}"),
        ("lines of a function without docstring, median", f"{middle}"),
        ("longest function", f"{longest}, {where}"),
        ("functions above 40 lines", f"{sum(size > 40 for size, _ in functions)}"),
        ("imports of each other at import", f"{sum(map(len, graph.values())):,}"),
        ("circles", f"{len(circles(graph))}"),
        ("public names", f"{offered:,}"),
        ("without docstring", f"{len(undocumented(found))}"),
        ("functions with all types", f"{sum(typed)} of {len(typed)}"),
    )
    print("| measure | value |\n| --- | --- |")
    print("\n".join(f"| {name} | {value} |" for name, value in rows))


if __name__ == "__main__":
    main()
