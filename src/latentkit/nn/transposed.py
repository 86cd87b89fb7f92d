"""Transposed convolution of width 3 and stride 2, faster on a CPU.

PyTorch computes its forward pass on a CPU several times slower than a convolution of the same
cost. Each of the four sub-pixels of the result sees at most 2x2 pixels of the input, so one 2x2
convolution to four times the channels, rearranged, gives the same numbers. Backward passes are
PyTorch's own, which are fast.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

_TAPS = ((1, None), (2, 0))
"""Which of a kernel's three rows an even and an odd row of the result take of the input's two."""


class FastTransposed(nn.ConvTranspose2d):
    """``nn.ConvTranspose2d`` with a faster step of training; weights and results are the same."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Return the enlarged feature maps of (B, C_in, H, W)."""
        if self.training and output_size is None and self._applies(x):
            return _Transposed.apply(x, self.weight, self.bias)  # type: ignore[no-any-return]
        return super().forward(x, output_size)

    def _applies(self, x: Tensor) -> bool:
        return (
            x.device.type == "cpu"
            and self.weight.dtype == x.dtype
            and not torch.is_autocast_enabled("cpu")
            and self.kernel_size == (3, 3)
            and self.stride == (2, 2)
            and self.padding == (1, 1)
            and self.output_padding == (1, 1)
        )


class _Transposed(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.has_bias = bias is not None
        biases = None if bias is None else bias.repeat_interleave(4)
        padded = functional.pad(x, (0, 1, 0, 1))
        return functional.pixel_shuffle(functional.conv2d(padded, _sub_pixel(weight), biases), 2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        x, weight = ctx.saved_tensors
        wanted = [*ctx.needs_input_grad[:2], ctx.has_bias and ctx.needs_input_grad[2]]
        found: tuple[Tensor, ...] = torch.ops.aten.convolution_backward(
            *(grad, x, weight, [weight.shape[1]]),
            *([2, 2], [1, 1], [1, 1], True, [1, 1], 1, wanted),
        )
        return found


def _sub_pixel(weight: Tensor) -> Tensor:
    """Return the 2x2 kernels (4 C_out, C_in, 2, 2) of a 3x3 weight (C_in, C_out, 3, 3)."""
    channels_in, channels_out = weight.shape[:2]
    kernels = weight.new_zeros(channels_out, 2, 2, channels_in, 2, 2)
    for row in (0, 1):
        for column in (0, 1):
            for y, tap_y in enumerate(_TAPS[row]):
                for x, tap_x in enumerate(_TAPS[column]):
                    if tap_y is not None and tap_x is not None:
                        kernels[:, row, column, :, y, x] = weight[:, :, tap_y, tap_x].T
    flat = kernels.view(4 * channels_out, channels_in, 2, 2)
    return flat.contiguous(memory_format=torch.channels_last)
