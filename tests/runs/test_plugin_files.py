"""A run made with a single-file plugin records the file, and is only resumed with the same one."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest

import latentkit as lk
from latentkit import trust as trust_module
from latentkit.cli import tune_command
from latentkit.errors import IntegrityError, PluginError
from latentkit.registry.catalogue import default_registry
from latentkit.runs.manifest import Manifest
from latentkit.runs.saved_config import check_plugin_files, registry_of
from latentkit.trust import trust

pytestmark = pytest.mark.usefixtures("blank_figures")

MODEL = """
import numpy as np
import torch
from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

@hookimpl
def latentkit_models():
    yield ModelSpec(name="flat-ae", summary="A linear one", target=f"{__name__}:build")

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
"""
MAP = """
from latentkit.plugin import EmbeddingSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

@hookimpl
def latentkit_embeddings():
    yield EmbeddingSpec(name="first-two", summary="Two latents", target=f"{__name__}:first")

class First:
    def fit_transform(self, vectors):
        return vectors[:, :2]

def first(options, random_state):
    return First()
"""


@pytest.fixture(scope="module")
def model_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("plugins") / "flat.py"
    path.write_text(MODEL)
    return path


@pytest.fixture(scope="module")
def run(model_file, tmp_path_factory):
    """Return a run of a model from a plugin file; tests may only add to it."""
    out = tmp_path_factory.mktemp("runs")
    options = {"threads": 1}
    return lk.run(model="flat-ae", plugins=[model_file], epochs=1, options=options, out=out)


@pytest.fixture
def map_file(tmp_path):
    path = tmp_path / "first.py"
    path.write_text(MAP)
    return path


@pytest.fixture
def manifest(map_file):
    """Return the manifest of a run that was made with the plugin file of the map, by this user."""
    trust("plugin", hashlib.sha256(MAP.encode()).hexdigest(), str(map_file))
    known = {str(map_file): hashlib.sha256(MAP.encode()).hexdigest()}
    facts = {"config": {}, "config_sha256": "", "seed": 0, "data_dir": "", "created": ""}
    return Manifest(id="my-run", status="finished", plugin_files=known, **facts)


def test_the_manifest_holds_the_path_and_sha256_of_the_file(run, model_file):
    document = json.loads((run.path / "run.json").read_text())
    sha256 = hashlib.sha256(MODEL.encode()).hexdigest()
    assert document["plugin_files"] == {str(model_file): sha256}
    assert document["plugins"]["flat.py"] == sha256[:12]


def test_commands_that_run_it_again_name_the_file(run, model_file, monkeypatch):
    page = (run.path / "report.html").read_text()
    assert f"<span>--plugin</span> <span>{model_file}</span>" in page
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(model_file))
    assert tune_command._running("best.toml").endswith(f"--seed 1 --plugin {model_file}")


def test_the_run_is_opened_and_resumed_without_naming_the_file_again(run):
    assert lk.open(run.path).model.latent_dim == 3
    assert len(lk.resume(run.path, epochs=2).history) == 2


def test_a_transfer_uses_the_plugin_file_of_its_parent_run(run, model_file, tmp_path, undrawn):
    done = lk.transfer(
        run.path, labels=50, epochs=1, embed=[], options={"threads": 1}, out=tmp_path
    )
    assert list(json.loads((done.path / "run.json").read_text())["plugin_files"]) == [
        str(model_file)
    ]


def test_the_plugin_file_of_an_added_map_is_recorded_too(run, model_file, map_file, monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(map_file))
    mapped = lk.embed(run.path, ["first-two"])
    assert np.array_equal(mapped.coordinates("first-two"), mapped.latents("test")[:, :2])
    monkeypatch.delenv("LATENTKIT_PLUGIN_FILES")
    document = json.loads((run.path / "run.json").read_text())
    assert list(document["plugin_files"]) == [str(model_file), str(map_file)]
    assert lk.open(run.path).config.embeddings[0].name == "first-two"


def test_the_files_of_a_manifest_are_loaded(manifest):
    assert registry_of(manifest).get("embedding", "first-two")


def test_a_run_is_not_resumed_without_its_plugin_file(manifest, map_file):
    with pytest.raises(IntegrityError, match=r"was made with plugin file .*: add  --plugin"):
        check_plugin_files(manifest, default_registry())
    check_plugin_files(manifest, default_registry([map_file]))


def test_a_changed_plugin_file_is_refused(manifest, map_file):
    map_file.write_text(MAP + "# other\n")
    with pytest.raises(IntegrityError, match=r"run my-run .*first\.py, which has changed since"):
        registry_of(manifest)


def test_a_deleted_plugin_file_is_refused_and_a_moved_one_is_found(
    manifest, map_file, tmp_path, monkeypatch
):
    moved = map_file.rename(tmp_path / "other_name.py")
    with pytest.raises(IntegrityError, match=r"cannot be read now .* new path with --plugin"):
        registry_of(manifest)
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(moved))
    assert registry_of(manifest).get("embedding", "first-two")


def test_operations_that_need_no_plugin_code_work_without_the_file(run, model_file):
    content = model_file.read_text()
    model_file.unlink()
    try:
        opened = lk.open(run.path)
        assert opened.latents("test").shape == (360, 3)
        assert opened.summary["model"] == "flat-ae"
        assert [listed.id for listed in lk.list_runs(run.path.parent)] == [run.id]
        with pytest.raises(IntegrityError, match=r"cannot be read now .*flat\.py"):
            _ = opened.model
    finally:
        model_file.write_text(content)


def test_a_file_that_the_user_has_not_named_is_not_executed(run, model_file, monkeypatch):
    trusted, sha256 = trust_module.trusted_name, hashlib.sha256(MODEL.encode()).hexdigest()

    def forgotten(kind, key):
        return None if key == sha256 else trusted(kind, key)

    monkeypatch.setattr(trust_module, "trusted_name", forgotten)
    opened = lk.open(run.path)
    assert opened.summary["model"] == "flat-ae"
    with pytest.raises(PluginError, match=r"flat\.py for model 'flat-ae'.*trust"):
        _ = opened.model
    assert lk.open(run.path, plugins=[model_file]).model.latent_dim == 3


def test_an_allowed_file_is_executed_from_where_it_was_allowed(manifest, map_file, tmp_path):
    sent = tmp_path / "sent" / map_file.name
    sent.parent.mkdir()
    sent.write_text(MAP)
    manifest.plugin_files = {str(sent): hashlib.sha256(MAP.encode()).hexdigest()}
    assert [file.path for file in registry_of(manifest).files] == [map_file]


def test_no_plugins_leaves_out_the_files_of_a_run(manifest, monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGINS", "")
    with pytest.raises(PluginError, match="--no-plugins or LATENTKIT_PLUGINS leaves out"):
        registry_of(manifest)
