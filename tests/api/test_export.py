"""Every built-in model gives the same results when exported to ONNX."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.api import files
from latentkit.cli.main import main
from latentkit.errors import BrokenEnvironmentError, PluginError, UserError
from latentkit.export import onnx_export
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins

pytestmark = pytest.mark.usefixtures("blank_figures")

BUILT_IN = Registry(found for found in find_plugins() if found.built_in)
MODELS = [part.spec.name for part in BUILT_IN.parts("model")]


@pytest.fixture
def runtime():
    for name in onnx_export._NEEDS:
        pytest.importorskip(name, reason=f"{name} is not installed")
    return pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_onnx_file_gives_the_results_of_the_model(name, tmp_path, runtime):
    torch.manual_seed(0)
    model = lk.model(name, image_shape=(1, 17, 23), hidden=[16], latent_dim=3).eval()
    files = onnx_export.export_onnx(model, name, (1, 17, 23), tmp_path, {})
    assert [file.path.name for file in files] == ["encoder.onnx", "decoder.onnx"]
    assert all(file.difference < 1e-4 for file in files)
    images = torch.rand(5, 1, 17, 23)
    for file, method, values in (
        (files[0], model.encode, images),
        (files[1], model.decode, torch.randn(4, 3)),
    ):
        session = runtime.InferenceSession(file.path)
        (source,) = session.get_inputs()
        (found,) = session.run(None, {source.name: values.numpy()})
        with torch.no_grad():
            assert np.allclose(found, method(values).numpy(), atol=1e-4)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    options = {"model.hidden": [16], "model.latent_dim": 3}
    out = tmp_path_factory.mktemp("runs")
    return lk.run(model="dense-ae", options=options, epochs=0, out=out)


def test_the_command_writes_encoder_and_decoder_with_metadata(
    run, tmp_path, runtime, monkeypatch, capsys
):
    line = ["latentkit", "export", str(run.path), "--out", str(tmp_path / "net"), "--json"]
    monkeypatch.setattr(sys, "argv", line)
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    files = json.loads(capsys.readouterr().out)
    assert [file["difference"] < 1e-4 for file in files] == [True, True]
    facts = runtime.InferenceSession(files[0]["path"]).get_modelmeta().custom_metadata_map
    assert facts["latentkit.run"] == run.id
    assert facts["latentkit.config_sha256"] == run.config.identity_sha256()
    assert facts["latentkit.image_shape"] == "[1, 8, 8]"
    assert facts["latentkit.latent_dim"] == "3"
    assert "divided by 255" in facts["latentkit.normalisation"]


def test_a_missing_package_is_named_with_its_install_command(run, monkeypatch):
    monkeypatch.setattr(onnx_export, "find_spec", lambda name: None)
    with pytest.raises(
        BrokenEnvironmentError, match=r"needs onnx.*pip install 'latentkit\[onnx\]'"
    ):
        lk.export(run.path)


def test_an_unknown_format_is_named(run):
    with pytest.raises(UserError, match="no format 'tflite'; known formats: onnx"):
        lk.export(run.path, "tflite")


def test_a_model_that_cannot_be_exported_leaves_no_file(tmp_path, runtime):
    class Branching(torch.nn.Module):
        latent_dim = 1

        def encode(self, images):
            total = images.sum()
            return images.flatten(1)[:, :1] * (1 if float(total) > 3 else 2)

        def decode(self, latents):
            return latents.sigmoid()[:, :, None, None].expand(-1, 1, 8, 8)

    with pytest.raises(PluginError, match="the encoder of model 'branching'") as caught:
        onnx_export.export_onnx(Branching(), "branching", (1, 8, 8), tmp_path, {})
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("opset", [0, 999])
def test_an_opset_that_does_not_exist_is_refused_at_once(tmp_path, runtime, monkeypatch, opset):
    monkeypatch.setattr(onnx_export, "_written", None)
    model = lk.model("dense-ae", image_shape=(1, 8, 8), hidden=[8], latent_dim=2)
    with pytest.raises(UserError, match=rf"opset {opset}: .* knows versions 1 to \d+: leave it"):
        onnx_export.export_onnx(model, "dense-ae", (1, 8, 8), tmp_path, {}, opset)


def test_an_opset_that_the_model_cannot_be_converted_to_is_one_line(
    tmp_path, runtime, monkeypatch, capfd
):
    def fail(*arguments):
        print("Traceback", file=sys.stderr)
        raise ValueError("No Adapter\nmore")

    monkeypatch.setattr(onnx_export, "_written", fail)
    model = lk.model("dense-ae", image_shape=(1, 8, 8), hidden=[8], latent_dim=2)
    with pytest.raises(UserError, match="with opset 19: leave it out, which means 18 ") as caught:
        onnx_export.export_onnx(model, "dense-ae", (1, 8, 8), tmp_path, {}, 19)
    assert str(caught.value).endswith("(ValueError: No Adapter)")
    assert capfd.readouterr().err == ""


def test_the_default_folder_is_refused_if_it_is_a_link(tmp_path):
    run = tmp_path / "run"
    assert files._beside(run) == tmp_path / "run-onnx"
    (tmp_path / "run-onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"run-onnx is a link to another folder"):
        files._beside(run)
