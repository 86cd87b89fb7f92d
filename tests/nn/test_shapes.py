import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from latentkit.nn.layers import Doubling, halved, size_pyramid
from latentkit.nn.networks import ConvDecoder, ConvEncoder

UPSAMPLINGS = ["transpose", "transpose-4", "resize", "pixel-shuffle"]


def test_28_pixels_shrink_as_in_the_tutorials():
    assert size_pyramid(28, 28, 3, "up")[-1] == (4, 4)
    assert size_pyramid(28, 28, 3, "down") == [(28, 28), (14, 14), (7, 7), (3, 3)]


@given(st.integers(1, 500), st.sampled_from(["up", "down"]))
def test_halving_rounds_by_the_given_rule(size, rule):
    expected = -(-size // 2) if rule == "up" or size < 3 else size // 2
    assert halved(size, rule) == expected


def test_too_many_halvings_are_refused_with_the_number_that_fits():
    with pytest.raises(
        ValueError, match="8x8 cannot be halved 5 times: give at most 3 entries in channels"
    ):
        size_pyramid(8, 8, 5, "up")


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
@settings(max_examples=15, deadline=None)
@given(
    shape=st.tuples(st.sampled_from([1, 3]), st.integers(8, 40), st.integers(8, 40)),
    rule=st.sampled_from(["up", "down"]),
    levels=st.integers(1, 3),
)
def test_the_decoder_mirrors_the_encoder_at_any_size(upsampling, shape, rule, levels):
    channels = (4, 6, 8)[:levels]
    encoder = ConvEncoder(shape, channels, (10,), 5, odd_sizes=rule).eval()
    decoder = ConvDecoder(shape, channels, (10,), 5, odd_sizes=rule, upsampling=upsampling).eval()
    with torch.no_grad():
        latents = encoder(torch.rand(2, *shape))
        assert latents.shape == (2, 5)
        assert decoder(latents).shape == (2, *shape)


def test_pixel_shuffle_starts_without_a_checkerboard_pattern():
    torch.manual_seed(0)
    layer = Doubling(3, 2, (4, 4), (8, 8), "pixel-shuffle")
    enlarged = layer(torch.rand(1, 3, 4, 4))
    blocks = enlarged.unfold(2, 2, 2).unfold(3, 2, 2)
    assert torch.allclose(blocks, blocks[..., :1, :1].expand_as(blocks), atol=1e-6)


@pytest.mark.parametrize("norm", ["none", "batch", "group"])
def test_every_norm_trains(norm):
    encoder = ConvEncoder((1, 8, 8), (4, 6), (8,), 2, norm=norm)
    encoder(torch.rand(4, 1, 8, 8)).sum().backward()
    assert all(p.grad is not None for p in encoder.parameters())
