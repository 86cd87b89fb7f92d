"""Both tuners keep the contract of `latentkit.plugin.studies`."""

from __future__ import annotations

from functools import partial

import pytest

pytest.importorskip(
    "latentkit_gridsearch", reason="pip install ./plugins/latentkit-gridsearch to test it"
)

from latentkit.testing.tuners import TUNER_CHECKS
from latentkit_gridsearch.options import GridOptions, RandomOptions
from latentkit_gridsearch.tuner import build_grid, build_random

TUNERS = {
    "grid": partial(build_grid, GridOptions()),
    "grid-shuffled": partial(build_grid, GridOptions(points=2, shuffle=True)),
    "random": partial(build_random, RandomOptions()),
}


@pytest.mark.parametrize("check", TUNER_CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("name", TUNERS)
def test_it_keeps_the_contract(name, check, tmp_path):
    check(TUNERS[name], f"sqlite:///{tmp_path / 'study.db'}")
