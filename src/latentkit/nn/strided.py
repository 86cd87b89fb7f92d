"""Convolutions of width 3 and stride 2, and their transposes, that train faster on a CPU.

On a CPU, PyTorch enlarges a feature map several times slower than it convolves one. The forward
pass of a transposed convolution enlarges, and so does the input gradient of a convolution. Here one
matrix product gives what each input pixel adds to the nine output pixels around it. What arrives at
the same output pixel is then summed. Images of one channel use special products. Everything else
calls PyTorch, which is fast.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

Size = tuple[int, int]
_FEW = 4


class FastConvolution(nn.Conv2d):
    """``nn.Conv2d`` with a faster training step; weights and results are the same.

    In a training step, double backward is not supported.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Return the feature maps (B, C_out, H', W') of (B, C_in, H, W)."""
        if self.training and _applies(self, x):
            padding: Any = self.padding
            if not x.requires_grad and x.shape[1] > 1:
                return _convolve(x, self.weight, self.bias, padding)
            return _Convolution.apply(x, self.weight, self.bias, padding)  # type: ignore[no-any-return]
        return super().forward(x)


class FastTransposed(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a faster training step; weights and results are the same.

    In a training step, double backward is not supported.
    """

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
        and all(pad in (0, 1) for pad in layer.padding)
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias, ctx.padding = bias is not None, padding
        return _convolve(x, weight, bias, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        wanted = [False, ctx.needs_input_grad[1], ctx.has_bias and ctx.needs_input_grad[2]]
        if x.shape[1] == 1 and any(wanted):
            found = _backward_of_one_channel(grad, x, ctx.padding, wanted)
        else:
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
            given = _convolve(grad, weight, None, ctx.padding)
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
) -> tuple[Tensor | None, ...]:
    """Return PyTorch's gradients of input, weight and bias.

    ``extra`` is the output padding of a transposed convolution, and None for a plain one.
    """
    transposed = extra is not None
    found: tuple[Tensor | None, ...] = torch.ops.aten.convolution_backward(
        *(grad, x, weight, [weight.shape[1 if transposed else 0]]),
        *([2, 2], list(padding), [1, 1], transposed, extra or [0, 0], 1, wanted),
    )
    return found


def _backward_of_one_channel(
    grad: Tensor, x: Tensor, padding: Size, wanted: list[bool]
) -> tuple[Tensor | None, ...]:
    """Return the gradients of weight and bias for ``x`` of one channel, and None for the input."""
    count, channels, height, width = grad.shape
    padded = functional.pad(x[:, 0], (padding[1], padding[1], padding[0], padding[0]))
    image, row, column = padded.stride()
    # Nine rows hold what each place of the kernel sees; a tenth row of ones gives the bias's
    # gradient. One batched product then gives all gradients.
    seen = padded.new_ones(count, 10, height * width)
    seen[:, :9].view(count, 3, 3, height, width).copy_(
        padded.as_strided((count, 3, 3, height, width), (image, row, column, 2 * row, 2 * column))
    )
    pixels = grad.permute(0, 2, 3, 1).reshape(count, height * width, channels)
    found = torch.bmm(seen, pixels).sum(0)
    weight = found[:9].T.reshape(channels, 1, 3, 3)
    return None, weight if wanted[1] else None, found[9] if wanted[2] else None


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size) -> Tensor:
    """Return the convolution (B, C_out, H', W') of (B, C_in, H, W)."""
    if x.shape[1] > 1:
        return functional.conv2d(x, weight, bias, 2, padding)
    # With one channel, channels-first and channels-last are the same memory. PyTorch's kernel is
    # twice as fast if the strides say channels-first.
    maps = functional.conv2d(x[:, 0].unsqueeze(1), weight[:, 0].unsqueeze(1), bias, 2, padding)
    return maps.contiguous(memory_format=torch.channels_last)


def _enlarge(x: Tensor, weight: Tensor, bias: Tensor | None, padding: Size, size: Size) -> Tensor:
    """Return the transposed convolution (B, C_out, *size) of (B, C_in, H, W)."""
    channels_in, channels = weight.shape[:2]
    count, height, width = len(x), *x.shape[2:]
    rows, starts = _meeting(count, (height, width), padding, size, planes=channels == 1)
    if channels == 1:
        kernels = weight.permute(2, 3, 1, 0).reshape(9, channels_in)
        given = (kernels @ x.permute(0, 2, 3, 1).reshape(-1, channels_in).T).view(-1, 1)
    elif channels <= _FEW:  # images: only oneDNN is fast at narrow products
        kernels = weight.permute(2, 3, 1, 0).reshape(9 * channels, channels_in, 1, 1)
        given = functional.conv2d(x, kernels).permute(0, 2, 3, 1).reshape(-1, channels)
    else:
        pixels = x.permute(0, 2, 3, 1).reshape(-1, channels_in)
        kernels = weight.permute(0, 2, 3, 1).reshape(channels_in, 9 * channels)
        given = (pixels @ kernels).view(-1, channels)
    maps = torch.embedding_bag(given, rows, starts)[0].view(count, *size, channels)
    if bias is not None:
        maps += bias
    # Return a new tensor instead of a view: the next layer may change it in place, which autograd
    # does not allow for a view that a custom function returns.
    whole = maps.new_empty(0)
    shape = (count, channels, *size)
    return whole.set_(maps.untyped_storage(), 0, shape, maps.permute(0, 3, 1, 2).stride())


@lru_cache(maxsize=32)
def _meeting(
    count: int, small: Size, padding: Size, size: Size, *, planes: bool
) -> tuple[Tensor, Tensor]:
    """Return which products are summed for each pixel of ``count`` enlarged maps.

    The product of input pixel i and kernel place k is added to output pixel 2 i + k - padding.

    Returns:
        Row numbers in the products (count, *small, 3, 3), grouped by output pixel, and where each
        group begins. With ``planes``, the products are (3, 3, count, *small).
    """
    y, x = (
        2 * torch.arange(n)[:, None] + torch.arange(3) - pad
        for n, pad in zip(small, padding, strict=True)
    )
    y, x = y[:, None, :, None], x[None, :, None, :]
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    pixel = (y * size[1] + x)[inside]
    rows = inside.flatten().nonzero()[:, 0][pixel.argsort(stable=True)]
    counts = torch.bincount(pixel, minlength=size[0] * size[1])
    starts = counts.cumsum(0) - counts
    image = torch.arange(count)[:, None]
    every = (rows + image * inside.numel()).flatten()
    if planes:  # the kernel's place is the slowest index
        every = every % 9 * (count * small[0] * small[1]) + every // 9
    return (
        every.int(),
        (starts + image * len(rows)).flatten().int(),
    )
