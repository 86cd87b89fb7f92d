"""Convolutions of width 3 and stride 2, and their transposes, in faster steps of training on a CPU.

PyTorch enlarges a feature map (the forward pass of a transposed convolution, and the input's
gradient of a convolution) several times slower on a CPU than it convolves. Each of the four
sub-pixels of the result sees at most 2x2 pixels of the input, so one 2x2 convolution to four times
the channels, rearranged, gives the same numbers. All else is PyTorch's own, which is fast.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Size = tuple[int, int]

_NONE = 9  # of a kernel's nine weights
_TAPS = {0: ((2, _NONE), (0, 1)), 1: ((1, 2), (_NONE, 0))}
"""By padding: which of a kernel's three rows each of two input rows gives an even and an odd row.

With output row o = 2 i - padding + k, input row i and kernel row k.
"""


class FastConvolution(nn.Conv2d):
    """``nn.Conv2d`` with a faster step of training; weights and results are the same."""

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps of (B, C_in, H, W)."""
        if self.training and x.requires_grad and _applies(self, x):
            padding: Any = self.padding
            return _Convolution.apply(x, self.weight, self.bias, padding)  # type: ignore[no-any-return]
        return super().forward(x)


class FastTransposed(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a faster step of training; weights and results are the same."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the enlarged feature maps of (B, C_in, H, W)."""
        if self.training and output_size is None and _applies(self, x):
            padding: Any = self.padding
            size = tuple(
                2 * side + 1 - 2 * pad + extra
                for side, pad, extra in zip(x.shape[2:], padding, self.output_padding, strict=True)
            )
            return _Transposed.apply(x, self.weight, self.bias, padding, size)  # type: ignore[no-any-return]
        return super().forward(x, output_size)


def _applies(layer: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> bool:
    return (
        x.device.type == "cpu"
        and layer.weight.dtype == x.dtype
        and not torch.is_autocast_enabled("cpu")
        and layer.kernel_size == (3, 3)
        and layer.stride == (2, 2)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and all(pad in _TAPS for pad in layer.padding)
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias, ctx.padding = bias is not None, padding
        return functional.conv2d(x, weight, bias, 2, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = [False, ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        found = _backward(grad, x, weight, ctx.padding, wanted)
        given = None
        if ctx.needs_input_grad[0]:
            given = _enlarge(grad, weight, None, ctx.padding, (x.shape[2], x.shape[3]))
        return given, found[1], found[2], None


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size, size: Size
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias, ctx.padding = bias is not None, padding
        return _enlarge(x, weight, bias, padding, size)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        given = None
        if ctx.needs_input_grad[0]:
            given = functional.conv2d(grad, weight, None, 2, ctx.padding)
        wanted = [False, ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        extra = [
            side - (2 * small + 1 - 2 * pad)
            for side, small, pad in zip(grad.shape[2:], x.shape[2:], ctx.padding, strict=True)
        ]
        found = _backward(grad, x, weight, ctx.padding, wanted, extra)
        return given, found[1], found[2], None, None


def _backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    padding: Size,
    wanted: list[bool],
    extra: list[int] | None = None,
) -> tuple[Tensor, ...]:
    """Return PyTorch's gradients of input, weight and bias; with ``extra`` of the transpose."""
    transposed = extra is not None
    found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
        *(grad, x, weight, [weight.shape[1 if transposed else 0]]),
        *([2, 2], list(padding), [1, 1], transposed, extra or [0, 0], 1, wanted),
    )
    return found


def _enlarge(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size, size: Size) -> Tensor:
    """Return the transposed convolution (B, C_out, *size) of (B, C_in, H, W)."""
    channels, count = weight.shape[1], len(x)
    pads: list[int] = []
    for axis in (1, 0):
        front = 1 - padding[axis]
        pads += [front, -(-size[axis] // 2) + 1 - x.shape[2 + axis] - front]
    biases = None if bias is None else bias.repeat(4)
    maps = functional.conv2d(functional.pad(x, pads), _sub_pixel(weight, padding), biases)
    height, width = maps.shape[2:]
    # Sub-pixels come before channels, so that what is moved lies together in memory.
    parts = maps.permute(0, 2, 3, 1).reshape(count, height, width, 2, 2 * channels)
    whole = torch.empty(
        (count, channels, 2 * height, 2 * width),
        dtype=x.dtype,
        memory_format=torch.channels_last,
    )
    rows = whole.permute(0, 2, 3, 1).view(count, height, 2, width, 2 * channels)
    rows.copy_(parts.transpose(2, 3))
    if tuple(whole.shape[2:]) == size:
        return whole
    # No view: what a function of its own returns may be changed in place by what follows.
    return whole[:, :, : size[0], : size[1]].clone(memory_format=torch.channels_last)


def _sub_pixel(weight: Tensor, padding: Size) -> Tensor:
    """Return the 2x2 kernels (4 C_out, C_in, 2, 2) of a 3x3 weight (C_in, C_out, 3, 3)."""
    channels_in, channels_out = weight.shape[:2]
    weights = functional.pad(weight.reshape(channels_in, channels_out, 9), (0, 1))
    chosen = weights.index_select(2, _places(padding)).view(channels_in, channels_out, 2, 2, 2, 2)
    kernels = chosen.permute(2, 3, 1, 4, 5, 0).reshape(4 * channels_out, 2, 2, channels_in)
    return kernels.permute(0, 3, 1, 2)  # channels last


@cache
def _places(padding: Size) -> Tensor:
    """Return where in nine weights and a zero each weight of the four 2x2 kernels lies: (16,)."""
    places = [
        _NONE if _NONE in (k_y, k_x) else 3 * k_y + k_x
        for row in (0, 1)
        for column in (0, 1)
        for k_y in (taps[row] for taps in _TAPS[padding[0]])
        for k_x in (taps[column] for taps in _TAPS[padding[1]])
    ]
    return torch.tensor(places)
