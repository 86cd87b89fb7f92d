"""The networks that the convolutional models choose by the shape of the images."""

import pytest
import torch

import latentkit as lk
from latentkit.builtins.models.options import (
    ConvAutoencoderOptions,
    ConvVaeOptions,
    FsqVaeOptions,
    VqVaeOptions,
)

SHAPES = [
    (1, 8, 8),
    (1, 28, 28),
    (3, 28, 28),
    (1, 32, 32),
    (3, 32, 32),
    (3, 48, 64),
    (3, 64, 64),
    (64, 64, 64),
    (3, 100, 160),
    (3, 128, 128),
    (3, 256, 256),
    (3, 512, 512),
    (64, 512, 512),
]
FORMER = {"channels": (48,), "hidden": (352, 128), "patch": 2, "blocks": 0, "squeeze": 0}
"""What earlier versions had for all images."""


def sizes(name, shape, **options):
    with torch.device("meta"):
        model = lk.model(name, shape, **options)
    return [tensor.numel() for tensor in model.state_dict().values()]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", ["conv-ae", "conv-vae", "vq-vae", "fsq-vae"])
def test_no_layer_has_more_than_half_of_all_weights(name, shape):
    counts = sizes(name, shape)
    assert max(counts) <= 0.5 * sum(counts)


def test_the_number_of_weights_hardly_grows_with_the_image():
    assert sum(sizes("conv-ae", (3, 512, 512))) < 3 * sum(sizes("conv-ae", (3, 64, 64)))


@pytest.mark.parametrize("options", [ConvAutoencoderOptions, ConvVaeOptions])
def test_small_images_have_the_network_of_earlier_versions(options):
    chosen = options().for_images((1, 28, 28))
    assert {name: getattr(chosen, name) for name in FORMER} == FORMER
    assert chosen.latent_dim == 16


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_given_channels_mean_what_they_did_whatever_the_images(shape):
    chosen = ConvAutoencoderOptions(channels=(8, 16)).for_images(shape)
    expected = {**FORMER, "channels": (8, 16), "shortcut": False}
    assert {name: getattr(chosen, name) for name in expected} == expected


def test_options_of_a_run_of_an_earlier_version_build_its_network():
    stored = {"latent_dim": 4, "activation": "gelu", "norm": "batch", "patch": 2, "channels": [48]}
    stored |= {"hidden": [352, 128], "upsampling": "pixel-shuffle", "odd_sizes": "up"}
    names = lk.model("conv-ae", (3, 64, 64), **stored, shortcut=False).state_dict().keys()
    assert {name.split(".")[0] for name in names} == {"encoder", "decoder"}
    assert lk.model("conv-vae", (3, 64, 64), **stored).encoder.convolutions[0].stride == (2, 2)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_choices_are_complete_and_are_not_made_again(shape):
    for options in (ConvAutoencoderOptions(), ConvVaeOptions(), VqVaeOptions(), FsqVaeOptions()):
        chosen = options.for_images(shape)
        assert "auto" not in chosen.model_dump().values()
        assert chosen.for_images((1, 8, 8)) == chosen


def test_larger_images_get_more_latents_between_16_and_128():
    dimensions = [ConvAutoencoderOptions().for_images(shape).latent_dim for shape in SHAPES]
    assert dimensions[0] == 16
    assert dimensions[-1] == 128
    assert ConvAutoencoderOptions(latent_dim=3).for_images((3, 64, 64)).latent_dim == 3


def test_conv_ae_rebuilds_like_pca_before_its_first_step():
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(50, 3, 3, 3), size=(32, 32))
    model = lk.model("conv-ae", (3, 32, 32), latent_dim=30)
    model.start_from_images([images])
    model.eval()
    with torch.no_grad():
        error = (model(images) - images).square().mean()
    assert error < 1e-5


def test_residual_blocks_add_nothing_at_first():
    given = {"channels": (4, 8), "hidden": (), "latent_dim": 3, "activation": "relu"}
    images = torch.rand(2, 1, 16, 16)
    outputs = []
    for blocks in (0, 2):
        torch.manual_seed(0)
        model = lk.model("conv-ae", (1, 16, 16), **given, blocks=blocks).eval()
        plain = [m for m in model.encoder.convolutions if isinstance(m, torch.nn.Conv2d)]
        for number, layer in enumerate(plain):
            torch.nn.init.constant_(layer.weight, 0.1 * (number + 1))
        outputs.append(model.encoder.convolutions(torch.nn.functional.pixel_unshuffle(images, 2)))
    torch.testing.assert_close(*outputs)
