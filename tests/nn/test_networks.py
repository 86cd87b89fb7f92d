import pytest
import torch

from latentkit.nn.networks import ConvDecoder, ConvEncoder

SHAPES = [(1, 8, 8), (3, 17, 23), (1, 28, 28)]


def pair(shape, *, shortcut):
    torch.manual_seed(0)
    encoder = ConvEncoder(shape, (4,), (10,), 5, patch=2, shortcut=shortcut).eval()
    decoder = ConvDecoder(shape, (4,), (10,), 5, patch=2, shortcut=shortcut).eval()
    return encoder, decoder


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_network_with_shortcuts_starts_equal_to_one_without(shape):
    images, latents = torch.rand(3, *shape), torch.randn(3, 5)
    with torch.no_grad():
        for plain, cut, given in zip(
            pair(shape, shortcut=False), pair(shape, shortcut=True), (images, latents), strict=True
        ):
            assert torch.equal(plain(given), cut(given))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_shortcut_adds_a_linear_map(shape):
    given = torch.rand(4, *shape), torch.randn(4, 5)
    for plain, cut, inputs in zip(
        pair(shape, shortcut=False), pair(shape, shortcut=True), given, strict=True
    ):
        torch.nn.init.normal_(next(cut.shortcut.parameters()))
        with torch.no_grad():
            added = cut(inputs) - plain(inputs)
            half = cut(inputs / 2) - plain(inputs / 2)
        assert added.abs().max() > 0.1
        torch.testing.assert_close(half, added / 2, atol=1e-4, rtol=1e-4)


def test_shortcuts_and_network_learn_together():
    encoder, decoder = pair((1, 8, 8), shortcut=True)
    optimizer = torch.optim.SGD([*encoder.parameters(), *decoder.parameters()], lr=0.1)
    images = torch.rand(16, 1, 8, 8)
    for _ in range(2):
        optimizer.zero_grad()
        ((decoder(encoder(images)) - images) ** 2).mean().backward()
        optimizer.step()
    for network in (encoder, decoder):
        assert all(parameter.abs().max() > 0 for parameter in network.shortcut.parameters())
        assert all(parameter.grad is not None for parameter in network.parameters())
