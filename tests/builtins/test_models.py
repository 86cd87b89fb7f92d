import pytest
import torch

import latentkit as lk
from latentkit.errors import UserError

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (1, 17, 23), (3, 64, 64)]
UPSAMPLING = ["transpose", "transpose-4", "resize", "pixel-shuffle"]
REFERENCE = {
    "patch": 1,
    "channels": (8, 16, 32),
    "hidden": 64,
    "latent_dim": 3,
    "activation": "relu",
    "norm": "none",
    "upsampling": "transpose",
    "odd_sizes": "down",
}


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(
    "name", ["conv-ae", "dense-ae", "conv-vae", "dense-vae", "vq-vae", "fsq-vae"]
)
def test_every_model_takes_images_of_any_size(name, shape):
    model = lk.model(name, shape, latent_dim=5)
    images = torch.rand(3, *shape)
    terms = model.loss(images, images, step=0)
    terms["loss"].backward()
    assert terms["loss"].isfinite()
    model.eval()
    latents = model.encode(images)
    assert latents.shape == (3, 5)
    rebuilt = model.decode(latents)
    assert rebuilt.shape == images.shape
    assert rebuilt.min() >= 0
    assert rebuilt.max() <= 1


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("upsampling", UPSAMPLING)
@pytest.mark.parametrize("patch", [1, 2, 4])
@pytest.mark.parametrize("odd_sizes", ["up", "down"])
def test_conv_ae_reconstructs_any_size_with_every_way_of_scaling(
    shape, upsampling, patch, odd_sizes
):
    channels = (4,) if patch == 4 else (4, 8)
    model = lk.model(
        "conv-ae", shape, channels=channels, patch=patch, hidden=(), upsampling=upsampling,
        odd_sizes=odd_sizes,
    ).eval()  # fmt: skip
    images = torch.rand(2, *shape)
    assert model.decode(model.encode(images)).shape == images.shape


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_conv_ae_works_with_shortcuts_on_images_of_any_size(shape):
    model = lk.model("conv-ae", shape, latent_dim=5, shortcut=True)
    images = torch.rand(3, *shape)
    model.loss(images, images, step=0)["loss"].backward()
    assert model.decoder.shortcut[0].weight.grad.abs().max() > 0
    model.eval()
    assert model.decode(model.encode(images)).shape == images.shape


def test_encode_in_eval_mode_is_deterministic_and_independent_of_the_batch():
    model = lk.model("conv-ae", (1, 28, 28)).eval()
    images = torch.rand(4, 1, 28, 28)
    with torch.no_grad():
        assert torch.equal(model.encode(images), model.encode(images))
        assert torch.allclose(model.encode(images)[:1], model.encode(images[:1]), atol=1e-5)


def test_the_loss_is_the_mean_squared_error_per_pixel():
    model = lk.model("conv-ae", (1, 8, 8), latent_dim=2, norm="none").eval()
    inputs, targets = torch.rand(2, 5, 1, 8, 8)
    expected = ((model.decode(model.encode(inputs)) - targets) ** 2).mean()
    assert model.loss(inputs, targets, step=0)["loss"].item() == pytest.approx(expected.item())


def test_options_rebuild_the_network_of_the_tutorials():
    model = lk.model("conv-ae", (1, 28, 28), **REFERENCE)
    features, seen = torch.rand(1, 1, 28, 28), []
    for layer in model.encoder.convolutions:
        features = layer(features)
        seen.append(tuple(features.shape[1:]))
    assert seen[::3] == [(8, 14, 14), (16, 7, 7), (32, 3, 3)]
    linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    widths = [(m.in_features, m.out_features) for m in linear]
    assert widths == [(288, 64), (64, 3), (3, 64), (64, 288)]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.modules())


def test_a_network_too_deep_for_the_images_is_refused_with_the_maximum_depth():
    with pytest.raises(
        UserError, match="8x8 cannot be halved 5 times: give at most 3 entries in channels"
    ):
        lk.model("conv-ae", (1, 8, 8), channels=(4, 4, 4, 4, 4), patch=1)
