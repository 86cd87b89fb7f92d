"""Networks of timm: what their input is, whose weights they have, and which are refused."""

from __future__ import annotations

import functools
import hashlib
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file

import latentkit as lk
from latentkit.errors import DataError, IntegrityError, UserError
from latentkit.testing.suites import part_cases

SMALL = "test_resnet"  # half a million weights, for tests
OPTIONS = {"backbone": SMALL, "size": 32}


@pytest.mark.parametrize("case", part_cases("latentkit-timm", options={"timm": OPTIONS}))
def test_the_contract(case):
    case()


def network(shape=(1, 28, 28), **options):
    return lk.model("timm", shape, **{**OPTIONS, **options}).eval()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Return a file of weights, with those of its classifier, as timm saves them."""
    torch.manual_seed(5)
    path = tmp_path_factory.mktemp("weights") / "trained.safetensors"
    save_file(timm.create_model(SMALL).state_dict(), path)
    return path


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_saved_weights_give_the_features_of_timm(saved, channels):
    built = network((channels, 28, 28), weights=str(saved))
    own = timm.create_model(
        SMALL,
        pretrained=True,
        pretrained_cfg_overlay={"file": str(saved)},
        num_classes=0,
        in_chans=3 if channels == 1 else channels,
    ).eval()
    images = torch.rand(2, channels, 28, 28)
    assert built.pretrained
    with torch.no_grad():
        assert torch.equal(built.encode(images), own(built.prepare(images)))
    assert built.latent_dim == own.num_features


def test_a_contract_with_saved_weights_holds(saved):
    for case in part_cases("latentkit-timm", options={"timm": {**OPTIONS, "weights": str(saved)}}):
        if "random_weights" in str(case):
            case()


def test_random_weights_are_named_as_such():
    assert not network().pretrained


def test_weights_of_another_network_are_refused_in_a_line(saved, tmp_path):
    with pytest.raises(UserError, match=r"trained\.safetensors has no weights of test_vit"):
        network(backbone="test_vit", size=160, weights=str(saved))
    some = {k: v for k, v in load_file(saved).items() if not k.startswith("layer4")}
    save_file(some, tmp_path / "some.safetensors")
    with pytest.raises(UserError, match=r"\(it lacks layer4\.0\.conv1\.weight, layer4"):
        network(weights=str(tmp_path / "some.safetensors"))


def test_a_missing_bias_or_statistic_is_named_even_if_timm_renames_the_rest(saved, tmp_path):
    path = tmp_path / "some.safetensors"
    for lost in ("bn1.running_var", "layer4.0.bn1.bias"):
        known = load_file(saved)
        some = {k: v for k, v in known.items() if k != lost}
        save_file(some, path)
        with pytest.raises(UserError, match=rf"\(it lacks {lost}\)"):
            network(weights=str(path))
    torch.manual_seed(5)
    own = timm.create_model("test_vit").state_dict()
    save_file({f"visual.trunk.{name}": value for name, value in own.items()}, path)
    openclip = {"backbone": "test_vit", "size": 160, "weights": str(path)}
    assert network((3, 28, 28), **openclip).pretrained
    save_file({f"visual.trunk.{name}": v for name, v in own.items() if name != "norm.bias"}, path)
    with pytest.raises(UserError, match=r"\(it lacks norm\.bias\)"):
        network((3, 28, 28), **openclip)


@pytest.mark.parametrize("ending", [".pt", ".pth", ".bin"])
def test_a_pickle_is_refused_and_not_read(tmp_path, ending):
    path = tmp_path / f"weights{ending}"
    torch.save({"a": torch.zeros(1)}, path)
    with pytest.raises(UserError, match=r"is no \.safetensors file, and other files"):
        network(weights=str(path))


def test_a_damaged_file_and_weights_that_are_not_finite_are_refused(saved, tmp_path):
    path = tmp_path / "w.safetensors"
    path.write_bytes(saved.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"w\.safetensors is not a safetensors file"):
        network(weights=str(path))
    save_file({**load_file(saved), "conv1.weight": torch.full((3,), torch.nan)}, path)
    with pytest.raises(DataError, match=r"conv1\.weight holds NaN"):
        network(weights=str(path))
    with pytest.raises(UserError, match="cannot read weights"):
        network(weights=str(tmp_path / "none.safetensors"))


def test_names_that_timm_does_not_have_suggest_the_nearest():
    with pytest.raises(UserError, match=r"no network 'resnet81' \(did you mean 'resnet18'\?\)"):
        network(backbone="resnet81")
    with pytest.raises(UserError, match=r"no weights 'r16_in1k' for test_resnet \(did you mean"):
        network(backbone="test_resnet.r16_in1k")
    with pytest.raises(UserError, match="no network 'hf-hub:one/other'"):
        network(backbone="hf-hub:one/other")


def test_a_size_that_would_cut_images_is_refused():
    with pytest.raises(UserError, match=r"squares of 16 pixels: set model\.size to a multiple"):
        network(backbone="test_vit", size=60)
    assert network(backbone="test_vit", size=64).encode(torch.rand(1, 1, 28, 28)).shape == (1, 64)


class Hub(BaseHTTPRequestHandler):
    """Answers for one file as the hub of Hugging Face does."""

    def __init__(self, content, *arguments):
        self.content = content
        super().__init__(*arguments)

    def do_HEAD(self):
        self.send_response(200 if self.path.endswith("/main/model.safetensors") else 404)
        self.send_header("Content-Length", str(len(self.content)))
        self.send_header("ETag", '"0123456789abcdef"')
        self.send_header("X-Repo-Commit", "0" * 40)
        self.end_headers()

    def do_GET(self):
        self.do_HEAD()
        self.wfile.write(self.content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(saved):
    """Serve a file of weights, and yield the address and what stops the server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Hub, saved.read_bytes()))
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


BUILD = f"""
import latentkit as lk
from latentkit.plugin.downloads import no_downloads

def built():
    model = lk.model("timm", (1, 28, 28), backbone="{SMALL}.r160_in1k", weights="hub", size=32)
    return float(model.network.conv1[0].weight.sum())

with no_downloads("timm"):
    try:
        built()
    except lk.errors.DataError as error:
        print(error)
print(built())
with no_downloads("timm"):
    print(built())
"""


def test_weights_of_the_hub_are_downloaded_once_and_only_where_allowed(saved, hub, tmp_path):
    variables = {"HF_ENDPOINT": hub, "HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "0"}
    ended = subprocess.run(
        [sys.executable, "-c", BUILD],
        env={**os.environ, **variables, "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
    )
    refused, first, again = ended.stdout.splitlines()
    assert refused.startswith("the weights of test_resnet.r160_in1k would be downloaded")
    weight = float(load_file(saved)["conv1.0.weight"].sum())
    assert float(first) == pytest.approx(weight, rel=1e-4)
    assert again == first


@pytest.mark.usefixtures("blank_figures")
def test_a_run_keeps_the_weights_and_is_transferred_without_their_file(
    saved, tmp_path, monkeypatch
):
    from latentkit.transfer import transfer_figures

    monkeypatch.setattr(transfer_figures, "report_transfer", lambda context, kind, svg: None)
    weights = tmp_path / "mine.safetensors"
    weights.write_bytes(saved.read_bytes())
    # With size 16, maps would be 1x1 before a convolution of stride 2. With PyTorch 2.14 on a
    # processor with AMX, its gradient in bfloat16 holds memory that was never written.
    options = {"model.backbone": SMALL, "model.size": 32, "model.weights": str(weights)}
    found = lk.run(model="timm", options={**options, "threads": 1}, out=tmp_path)
    assert found.summary["weights"].startswith("those that the model arrives with")
    latents = found.latents()
    recorded = found.config.model.options.weights_sha256
    assert recorded == hashlib.sha256(weights.read_bytes()).hexdigest()
    (found.path / "model.safetensors").unlink()
    weights.write_bytes(saved.read_bytes() + b" ")
    with pytest.raises(IntegrityError, match="is not the file that the model was set up with"):
        lk.resume(found.path)
    weights.write_bytes(saved.read_bytes())
    assert lk.resume(found.path).status == "finished"
    weights.unlink()
    (found.path / "evaluation.json").unlink()
    left_out = lk.resume(found.path).evaluation["left_out"]
    assert not [one for one in left_out if "random" in one["part"]]
    assert lk.open(found.path).model.latent_dim == latents.shape[1]
    moved = lk.transfer(found.path, epochs=1, embed=[], out=tmp_path, options={"threads": 1})
    assert moved.features("before").shape[1] == latents.shape[1]
