"""Networks of torchvision as encoders: features, weights, channels, and what is refused."""

from __future__ import annotations

import functools
import hashlib
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
import torch
from safetensors.torch import load_file, save_file
from torchvision import models

import latentkit as lk
from latentkit.errors import DataError, IntegrityError, NetworkError, UserError
from latentkit.plugin.downloads import no_downloads
from latentkit.testing.suites import part_cases
from latentkit_torchvision.backbone import build
from latentkit_torchvision.options import ClassifierOptions

SMALL = "shufflenet_v2_x0_5"
OPTIONS = {"torchvision": {"backbone": "resnet18", "size": 32}}


@pytest.mark.parametrize("case", part_cases("latentkit-torchvision", kind="model", options=OPTIONS))
def test_the_contract(case):
    case()


def network(shape=(1, 28, 28), **options):
    return lk.model("torchvision", shape, **{"backbone": SMALL, "size": 32, **options}).eval()


@pytest.fixture(scope="module")
def trained():
    torch.manual_seed(5)
    return models.get_model(SMALL).eval()


@pytest.fixture(scope="module")
def saved(trained, tmp_path_factory):
    path = tmp_path_factory.mktemp("weights") / "trained.safetensors"
    save_file(trained.state_dict(), path)
    return path


def test_saved_weights_give_the_input_of_the_classifier(trained, saved):
    built = network(weights=str(saved))
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        features = built.encode(images)
        assert torch.allclose(trained.fc(features), trained(built.prepare(images)), atol=1e-5)
    assert built.pretrained
    assert not network().pretrained


def test_the_first_convolution_is_adapted_to_other_numbers_of_channels(saved):
    built = network((7, 28, 28), weights=str(saved))
    with torch.no_grad():
        grey = torch.rand(2, 1, 32, 32)
        seven, three = (grey.expand(-1, n, -1, -1) for n in (7, 3))
        first = built.network.conv1[0](seven)
        own = network(weights=str(saved)).network.conv1[0](three)
    # Seven channels repeat red, green and blue, so the sum over equal channels is nearly the same.
    assert first.shape == own.shape
    assert (first - own).norm() < 0.5 * own.norm()


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "convnext_tiny", "vit_b_32"])
def test_classifiers_of_other_families_lose_what_follows_their_pooled_features(name):
    built = lk.model("torchvision", (3, 32, 32), backbone=name, size=32).eval()
    with torch.no_grad():
        assert built.encode(torch.rand(2, 3, 32, 32)).shape == (2, built.latent_dim)


def test_weights_of_another_network_and_pickles_are_refused(saved, tmp_path):
    with pytest.raises(UserError, match=r"has no weights of resnet18 \(it lacks conv1\.weight"):
        network(backbone="resnet18", weights=str(saved))
    some = load_file(saved)
    some["conv1.0.weight"] = torch.zeros(2, 2)
    save_file(some, tmp_path / "some.safetensors")
    with pytest.raises(UserError, match=r"\(conv1\.0\.weight does not fit\)"):
        network(weights=str(tmp_path / "some.safetensors"))
    torch.save(some, tmp_path / "w.pth")
    with pytest.raises(UserError, match=r"w\.pth is no \.safetensors file"):
        network(weights=str(tmp_path / "w.pth"))


def test_names_that_are_not_offered_are_refused():
    with pytest.raises(UserError, match=r"no classifier 'resnet81' \(did you mean 'resnet18'\?\)"):
        network(backbone="resnet81")
    with pytest.raises(UserError, match=r"torchvision's vgg11 is not offered"):
        network(backbone="vgg11")
    for name in ("vit_b_16", "maxvit_t"):
        with pytest.raises(UserError, match=rf"does not build {name} for images of 30x30"):
            network(backbone=name, size=30)


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


def test_weights_are_downloaded_once_and_only_where_allowed(trained, tmp_path, monkeypatch):
    torch.save(trained.state_dict(), tmp_path / "new.pth")
    start = hashlib.sha256((tmp_path / "new.pth").read_bytes()).hexdigest()[:8]
    (tmp_path / "new.pth").rename(tmp_path / f"small-{start}.pth")
    server = ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(_Quiet, directory=str(tmp_path))
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    published = models.get_model_weights(SMALL).DEFAULT
    address = f"http://127.0.0.1:{server.server_port}"
    monkeypatch.setattr(published, "_value_", published.value)
    changed = models.Weights(f"{address}/small-{start}.pth", published.transforms, published.meta)
    monkeypatch.setattr(published, "_value_", changed)
    try:
        with no_downloads("torchvision"), pytest.raises(DataError, match="would be downloaded"):
            network(weights="hub")
        built = network(weights="hub")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert torch.equal(built.network.conv1[0].weight, trained.conv1[0].weight)
    with no_downloads("torchvision"):
        again = network(weights="hub")
    assert torch.equal(again.network.conv1[0].weight, trained.conv1[0].weight)
    for file in (tmp_path / "home").rglob("*.pth"):
        file.unlink()
    with pytest.raises(NetworkError, match="could not be downloaded"):
        network(weights="hub")


def test_a_run_that_exists_reads_only_the_weights_that_it_recorded(saved, tmp_path):
    path = tmp_path / "mine.safetensors"
    path.write_bytes(saved.read_bytes())
    options = ClassifierOptions(backbone=SMALL, size=32, weights=str(path))
    recorded = options.for_images((1, 28, 28))
    assert recorded.weights_sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    with no_downloads("torchvision"):
        assert build(recorded, (1, 28, 28)).pretrained
        with pytest.raises(IntegrityError, match="does not say which SHA-256"):
            build(options, (1, 28, 28))
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(IntegrityError, match="is not the file that the model was set up with"):
        build(recorded, (1, 28, 28))
    with pytest.raises(UserError, match="weights_sha256 is for a file of weights only"):
        ClassifierOptions(weights_sha256="00").for_images((1, 28, 28))
