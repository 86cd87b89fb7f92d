"""Transposed convolution of width 3 and stride 2 that trains faster on a CPU.

On a CPU, PyTorch enlarges small feature maps, and maps of few channels, several times slower than
it convolves them. Here a convolution of width 1 gives what each input pixel adds to the nine output
pixels around it, and what arrives at the same output pixel is then summed. This is faster only if
all these products fit in the processor's cache (docs/measurements.md, "What the extra code gains").
The backward pass is PyTorch's own, which is fast.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional

_Size = tuple[int, int]
_MOST_PRODUCTS = 2**21  # 8 MB in float32; with more, PyTorch's own layer is as fast or faster
_MOST_TABLES = 2  # of a layer: one for full batches, and one for the last batch of an epoch


class FastTransposed(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a faster training step; weights and results are the same.

    Results differ from PyTorch's by rounding only. The faster way is used in training mode for
    batches on the CPU in float32 or float64, with a kernel of 3 x 3, a stride of 2, a padding of at
    most 1, and neither dilation nor groups. Everything else is left to PyTorch.
    """

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the enlarged feature maps (B, C_out, H', W') of (B, C_in, H, W)."""
        if self.training and output_size is None and _applies(self, x):
            return _Transposed.apply(x, self.weight, self.bias, self)  # type: ignore[no-any-return]
        return super().forward(x, output_size)


FastConvolution = nn.Conv2d
"""Deprecated name: PyTorch's convolution is as fast."""


def _applies(layer: FastTransposed, x: Tensor) -> bool:
    parameters = [layer.weight] if layer.bias is None else [layer.weight, layer.bias]
    return (
        x.dim() == 4
        and x.shape[1] == layer.in_channels
        and 0 < 9 * layer.out_channels * x.shape[0] * x.shape[2] * x.shape[3] <= _MOST_PRODUCTS
        and x.dtype in (torch.float32, torch.float64)
        and all(tensor.device.type == "cpu" for tensor in (x, *parameters))
        and all(parameter.dtype == x.dtype for parameter in parameters)
        and not torch.is_autocast_enabled("cpu")
        and layer.kernel_size == (3, 3)
        and layer.stride == (2, 2)
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and layer.padding_mode == "zeros"
        and all(pad in (0, 1) for pad in layer.padding)
    )


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, layer: FastTransposed
    ) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.padding, ctx.extra = list(layer.padding), list(layer.output_padding)
        return _enlarge(x, weight, bias, layer)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        found = torch.ops.aten.convolution_backward(
            *(grad, x, weight, [weight.shape[1]], [2, 2], ctx.padding, [1, 1], True, ctx.extra, 1),
            list(ctx.needs_input_grad[:3]),
        )
        return (*found, None)


def _enlarge(x: Tensor, weight: Tensor, bias: Tensor | None, layer: FastTransposed) -> Tensor:
    channels_in, channels = weight.shape[:2]
    rows, starts, size = _tables(layer, (len(x), x.shape[2], x.shape[3]))
    kernels = weight.permute(2, 3, 1, 0).reshape(9 * channels, channels_in, 1, 1)
    products = functional.conv2d(x, kernels).permute(0, 2, 3, 1).reshape(-1, channels)
    maps = torch.embedding_bag(products, rows, starts)[0].view(len(x), *size, channels)
    if bias is not None:
        maps += bias
    # Return a new tensor instead of a view: the next layer may change it in place, which autograd
    # does not allow for a view that a custom function returns.
    whole = maps.new_empty(0)
    shape = (len(x), channels, *size)
    return whole.set_(maps.untyped_storage(), 0, shape, maps.permute(0, 3, 1, 2).stride())


_Tables = tuple[Tensor, Tensor, _Size]
_TABLES: WeakKeyDictionary[FastTransposed, dict[tuple[object, ...], _Tables]] = WeakKeyDictionary()
"""The last tables of each layer; they are freed with the layer, and are no part of its state."""


def _tables(layer: FastTransposed, maps: tuple[int, int, int]) -> _Tables:
    """Return the tables for ``layer`` and maps of (B, H, W), from the layer's cache if possible."""
    kept = _TABLES.setdefault(layer, {})
    padding: Any = layer.padding  # in PyTorch's types, it may also be a string
    extra = layer.output_padding
    key = (maps, padding, extra)
    tables = kept.pop(key, None)
    if tables is None:
        height, width = (
            2 * side + 1 - 2 * int(pad) + more
            for side, pad, more in zip(maps[1:], padding, extra, strict=True)
        )
        padding_of_axes = int(padding[0]), int(padding[1])
        tables = (*_meeting(maps, padding_of_axes, (height, width)), (height, width))
    kept[key] = tables
    while len(kept) > _MOST_TABLES:
        del kept[next(iter(kept))]
    return tables


def _meeting(maps: tuple[int, int, int], padding: _Size, size: _Size) -> tuple[Tensor, Tensor]:
    """Return which products are summed for each pixel of the enlarged maps.

    The product of input pixel i and kernel place k is added to output pixel 2 i + k - padding.

    Returns:
        Row numbers in the products (B, H, W, 3, 3), grouped by output pixel, and where each group
        begins.
    """
    y, x = (
        2 * torch.arange(n)[:, None] + torch.arange(3) - pad
        for n, pad in zip(maps[1:], padding, strict=True)
    )
    y, x = y[:, None, :, None], x[None, :, None, :]
    inside = (y >= 0) & (y < size[0]) & (x >= 0) & (x < size[1])
    pixel = (y * size[1] + x)[inside]
    rows = inside.flatten().nonzero()[:, 0][pixel.argsort(stable=True)]
    counts = torch.bincount(pixel, minlength=size[0] * size[1])
    starts = counts.cumsum(0) - counts
    image = torch.arange(maps[0])[:, None]
    return (
        (rows + image * inside.numel()).flatten().int(),
        (starts + image * len(rows)).flatten().int(),
    )
