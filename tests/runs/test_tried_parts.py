"""Faults of a part are found by trying it on a few images, before the run's folder exists."""

from __future__ import annotations

import pytest
import torch

import latentkit as lk
from latentkit.data.batches import CorruptionChain
from latentkit.errors import PluginError

MODEL = """
import torch
from latentkit.plugin import CorruptionSpec, ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

@hookimpl
def latentkit_models():
    yield ModelSpec(name="short", summary="Too few latents", target=f"{__name__}:Short")
    yield ModelSpec(name="bare", summary="No loss", target=f"{__name__}:bare")

@hookimpl
def latentkit_corruptions():
    yield CorruptionSpec(name="loud", summary="Leaves [0, 1]", target=f"{__name__}:loud")
    yield CorruptionSpec(name="nothing", summary="Gives None", target=f"{__name__}:nothing")

class Short(torch.nn.Module):
    latent_dim = 4

    def __init__(self, options, shape):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.ones(()))

    def encode(self, images):
        return images.flatten(1)[:, :3] * self.scale

    def decode(self, latents):
        return torch.zeros(len(latents), 1, 8, 8)

    def loss(self, inputs, targets, *, step):
        return {"loss": self.scale}

def bare(options, shape):
    return torch.nn.Linear(2, 2)

def loud(options):
    return lambda images, generator: images * 2 - 0.5

def nothing(options):
    return None
"""


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"model": "short"}, r"encode gives \(8, 3\) for 8 images, expected \(8, 4\)"),
        ({"model": "bare"}, "builds a Linear that lacks latent_dim, encode, decode, loss"),
        ({"corrupt": ["loud"]}, r"corruption 'loud' gives values from -0.5 to 1.5: .* in \[0, 1\]"),
        ({"corrupt": ["nothing"]}, "corruption 'nothing' builds a NoneType, expected a function"),
    ],
    ids=str,
)
def test_a_faulty_part_fails_before_training(tmp_path, asked, said):
    path = tmp_path / "faulty.py"
    path.write_text(MODEL, encoding="utf-8")
    with pytest.raises(PluginError, match=said):
        lk.run(epochs=1, plugins=[path], out=tmp_path / "runs", **asked)
    assert not (tmp_path / "runs").exists()


def test_each_corruption_is_tried_on_the_output_of_the_previous_one():
    halve = ("halve", lambda images, generator: images / 2)
    double = ("double", lambda images, generator: images * 2)
    images, generator = torch.ones(2, 1, 8, 8), torch.Generator()
    CorruptionChain([halve, double]).try_out(images, generator)
    with pytest.raises(PluginError, match="'double' gives values from 2 to 2"):
        CorruptionChain([double, halve]).try_out(images, generator)


def test_nan_values_of_a_corruption_are_out_of_range():
    broken = ("broken", lambda images, generator: images * float("nan"))
    with pytest.raises(PluginError, match="'broken' gives values from nan to nan"):
        CorruptionChain([broken]).try_out(torch.ones(2, 1, 8, 8), torch.Generator())
