import copy
import gc

import pytest
import torch
from torch import nn

from latentkit.nn import FastConvolution, FastTransposed

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
def test_results_and_gradients_equal_torchs(
    channels_in, channels_out, height, width, padding, extra, bias, layout
):
    if (height, width, extra) == (1, 1, 0) and padding == 1:
        extra = 1  # nothing would be left
    plain, fast = both(channels_in, channels_out, bias=bias, padding=padding, output_padding=extra)
    x = torch.randn(4, channels_in, height, width, dtype=torch.float64)
    check_alike(plain, fast, x.to(memory_format=layout))


@pytest.mark.parametrize("held", [(), ("weight",), ("bias",), ("weight", "bias")])
def test_only_parameters_that_require_a_gradient_get_one(held):
    plain, fast = both(2, 3)
    x = torch.randn(4, 2, 9, 8, dtype=torch.float64)
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
def test_a_following_layer_may_modify_the_result_in_place(padding):
    plain, fast = both(2, 3, padding=padding, output_padding=padding)
    check_alike(
        nn.Sequential(plain, nn.ReLU(inplace=True)),
        nn.Sequential(fast, nn.ReLU(inplace=True)),
        torch.randn(4, 2, 3, 4, dtype=torch.float64),
    )


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_first_and_second_gradients_equal_finite_differences(check):
    _, fast = both(2, 2)
    x = torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True)
    weight, bias = fast.weight, fast.bias

    def enlarge(x, weight, bias):
        return torch.func.functional_call(fast, {"weight": weight, "bias": bias}, (x,))

    assert check(enlarge, (x, weight, bias))


def test_evaluation_equals_torch_to_the_bit():
    plain, fast = both(3, 2, torch.float32)
    x = torch.randn(2, 3, 4, 4)
    assert torch.equal(plain(x), fast.eval()(x))


@pytest.mark.parametrize(
    "options",
    [
        {"stride": 3},
        {"dilation": 2},
        {"kernel_size": 4},
        {"padding": 2},
        {"groups": 2},
    ],
    ids=str,
)
def test_other_geometries_are_left_to_torch(options):
    plain, fast = both(4, 2, torch.float32, **options)
    x = torch.randn(2, 4, 4, 4)
    assert torch.equal(plain(x), fast(x))


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((3, 4, 4), torch.float32),
        ((0, 3, 4, 4), torch.float32),
        ((64, 3, 96, 96), torch.float32),
        ((2, 3, 4, 4), torch.bfloat16),
    ],
    ids=["one image without a batch", "empty batch", "large maps", "bfloat16"],
)
def test_other_inputs_are_left_to_torch(shape, dtype):
    plain, fast = both(3, 2, dtype)
    x = torch.randn(shape, dtype=dtype)
    assert torch.equal(plain(x), fast(x))


@pytest.mark.parametrize("wrong", ["channels", "dtype", "bias"])
def test_input_that_torch_refuses_is_refused_in_training_too(wrong):
    plain, fast = both(3, 2, torch.float32)
    x = torch.randn(2, 1 if wrong == "channels" else 3, 4, 4)
    for layer in (plain, fast):
        if wrong == "bias":
            layer.bias = nn.Parameter(layer.bias.double())
        with pytest.raises(RuntimeError):
            layer(x.double() if wrong == "dtype" else x)


def test_autocast_is_left_to_torch():
    plain, fast = both(3, 2, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        enlarged = fast(torch.randn(2, 3, 4, 4))
        assert enlarged.dtype == plain(torch.randn(2, 3, 4, 4)).dtype == torch.bfloat16
    enlarged.sum().backward()


@pytest.mark.parametrize(
    ("channels_in", "channels_out", "side"), [(32, 16, 3), (16, 8, 7), (8, 1, 14)]
)
def test_float32_results_equal_torchs_and_repeat_to_the_bit(channels_in, channels_out, side):
    plain, fast = both(channels_in, channels_out, torch.float32)
    x = torch.randn(32, channels_in, side, side)
    assert torch.allclose(fast(x), plain(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(fast(x), fast(x))


def indices():
    gc.collect()
    return sum(
        type(thing) is torch.Tensor and thing.dtype == torch.int32 for thing in gc.get_objects()
    )


def test_a_layer_keeps_few_index_tables_and_frees_them_when_it_is_deleted():
    before = indices()
    _, fast = both(3, 2, torch.float32)
    for batch in range(1, 9):
        fast(torch.randn(batch, 3, 5, 5))
    copied = copy.deepcopy(fast)
    assert before < indices() <= before + 4  # two tables for each of two batch sizes
    assert set(fast.state_dict()) == set(copied.state_dict()) == {"weight", "bias"}
    del fast, copied
    assert indices() == before


@pytest.mark.parametrize("padding_mode", ["reflect", "replicate", "circular"])
def test_the_deprecated_convolution_uses_the_given_padding_mode(padding_mode):
    plain = nn.Conv2d(2, 3, 3, 2, 1, padding_mode=padding_mode)
    deprecated = FastConvolution(2, 3, 3, 2, 1, padding_mode=padding_mode)
    deprecated.load_state_dict(plain.state_dict())
    images = torch.rand(2, 2, 7, 8)
    assert torch.equal(plain(images), deprecated(images))


def test_the_deprecated_convolution_refuses_another_number_of_channels():
    with pytest.raises(RuntimeError, match="channels"):
        FastConvolution(3, 4, 3, 2, 1)(torch.rand(2, 1, 8, 8))
