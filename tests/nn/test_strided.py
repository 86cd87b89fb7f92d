import pytest
import torch
from torch import nn

from latentkit.nn.strided import FastConvolution, FastTransposed

SHAPES = [(3, 2, 5, 7), (8, 1, 14, 14), (1, 4, 1, 1), (2, 3, 3, 4)]


def both(channels_in, channels_out, dtype=torch.float64, **options):
    options = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, **options}
    plain = nn.ConvTranspose2d(channels_in, channels_out, **options).to(dtype)
    fast = FastTransposed(channels_in, channels_out, **options).to(dtype)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


def check_alike(plain, fast, x):
    results = []
    for layer in (plain, fast):
        given = x.clone().requires_grad_()
        found = layer(given)
        found.sin().sum().backward()
        results.append([found, given.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs)


@pytest.mark.parametrize(("channels_in", "channels_out", "height", "width"), SHAPES)
@pytest.mark.parametrize(("padding", "extra"), [(1, 1), (1, 0), (0, 0), ((0, 1), (1, 0))])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_are_those_of_torch(
    channels_in, channels_out, height, width, padding, extra, bias, layout
):
    if (height, width, extra) == (1, 1, 0) and padding == 1:
        extra = 1  # nothing would be left
    plain, fast = both(channels_in, channels_out, bias=bias, padding=padding, output_padding=extra)
    x = torch.randn(4, channels_in, height, width, dtype=torch.float64)
    check_alike(plain, fast, x.to(memory_format=layout))


@pytest.mark.parametrize("size", [(3, 3), (7, 8), (8, 7), (28, 28)])
@pytest.mark.parametrize("padding", [0, 1, (0, 1)])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_convolution_and_its_gradients_are_those_of_torch(size, padding, bias, channels, layout):
    plain = nn.Conv2d(channels, 3, 3, 2, padding, bias=bias).double()
    fast = FastConvolution(channels, 3, 3, 2, padding, bias=bias).double()
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(4, channels, *size, dtype=torch.float64)
    check_alike(plain, fast, x.to(memory_format=layout))


@pytest.mark.parametrize("held", [(), ("weight",), ("bias",), ("weight", "bias")])
@pytest.mark.parametrize("channels", [1, 2])
def test_only_what_learns_is_given_a_gradient(held, channels):
    plain = nn.Conv2d(channels, 3, 3, 2, 1).double()
    fast = FastConvolution(channels, 3, 3, 2, 1).double()
    fast.load_state_dict(plain.state_dict())
    x = torch.randn(4, channels, 9, 8, dtype=torch.float64)  # images: they have no gradient
    for layer in (plain, fast):
        for name in held:
            getattr(layer, name).requires_grad_(False)
        found = layer(x)
        assert found.requires_grad == (len(held) < 2)
        if found.requires_grad:
            found.sin().sum().backward()
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        assert (ours.grad is None) == (theirs.grad is None)
        assert ours.grad is None or torch.allclose(ours.grad, theirs.grad)


@pytest.mark.parametrize("padding", [0, 1])
def test_what_follows_may_change_the_result_in_place(padding):
    plain, fast = both(2, 3, padding=padding, output_padding=padding)
    check_alike(
        nn.Sequential(plain, nn.ReLU(inplace=True)),
        nn.Sequential(fast, nn.ReLU(inplace=True)),
        torch.randn(4, 2, 3, 4, dtype=torch.float64),
    )


def test_gradients_are_those_of_finite_differences():
    _, fast = both(2, 2)
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    weight, bias = fast.weight, fast.bias

    def enlarge(x, weight, bias):
        return torch.func.functional_call(fast, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(enlarge, (x, weight, bias))


def test_evaluation_is_torch_to_the_bit():
    plain, fast = both(3, 2, torch.float32)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(x), fast.eval()(x))


@pytest.mark.parametrize("options", [{"stride": 3}, {"dilation": 2}, {"kernel_size": 4}])
def test_other_geometries_are_left_to_torch(options):
    plain, fast = both(3, 2, torch.float32, **options)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(x), fast(x))


def test_autocast_is_left_to_torch():
    plain, fast = both(3, 2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        enlarged = fast(torch.randn(2, 3, 4, 4))
        assert enlarged.dtype == plain(torch.randn(2, 3, 4, 4)).dtype == torch.bfloat16
    enlarged.sum().backward()


@pytest.mark.parametrize("channels_in", [1, 2])
@pytest.mark.parametrize("padding", [0, 1, (1, 0)])
def test_a_convolutions_gradients_are_those_of_finite_differences(channels_in, padding):
    fast = FastConvolution(channels_in, 2, 3, 2, padding).double()
    x = torch.randn(1, channels_in, 5, 4, dtype=torch.float64, requires_grad=True)

    def convolve(x, weight, bias):
        return torch.func.functional_call(fast, {"weight": weight, "bias": bias}, (x,))

    assert torch.autograd.gradcheck(convolve, (x, fast.weight, fast.bias))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_images_of_one_channel_that_need_no_gradient_train_the_weights_of_torch(layout):
    plain = nn.Conv2d(1, 8, 3, 2, 1).to(memory_format=layout)
    fast = FastConvolution(1, 8, 3, 2, 1).to(memory_format=layout)
    fast.load_state_dict(plain.state_dict())
    images = torch.rand(16, 1, 28, 28).to(memory_format=layout)
    for layer in (plain, fast):
        layer(images).sin().mean().backward()
    for ours, theirs in zip(fast.parameters(), plain.parameters(), strict=True):
        assert torch.allclose(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "side"), [(32, 16, 3), (16, 8, 7), (8, 1, 14)]
)
def test_float32_results_are_those_of_torch_and_repeat_to_the_bit(channels_in, channels_out, side):
    plain, fast = both(channels_in, channels_out, torch.float32)
    x = torch.randn(32, channels_in, side, side)
    assert torch.allclose(fast(x), plain(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(fast(x), fast(x))
