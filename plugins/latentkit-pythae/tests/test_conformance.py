"""Each model keeps the contract, and the declaration has no heavy imports."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from family import INSTALLED, NAMES, needs_the_plugin, registry, small

from latentkit.errors import UserError
from latentkit.testing.suites import part_cases

pytestmark = [pytest.mark.slow, needs_the_plugin]


def cases():
    options = {name: small(name) for name in NAMES}
    return part_cases("latentkit-pythae", options=options, registry=registry()) if INSTALLED else []


@pytest.mark.parametrize("case", cases())
def test_the_contract(case):
    case()


def test_declaration_and_options_have_no_heavy_imports():
    code = (
        "import sys, latentkit_pythae.plugin, latentkit_pythae.options\n"
        "print(sorted({'pythae', 'sklearn', 'scipy', 'torch'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pythae-info-vae", {"alpha": 0.2, "mmd_weight": 0.5}, "MMD is maximised"),
        ("pythae-svae", {"latent_dim": 100}, "latent_dim"),
        ("pythae-iaf", {"latent_dim": 1}, "latent_dim"),
        ("pythae-lin-nf", {"flows": ["Spline"]}, "flows"),
    ],
)
def test_options_that_would_fail_in_pythae_are_refused(name, options, message):
    with pytest.raises(UserError, match=message):
        registry().get("model", name).options(options)


def test_a_network_too_deep_for_the_images_is_refused_in_one_line():
    part = registry().get("model", "pythae-vae")
    with pytest.raises(UserError, match="cannot be halved"):
        part.target()(part.options({"channels": [4] * 6}), (1, 8, 8))
