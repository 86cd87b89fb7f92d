"""What other packages, built-in or not, use of `latentkit.neighbors`."""

import re
import subprocess
import sys
from inspect import getdoc
from pathlib import Path

import numba
import numpy as np

from latentkit import neighbors

ROOT = Path(__file__).resolve().parents[2]
COMPILED = [
    "latentkit.builtins.embeddings.isomap_graph",
    "latentkit.builtins.embeddings.isomap_scaling",
    "latentkit.builtins.embeddings.tsne_gradient",
    "latentkit.builtins.embeddings.umap_graph",
    "latentkit.builtins.embeddings.umap_layout",
    "latentkit.maps.ranks",
    "latentkit.neighbors.blocks",
    "latentkit.neighbors.search",
]


def test_each_public_name_is_there_and_documented():
    for name in neighbors.__all__:
        assert getdoc(getattr(neighbors, name)), name


def test_parts_import_from_the_package_and_not_from_its_modules():
    inside = re.compile(r"latentkit\.neighbors\.\w+ import|import latentkit\.neighbors\.")
    folders = [ROOT / "src/latentkit/builtins", *(ROOT / "plugins").glob("*/src")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    assert [path.name for path in files if inside.search(path.read_text("utf-8"))] == []


def test_the_package_itself_imports_nothing_heavy():
    code = "import sys, latentkit.neighbors; print({'numba', 'sklearn', 'numpy'} & {*sys.modules})"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "set()"


def test_a_compiled_function_gives_what_the_function_gives():
    @neighbors.compiled(parallel=True)
    def squares(values):
        found = np.empty_like(values)
        for i in numba.prange(len(values)):
            found[i] = values[i] * values[i]
        return found

    values = np.arange(9.0)
    assert np.array_equal(squares(values), squares.py_func(values))


def test_the_modules_with_compiled_code_are_listed_here():
    uses = re.compile(r"^@(compiled|numba\.njit|njit)\b", re.MULTILINE)
    source = ROOT / "src"
    found = [
        ".".join(path.relative_to(source).with_suffix("").parts)
        for path in source.rglob("*.py")
        if uses.search(path.read_text("utf-8"))
    ]
    assert sorted(found) == COMPILED


def test_compiled_code_can_be_imported_without_a_folder_for_machine_code():
    code = """
import sys
from importlib import import_module
from numba.core import caching
def without_folder(locator):
    raise OSError("Read-only file system")
caching._CacheLocator.ensure_cache_path = without_folder
for name in sys.argv[1:]:
    import_module(name)
"""
    command = [sys.executable, "-c", code, *COMPILED]
    shown = subprocess.run(command, capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
