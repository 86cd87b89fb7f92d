"""As the guide promises, an error that escapes a part is reported as that part's fault."""

from __future__ import annotations

import re
from textwrap import dedent

import pytest

import latentkit as lk
from latentkit.errors import PluginError

SMALL = {"model.channels": [4, 8], "model.hidden": 16, "model.latent_dim": 3, "threads": 1}
DECLARATION = """
    from latentkit.plugin import (
        CorruptionSpec, DatasetSpec, EmbeddingSpec, ModelSpec, TunerSpec, hookimpl
    )
    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_KINDs():
        yield SPEC(name="faulty", summary="It fails", target="faulty:build")
"""
SPECS = {
    "model": "ModelSpec",
    "dataset": "DatasetSpec",
    "corruption": "CorruptionSpec",
    "embedding": "EmbeddingSpec",
    "tuner": "TunerSpec",
}
RAISES = "def build(*of_any_kind): raise RuntimeError('no')"
MODEL = """
    import torch

    class Net(torch.nn.Module):
        latent_dim = 2

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(64, 2))

        def encode(self, images):
            return images.flatten(1) @ self.weight

        def decode(self, latents):
            return (latents @ self.weight.T).reshape(-1, 1, 8, 8)

        def loss(self, inputs, targets, *, step):
            return {"loss": self.weight.square().mean()}

        def no(self, *inputs, **step):
            raise RuntimeError("no")

        CHANGE

    def build(options, image_shape):
        return Net()
"""
FAULTS = {
    "a model cannot be built": ("model", RAISES, "model 'faulty' cannot be built"),
    "a model's loss raises": ("model", MODEL.replace("CHANGE", "loss = no"), "loss failed"),
    "a loss is no mapping": (
        "model",
        MODEL.replace("CHANGE", "def loss(self, *inputs, step): return self.weight.mean()"),
        "the model's loss failed: TypeError",
    ),
    "a loss is no scalar": (
        "model",
        MODEL.replace("CHANGE", "def loss(self, *inputs, step): return {'loss': self.weight}"),
        r"'loss' has shape \(64, 2\), expected a scalar",
    ),
    "a model's encode raises": ("model", MODEL.replace("CHANGE", "encode = no"), "encode failed"),
    "a model's decode raises": (
        "model",
        MODEL.replace("CHANGE", "decode = no"),
        "the model's reconstruction failed: RuntimeError: no",
    ),
    "a data set cannot be loaded": ("dataset", RAISES, "'faulty' failed to load its train images"),
    "a corruption cannot be built": ("corruption", RAISES, "corruption 'faulty' cannot be built"),
    "a corruption raises": (
        "corruption",
        "def build(options): return lambda images, generator: 1 / 0",
        r"corruption 'faulty' failed on images \(\d+, 1, 8, 8\): ZeroDivisionError",
    ),
    "an embedding cannot be built": ("embedding", RAISES, "embedding 'faulty' cannot be built"),
    "an embedding cannot estimate": (
        "embedding",
        """
        class Map:
            def estimate(self, n, d): raise RuntimeError("no")

        def build(options, random_state): return Map()
        """,
        "embedding 'faulty' cannot estimate what 360 points need: RuntimeError: no",
    ),
    "an embedding has no fit_transform": (
        "embedding",
        "def build(options, random_state): return object()",
        "embedding 'faulty' failed on 360 points of 3 dimensions: AttributeError",
    ),
    "a tuner cannot be built": (
        "tuner",
        RAISES,
        "tuner 'faulty' cannot be built: RuntimeError: no",
    ),
    "a tuner gives no study": (
        "tuner",
        """
        class Tuner:
            def optimize(self, objective, task, budget): pass
            def load(self, task): pass

        def build(options): return Tuner()
        """,
        "tuner 'faulty' gave NoneType, expected StudyResult",
    ),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_fault_of_a_part_names_the_part(case, install_plugin, tmp_path):
    kind, target, message = FAULTS[case]
    declaration = DECLARATION.replace("KIND", kind).replace("SPEC(", f"{SPECS[kind]}(")
    install_plugin("faulty", dedent(declaration) + dedent(target))
    work = lk.tune if kind == "tuner" else lk.run
    argument = {"corruption": "corrupt", "embedding": "embed"}.get(kind, kind)
    chosen = {argument: "faulty" if argument == kind else ["faulty"]}
    options = {"threads": 1} if kind == "model" else SMALL
    if case == "an embedding has no fit_transform":  # only the map of it is left out
        made = work(**chosen, options=options, epochs=1, out=tmp_path)
        assert re.search(message, made.summary["left_out"][0]["why"])
        return
    with pytest.raises(PluginError, match=message):
        work(**chosen, options=options, epochs=1, out=tmp_path)
