"""The public names of `latentkit.nn`, from which plugins import building blocks of models."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import latentkit.nn

FOLDER = Path(latentkit.nn.__file__).parent
MOVED = {
    "conv": "ConvDecoder ConvEncoder fold folded_shape latents_to_pixels pixels_to_features",
    "dense": "DenseDecoder DenseEncoder all_but_last dense_layers",
    "gaussian": "LOG_VAR_RANGE kl_to_standard_normal log_normal reparameterise split_posterior",
    "shapes": "KERNEL STRIDE OddSizes halved halving_padding size_pyramid",
    "strided": "FastConvolution FastTransposed",
}


def defined_in(path: Path) -> set[str]:
    """Return the public names that a module itself defines, without those it imports."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign):
            names |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in names if not name.startswith("_")}


def test_every_public_name_is_offered_by_the_package():
    modules = [path for path in FOLDER.glob("*.py") if path.stem not in {"__init__", *MOVED}]
    assert set(latentkit.nn.__all__) == set.union(*map(defined_in, modules))
    assert all(hasattr(latentkit.nn, name) for name in latentkit.nn.__all__)


def test_the_package_imports_torch_only_when_a_name_is_used():
    code = "import latentkit.nn, sys; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("module", MOVED)
def test_a_plugin_that_imports_from_a_module_of_an_earlier_version_still_works(module, monkeypatch):
    path = f"latentkit.nn.{module}"
    monkeypatch.delitem(sys.modules, path, raising=False)
    with pytest.warns(DeprecationWarning, match=f"{path} is deprecated: import from latentkit.nn"):
        former = importlib.import_module(path)
    for name in MOVED[module].split():
        assert getattr(former, name) is getattr(latentkit.nn, name)
