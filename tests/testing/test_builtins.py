"""Every built-in part passes the checks that plugin authors run on their parts."""

from __future__ import annotations

import pytest
import torch

from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases

pytestmark = pytest.mark.slow

BUILT_IN = Registry(found for found in find_plugins() if found.built_in)
QUICK = {"tsne": {"n_iter": 50}, "sprites": {"n_train": 60, "n_test": 20}}


def cases(kind):
    names = {part.spec.name for part in BUILT_IN.parts(kind)}
    options = {name: values for name, values in QUICK.items() if name in names}
    return part_cases(kind=kind, registry=BUILT_IN, options=options)


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize("case", cases("model"))
def test_models(case):
    case()


@pytest.mark.parametrize("case", cases("dataset"))
def test_data_sets_that_are_not_downloaded(case):
    case()


@pytest.mark.parametrize("case", cases("corruption"))
def test_corruptions(case):
    case()


@pytest.mark.parametrize("case", cases("embedding"))
def test_embeddings(case):
    case()
