"""A run made with a plugin in a single file knows the file, and is finished with no other."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import IntegrityError

PLUGIN = """
import numpy as np
import torch
from latentkit.plugin import EmbeddingSpec, ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

@hookimpl
def latentkit_models():
    yield ModelSpec(name="flat-ae", summary="A linear one", target=f"{__name__}:build")

@hookimpl
def latentkit_embeddings():
    yield EmbeddingSpec(name="first-two", summary="Two latents", target=f"{__name__}:first")

class Flat(torch.nn.Module):
    latent_dim = 3

    def __init__(self, shape):
        super().__init__()
        pixels = int(np.prod(shape))
        self.encode = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(pixels, 3))
        self.decode = torch.nn.Sequential(
            torch.nn.Linear(3, pixels), torch.nn.Sigmoid(), torch.nn.Unflatten(1, shape)
        )

    def loss(self, inputs, targets, *, step):
        return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}

def build(options, image_shape):
    return Flat(image_shape)

class First:
    def fit_transform(self, vectors):
        return vectors[:, :2]

def first(options, random_state):
    return First()
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "flat.py"
    path.write_text(PLUGIN)
    return path


@pytest.fixture
def run(file, tmp_path):
    return lk.run(
        model="flat-ae", plugins=[file], epochs=1, options={"threads": 1}, out=tmp_path / "runs"
    )


def test_the_manifest_holds_path_and_sha256(run, file):
    manifest = json.loads((run.path / "run.json").read_text())
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    assert manifest["plugin_files"] == {str(file): sha256}
    assert manifest["plugins"]["flat.py"] == sha256[:12]


def test_the_run_is_opened_resumed_and_given_a_map_without_naming_the_file_again(run):
    assert lk.open(run.path).model.latent_dim == 3
    longer = lk.resume(run.path, epochs=2)
    assert len(longer.history) == 2
    mapped = lk.embed(run.path, ["first-two"])
    assert np.array_equal(mapped.coordinates("first-two"), mapped.latents("test")[:, :2])


def test_a_file_that_changed_is_refused_and_what_needs_none_still_works(run, file):
    file.write_text(PLUGIN + "# other\n")
    with pytest.raises(IntegrityError, match=r"flat\.py, which has changed since"):
        lk.resume(run.path, epochs=2)
    opened = lk.open(run.path)
    with pytest.raises(IntegrityError, match=r"flat\.py, which has changed since"):
        _ = opened.model
    assert opened.latents("test").shape == (360, 3)
    assert [listed.id for listed in lk.list_runs(run.path.parent)] == [run.id]


def test_a_file_that_is_gone_is_refused_and_one_that_was_moved_is_found(
    run, file, tmp_path, monkeypatch
):
    moved = tmp_path / "elsewhere" / "other_name.py"
    moved.parent.mkdir()
    file.rename(moved)
    with pytest.raises(IntegrityError, match=r"cannot be read .* say where it is with --plugin"):
        lk.resume(run.path, epochs=2)
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(moved))
    assert len(lk.resume(run.path, epochs=2).history) == 2


def test_a_map_out_of_a_file_is_remembered_by_a_run_that_was_made_without(
    file, tmp_path, monkeypatch
):
    options = {"model.channels": [4], "model.hidden": [8], "threads": 1}
    run = lk.run(epochs=1, options=options, out=tmp_path / "runs")
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(file))
    lk.embed(run.path, ["first-two"])
    monkeypatch.delenv("LATENTKIT_PLUGIN_FILES")
    assert json.loads((run.path / "run.json").read_text())["plugin_files"][str(file)]
    assert lk.resume(run.path).maps == ["first-two"]


def test_a_transfer_knows_the_file_of_its_run(run, tmp_path, undrawn):
    done = lk.transfer(
        run.path, labels=50, epochs=1, embed=[], options={"threads": 1}, out=tmp_path / "transfers"
    )
    assert json.loads((done.path / "run.json").read_text())["plugin_files"]
