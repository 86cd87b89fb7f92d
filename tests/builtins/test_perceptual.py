"""LPIPS as a loss: its networks, the file of its weights, and runs that use it."""

import hashlib

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

import latentkit as lk
from latentkit.builtins.models.autoencoder import build_conv
from latentkit.builtins.models.options import ConvAutoencoderOptions
from latentkit.builtins.models.perceptual import _NETWORKS, PerceptualDistance, _shapes
from latentkit.errors import DataError, IntegrityError, UserError
from latentkit.plugin.downloads import no_downloads, saved_weights_follow

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]


def random_weights(network):
    """Return weights of the shapes that the package ``lpips`` saves, with its unused tensors."""
    torch.manual_seed(0)
    found = {"scaling_layer.shift": torch.zeros(1, 3, 1, 1)}
    for name, shape in _shapes(_NETWORKS[network][0]).items():
        values = torch.randn(shape) / max(1, torch.Size(shape)[1:].numel()) ** 0.5
        found[name] = values.abs() if name.startswith("lin") else values
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Return a file of random weights for each network."""
    folder = tmp_path_factory.mktemp("weights")
    paths = {network: folder / f"{network}.safetensors" for network in _NETWORKS}
    for network, path in paths.items():
        save_file(random_weights(network), path)
    return paths


def distance(path):
    return PerceptualDistance(str(path), hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.mark.parametrize("network", _NETWORKS)
def test_the_features_are_those_of_torchvision(network, files):
    models = pytest.importorskip("torchvision.models")
    build = {"AlexNet": models.alexnet, "VGG16": models.vgg16}[network]
    with torch.device("meta"):
        layers = build().features
    weights = random_weights(network)
    named = {
        ".".join(name.split(".")[2:]): value
        for name, value in weights.items()
        if name.startswith("net.")
    }
    layers.load_state_dict(named, strict=False, assign=True)
    ends = {"AlexNet": (1, 4, 7, 9, 11), "VGG16": (3, 8, 15, 22, 29)}[network]
    one, other = torch.rand(2, 2, 3, 40, 40)
    shift = torch.tensor([-0.030, -0.088, -0.188]).view(1, 3, 1, 1)
    scale = torch.tensor([0.458, 0.448, 0.450]).view(1, 3, 1, 1)
    expected, values = torch.zeros(2), [(2 * x - 1 - shift) / scale for x in (one, other)]
    with torch.no_grad():
        for place, layer in enumerate(layers[: ends[-1] + 1]):
            values = [layer(x) for x in values]
            if place in ends:
                weight = weights[f"lin{ends.index(place)}.model.1.weight"]
                a, b = (functional.normalize(x, dim=1) for x in values)
                expected += functional.conv2d((a - b) ** 2, weight).mean((1, 2, 3))
        found = distance(files[network])(one, other)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_equal_images_have_no_distance_and_all_gradients_are_finite(files):
    measure = distance(files["AlexNet"])
    images = torch.rand(2, 1, 32, 32)
    assert measure(images, images).abs().max() == 0
    black = torch.zeros(2, 1, 32, 32, requires_grad=True)
    measure(black, images).sum().backward()
    assert black.grad.isfinite().all()
    assert black.grad.abs().max() > 0


def test_the_loss_is_the_squared_error_and_the_weighted_distance(files):
    path = files["AlexNet"]
    options = {"loss": "lpips", "loss_file": str(path), "loss_weight": 0.5}
    for name in ("conv-ae", "dense-ae", "vq-vae"):
        model = lk.model(name, (1, 32, 32), **options).eval()
        images = torch.rand(2, 1, 32, 32)
        terms = model.loss(images, images, step=0)
        with torch.no_grad():
            rebuilt = model.decode(model.encode(images))
        lpips = distance(path)(rebuilt, images).mean()
        commitment = 0.02 * terms.get("commitment", torch.tensor(0.0))
        assert terms["lpips"].item() == pytest.approx(lpips.item(), rel=1e-4)
        expected = terms["mse"] + 0.5 * lpips + commitment
        assert terms["loss"].item() == pytest.approx(expected.item(), rel=1e-4)
        assert not [key for key in model.state_dict() if "slice" in key or "lin0" in key]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"loss": "lpips"}, UserError, "loss=lpips needs loss_file, a .safetensors file"),
        ({"loss_file": "w"}, UserError, "loss_file is for loss=lpips only, and the loss is mse"),
        ({"loss": "lpips", "loss_file": "none"}, DataError, "cannot read .*none: No such file"),
        (
            {"loss": "lpips", "loss_file": "pickle.safetensors"},
            DataError,
            "is not a safetensors file",
        ),
        (
            {"loss": "lpips", "loss_file": "old.pth"},
            UserError,
            r"is no \.safetensors file, and other",
        ),
        ({"loss_file_sha256": "00"}, UserError, "loss_file_sha256 is for loss=lpips only"),
        (
            {"loss": "lpips", "loss_file": "other.safetensors"},
            UserError,
            "holds no LPIPS weights of AlexNet",
        ),
        (
            {"loss": "lpips", "loss_file": "nan.safetensors"},
            DataError,
            "lin0.* holds NaN or infinity",
        ),
    ],
    ids=str,
)
def test_a_file_that_cannot_be_used_is_refused_in_one_line(
    options, error, said, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    torch.save({"net.slice1.0.weight": torch.ones(1)}, "pickle.safetensors")
    torch.save({"net.slice1.0.weight": torch.ones(1)}, "old.pth")
    save_file({"net.slice1.0.weight": torch.ones(1)}, "other.safetensors")
    broken = random_weights("AlexNet")
    broken["lin0.model.1.weight"][:] = torch.nan
    save_file(broken, "nan.safetensors")
    with pytest.raises(error, match=said) as raised:
        lk.model("conv-ae", (3, 32, 32), **options)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("shape", [(2, 32, 32), (3, 30, 32)], ids=str)
def test_images_that_the_network_cannot_take_are_refused(shape, files):
    said = "takes grey or colour images of at least 31 pixels a side"
    with pytest.raises(UserError, match=said):
        lk.model("conv-ae", shape, loss="lpips", loss_file=str(files["AlexNet"]))


def test_a_run_records_the_file_and_needs_it_only_to_train(files, tmp_path, monkeypatch):
    weights = tmp_path / "lpips.safetensors"
    weights.write_bytes(files["AlexNet"].read_bytes())
    images = np.random.default_rng(0).integers(0, 256, (60, 32, 32), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    options = {
        "npz.path": str(tmp_path / "mine.npz"),
        "model.loss": "lpips",
        "model.loss_file": "lpips.safetensors",
        "model.channels": [4],
        "model.hidden": [],
        "model.latent_dim": 2,
        "threads": 1,
    }
    monkeypatch.chdir(tmp_path)
    run = lk.run(dataset="npz", epochs=1, options=options, out=tmp_path / "runs")
    recorded = run.config.model.options
    assert recorded.loss_file == str(weights)
    assert recorded.loss_file_sha256 == hashlib.sha256(weights.read_bytes()).hexdigest()
    assert run.history[-1]["validation"]["lpips"] > 0
    monkeypatch.chdir("/")
    trained = (run.path / "model.safetensors").read_bytes()
    (run.path / "model.safetensors").unlink()
    assert lk.resume(run.path).status == "finished"
    assert (run.path / "model.safetensors").read_bytes() == trained
    weights.unlink()
    (run.path / "evaluation.json").unlink()
    assert lk.resume(run.path).evaluation["reconstruction"]["mse"]["value"] > 0
    (run.path / "model.safetensors").unlink()
    save_file(random_weights("AlexNet") | {"other": torch.ones(1)}, weights)
    with pytest.raises(IntegrityError, match="is not the file that the model was set up with"):
        lk.resume(run.path)


def test_a_run_that_does_not_say_which_file_it_means_reads_none(files, tmp_path):
    shape, named = (1, 32, 32), {"loss": "lpips", "loss_file": str(files["AlexNet"])}
    options = ConvAutoencoderOptions(**named)
    with no_downloads("conv-ae"), pytest.raises(IntegrityError, match="does not say which SHA-256"):
        build_conv(options, shape)
    gone = options.model_copy(update={"loss_file": str(tmp_path / "gone.safetensors")})
    with saved_weights_follow():
        assert build_conv(gone, shape).image_loss.sha256 == ""  # opened without the file
        model = build_conv(options, shape)
    images = torch.rand(2, *shape)
    with pytest.raises(IntegrityError, match="its SHA-256 is not recorded"):
        model.loss(images, images, step=0)


def test_images_that_the_network_cannot_take_are_refused_with_saved_weights(files, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), np.uint8)
    np.savez(tmp_path / "mine.npz", images=images)
    options = {"npz.path": str(tmp_path / "mine.npz"), "model.hidden": [], "threads": 1}
    chosen = {"model": "dense-ae", "dataset": "npz", "out": tmp_path / "runs"}
    first = lk.run(epochs=0, options=options, **chosen)
    lpips = {"model.loss": "lpips", "model.loss_file": str(files["AlexNet"])}
    with pytest.raises(UserError, match="images of at least 31 pixels a side") as raised:
        lk.run(epochs=1, init_from=first.path, options=options | lpips, **chosen)
    assert "\n" not in str(raised.value)
