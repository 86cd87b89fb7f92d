"""Images as the input of a network that was trained elsewhere."""

import pytest
import torch
from torch.nn import functional

from latentkit.nn import BackboneInput

MEAN, STD = (0.5, 0.4, 0.3), (0.2, 0.3, 0.4)


def test_grey_images_are_repeated_and_each_channel_is_standardised():
    grey = torch.rand(2, 1, 6, 6)
    found = BackboneInput(1, (6, 6), MEAN, STD)(grey)
    assert found.shape == (2, 3, 6, 6)
    for place in range(3):
        assert torch.allclose(found[:, place], (grey[:, 0] - MEAN[place]) / STD[place])


@pytest.mark.parametrize("channels", [2, 5])
def test_other_numbers_of_channels_stay_and_get_the_average(channels):
    images = torch.rand(2, channels, 6, 6)
    found = BackboneInput(channels, (6, 6), MEAN, STD)(images)
    assert torch.allclose(found, (images - 0.4) / 0.3, atol=1e-6)


def test_images_are_resized_without_a_crop_and_stay_between_0_and_1():
    images = torch.zeros(1, 3, 8, 16)
    images[..., 8:] = 1
    layer = BackboneInput(3, (32, 32), (0, 0, 0), (1, 1, 1))
    found = layer(images)
    wanted = functional.interpolate(images, (32, 32), mode="bicubic", antialias=True)
    assert torch.equal(found, wanted.clamp(0, 1))
    assert (found.min(), found.max()) == (0, 1)
    assert not layer.state_dict()  # its numbers are no weights
