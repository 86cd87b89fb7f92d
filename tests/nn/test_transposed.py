import pytest
import torch
from torch import nn

from latentkit.nn.transposed import FastTransposed

SHAPES = [(3, 2, 5, 7), (8, 1, 14, 14), (1, 4, 1, 1)]


def both(channels_in, channels_out, dtype=torch.float64, **options):
    options = {"kernel_size": 3, "stride": 2, "padding": 1, "output_padding": 1, **options}
    plain = nn.ConvTranspose2d(channels_in, channels_out, **options).to(dtype)
    fast = FastTransposed(channels_in, channels_out, **options).to(dtype)
    fast.load_state_dict(plain.state_dict())
    return plain, fast


@pytest.mark.parametrize(("channels_in", "channels_out", "height", "width"), SHAPES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_results_and_gradients_are_those_of_torch(
    channels_in, channels_out, height, width, bias, layout
):
    plain, fast = both(channels_in, channels_out, bias=bias)
    x = torch.randn(4, channels_in, height, width, dtype=torch.float64)
    results = []
    for layer in (plain, fast):
        given = x.clone(memory_format=layout).requires_grad_()
        enlarged = layer(given)
        enlarged.sin().sum().backward()
        results.append([enlarged, given.grad, *(p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        assert torch.allclose(ours, theirs)


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


@pytest.mark.parametrize("options", [{"padding": 0}, {"output_padding": 0}, {"kernel_size": 4}])
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
