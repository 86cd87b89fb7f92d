"""Compiled code has as many threads as the run, and leaves torch's number as it is."""

import subprocess
import sys

import numba
import pytest

from latentkit.neighbors.threads import numba_threads

AFTER = """
import os
os.environ["NUMBA_NUM_THREADS"] = "3"
import numpy as np, torch
torch.set_num_threads(1)
vectors = np.random.default_rng(0).normal(size=(2100, 3)).astype(np.float32)
torch.set_num_threads(2)
def same(name):
    assert torch.get_num_threads() == 2, name
from latentkit.neighbors import NeighborIndex, compiled
same("import")
index = NeighborIndex(vectors)
for name, use in {
    "neighbors": lambda: index.neighbors(3),
    "query": lambda: index.query(vectors, 3),
    "shortest_bridges": lambda: index.shortest_bridges(np.arange(2100) % 2),
}.items():
    use()
    same(name)
from latentkit.maps.quality import map_quality
map_quality(vectors, vectors[:, :2].astype(float), None, seed=0, threads=1)
same("map_quality")
from latentkit.builtins.embeddings.isomap import LandmarkIsomap
LandmarkIsomap().fit(vectors)
same("isomap")
from latentkit.builtins.embeddings.tsne import Tsne
Tsne(n_iter=1).fit(vectors[:200])
same("tsne")
"""

OF_A_PLUGIN = """
import os
os.environ["NUMBA_NUM_THREADS"] = "3"
import torch
torch.set_num_threads(2)
from latentkit.registry.catalogue import default_registry
from latentkit.training.device import repeatable
with repeatable(torch.device("cpu"), 1):
    default_registry().get("embedding", "pca").target()
    import numba  # as a plugin does
    assert numba.get_num_threads() == 1
    assert torch.get_num_threads() == 1
assert numba.get_num_threads() == 3
assert torch.get_num_threads() == 2
"""


@pytest.mark.parametrize("code", [AFTER, OF_A_PLUGIN], ids=["ours", "plugins"])
def test_torch_keeps_its_number_of_threads(code):
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert shown.returncode == 0, shown.stderr


def test_numba_has_the_number_of_the_innermost_context():
    before = numba.get_num_threads()
    with numba_threads(1):
        with numba_threads(10_000):
            assert numba.get_num_threads() == numba.config.NUMBA_NUM_THREADS
        assert numba.get_num_threads() == 1
    assert numba.get_num_threads() == before
