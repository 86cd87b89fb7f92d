"""Products of matrices, convolutions, norms and attention."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from latentkit.explore.decoder_maps import scaled
from latentkit.explore.decoder_program import (
    Operand,
    Place,
    View,
    constant,
    contiguous_strides,
    new_view,
    place,
    place_of,
)
from latentkit.explore.decoder_recording import (
    Recorder,
    constant_values,
    contiguous,
    decomposes,
    lowers,
)


def _product(recorder: Recorder, left: View, right: View, out: View) -> View:
    """Append a product of (B, M, K) and (B, K, N), both with the same B, into ``out``."""
    batch, rows, inner = left.shape
    columns = right.shape[2]
    program = recorder.program
    if inner == 0:
        return program.copied(0.0, out)
    constant_left, constant_right = (one.buffer.data is not None for one in (left, right))
    if constant_right > constant_left or (constant_right == constant_left and rows > columns):
        # Weights come first, and the longer side gives the columns, which are computed together.
        turned = _product(
            recorder, right.permuted([0, 2, 1]), left.permuted([0, 2, 1]), out.permuted([0, 2, 1])
        )
        return turned.permuted([0, 2, 1])
    if left.strides[2] != 1:
        left = _packed(recorder, left)
    inputs: list[Place | float] = [
        Place(left.buffer, left.offset, [*left.strides, 0]),
        Place(right.buffer, right.offset, [right.strides[0], 0, *right.strides[1:]]),
        0.0,
    ]
    strides = [out.strides[0], out.strides[1], 0, out.strides[2]]
    groups = [[batch], [rows], [inner], [columns]]
    program.add("matmul", "none", groups, Place(out.buffer, out.offset, strides), inputs)
    return out


def _packed(recorder: Recorder, view: View) -> View:
    """Return a view with its numbers in order; constants are reordered here and now."""
    if view.buffer.data is None:
        return contiguous(recorder, view)
    strided = np.lib.stride_tricks.as_strided(
        view.buffer.data[view.offset :],
        view.shape,
        [stride * view.buffer.data.itemsize for stride in view.strides],
    )
    return constant(strided)


def _offset(
    recorder: Recorder, product: View, offset: Operand, scale: float, factor: float
) -> View:
    if factor != 1:
        product = recorder.program.map("mul", new_view(product.shape), [product, factor])
    if scale == 0:
        return product
    added = scaled(recorder, offset, scale) if scale != 1 else offset
    return recorder.program.map("add", new_view(product.shape), [product, added])


def _batched(view: View) -> View:
    return View(view.buffer, (1, *view.shape), (0, *view.strides), view.offset)


@lowers("mm", "bmm", "addmm", "baddbmm")
def _matrices(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    added = recorder.names[-1] in ("addmm", "baddbmm")
    left, right = (recorder.view(one) for one in args[1 if added else 0 :][:2])
    out = new_view(result.shape)
    if len(left.shape) == 2:
        _product(recorder, _batched(left), _batched(right), _batched(out))
    else:
        _product(recorder, left, right, out)
    if not added:
        return out
    beta, alpha = float(named["beta"]), float(named["alpha"])
    return _offset(recorder, out, recorder.operand(args[0]), beta, alpha)


@decomposes("addbmm")
def _addbmm(
    added: Tensor, left: Tensor, right: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return added * beta + torch.bmm(left, right).sum(0) * alpha


@decomposes("addmv")
def _addmv(
    added: Tensor, matrix: Tensor, vector: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return added * beta + torch.mm(matrix, vector[:, None])[:, 0] * alpha


@decomposes("addr")
def _addr(
    added: Tensor, first: Tensor, second: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    return added * beta + first[:, None] * second[None] * alpha


@decomposes("mv")
def _mv(matrix: Tensor, vector: Tensor) -> Tensor:
    return torch.mm(matrix, vector[:, None])[:, 0]


@decomposes("dot", "vdot")
def _dot(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum()


# Convolutions of any number of spatial dimensions.


@lowers("convolution")
def _convolution(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    values, weight, bias, stride, padding, dilation, transposed, _, groups = args[:9]
    view, kernel = recorder.view(values), recorder.view(weight)
    spatial = len(kernel.shape) - 2
    view = View(view.buffer, view.shape, view.strides, view.offset)
    stride, padding, dilation = (
        list(one) * spatial if len(one) == 1 else list(one) for one in (stride, padding, dilation)
    )
    offset: Operand = 0.0 if bias is None else recorder.view(bias)
    if transposed:
        return _enlarged(
            recorder, result, view, kernel, offset, stride, padding, dilation, int(groups)
        )
    return _windows(recorder, result, view, kernel, offset, stride, padding, dilation, int(groups))


def _per_group(
    offset: Operand, groups: int, batch: int, inner: int, columns: int, rows: int = 0
) -> Place | float:
    """Return a bias of each channel as the offset of a product in groups."""
    if isinstance(offset, float):
        return offset
    step = offset.strides[0]
    channels = offset.shape[0] // groups
    return Place(
        offset.buffer,
        offset.offset,
        [0] * batch + [step * channels, step] + [0] * (rows + inner + columns),
    )


def _windows(
    recorder: Recorder,
    result: Tensor,
    view: View,
    kernel: View,
    offset: Operand,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> View:
    """Append a convolution: a product of the kernels and of all windows of the padded input."""
    count, channels, *size = view.shape
    filters, depth, *widths = kernel.shape
    if any(padding):
        whole = [side + 2 * pad for side, pad in zip(size, padding, strict=True)]
        padded = new_view((count, channels, *whole))
        recorder.program.copied(view, padded.cut([0, 0, *padding], view.shape))
        view = padded
    kernel = _packed(recorder, kernel)
    out = new_view(result.shape)
    sizes = result.shape[2:]
    n = len(sizes)
    rows = filters // groups
    steps = view.strides[2:]
    left = [0, kernel.strides[0] * rows, *kernel.strides, *[0] * n]
    right = [view.strides[0], view.strides[1] * depth, 0, view.strides[1]]
    right += [step * jump for step, jump in zip(steps, dilation, strict=True)]
    right += [step * jump for step, jump in zip(steps, stride, strict=True)]
    target = [out.strides[0], out.strides[1] * rows, out.strides[1], *[0] * (n + 1)]
    target += out.strides[2:]
    recorder.program.add(
        "matmul",
        "none",
        [[count, groups], [rows], [depth, *widths], sizes],
        Place(out.buffer, 0, target),
        [
            Place(kernel.buffer, kernel.offset, left),
            Place(view.buffer, view.offset, right),
            _per_group(offset, groups, 1, n + 1, n),
        ],
    )
    return out


def _enlarged(
    recorder: Recorder,
    result: Tensor,
    view: View,
    kernel: View,
    offset: Operand,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    groups: int,
) -> View:
    """Append a transposed convolution: a product for each place of the kernel, and their sum."""
    count, channels, *size = view.shape
    depth = channels // groups
    rows, *widths = kernel.shape[1:]
    n = len(size)
    program = recorder.program
    # (C_in, C_out / groups, *widths) -> (groups, C_out / groups, *widths, C_in / groups)
    order = [0, *range(2, n + 3), 1]
    strides = [kernel.strides[0] * depth, kernel.strides[0], *kernel.strides[1:]]
    split = View(kernel.buffer, (groups, depth, rows, *widths), tuple(strides), kernel.offset)
    matrix = _packed(recorder, split.permuted(order))
    steps = list(zip(size, stride, dilation, widths, padding, result.shape[2:], strict=True))
    apart = all(width <= jump and far == 1 for _, jump, far, width, _, _ in steps)
    whole = [
        max((side - 1) * jump + far * (width - 1) + 1, end + pad)
        for side, jump, far, width, pad, end in steps
    ]
    enlarged = new_view((count, groups * rows, *whole))
    if apart:
        target = enlarged
        jumps = [
            [step, step * jump]
            for step, (_, jump, *_) in zip(target.strides[2:], steps, strict=True)
        ]
    else:
        target = new_view((count, groups * rows, *widths, *size))
        jumps = list(
            map(list, zip(target.strides[2 : n + 2], target.strides[n + 2 :], strict=True))
        )
    left = [0, *matrix.strides, *[0] * n]
    right = [view.strides[0], view.strides[1] * depth, 0, *[0] * n, view.strides[1]]
    out = [target.strides[0], target.strides[1] * rows, target.strides[1]]
    out += [one for one, _ in jumps] + [0] + [other for _, other in jumps]
    outside = _fits(
        offset, apart, [jump == width for _, jump, _, width, _, _ in steps], enlarged, result
    )
    program.add(
        "matmul",
        "none",
        [[count, groups], [rows, *widths], [depth], size],
        Place(target.buffer, 0, out),
        [
            Place(matrix.buffer, matrix.offset, left),
            Place(view.buffer, view.offset, [*right, *view.strides[2:]]),
            _per_group(offset, groups, 1, 1, n, n) if outside else 0.0,
        ],
    )
    if not apart:
        _summed(recorder, target, enlarged, steps)
    cut = enlarged.cut([0, 0, *padding], tuple(result.shape))
    if outside or offset == 0.0:
        return cut
    assert isinstance(offset, View)
    bias = View(
        offset.buffer, (offset.shape[0], *[1] * n), (offset.strides[0], *[0] * n), offset.offset
    )
    return program.map("add", new_view(result.shape), [cut, bias])


def _fits(offset: Operand, apart: bool, exact: list[bool], whole: View, result: Tensor) -> bool:
    """Return whether each output pixel is one product, so that the bias can be added to it."""
    return isinstance(offset, View) and apart and all(exact) and whole.shape[2:] == result.shape[2:]


def _summed(recorder: Recorder, products: View, out: View, steps: list[Any]) -> None:
    """Add the products of each place of the kernel to the pixels where they belong."""
    program = recorder.program
    n = len(steps)
    size = products.shape[n + 2 :]
    jumps = [jump for _, jump, *_ in steps]
    program.copied(0.0, out)
    for position in np.ndindex(*products.shape[2 : n + 2]):
        start = [at * far for at, (_, _, far, *_) in zip(position, steps, strict=True)]
        begin = out.cut([0, 0, *start], out.shape)
        strides = [*out.strides[:2], *(t * j for t, j in zip(out.strides[2:], jumps, strict=True))]
        target = View(out.buffer, (*out.shape[:2], *size), tuple(strides), begin.offset)
        one = products.cut([0, 0, *position, *[0] * n], products.shape)
        part = View(
            one.buffer,
            target.shape,
            (*products.strides[:2], *products.strides[n + 2 :]),
            one.offset,
        )
        program.map("add", target, [target, part])


# Norms.


@lowers("_native_batch_norm_legit_no_training", "native_batch_norm", "cudnn_batch_norm",
        "_batch_norm_with_update", "_native_batch_norm_legit")  # fmt: skip
def _batch_norm(recorder: Recorder, result: Any, args: list[Any], named: dict[str, Any]) -> Any:
    values, weight, bias, mean, variance = args[:5]
    trains = "no_training" not in recorder.names[-1] and bool(args[5])
    if trains or not all(recorder.is_constant(one) for one in (weight, bias, mean, variance)):
        with recorder:
            normed = _normalised(values, [0, *range(2, values.dim())], float(args[7]))
            found = _affine(normed, weight, bias)
        return [recorder.view(found)]
    eps = float(args[7] if "no_training" not in recorder.names[-1] else args[6])
    deviation = np.sqrt(constant_values(variance).astype(np.float64) + eps)
    scale = (1.0 if weight is None else constant_values(weight).astype(np.float64)) / deviation
    shift = -constant_values(mean).astype(np.float64) * scale
    shift += 0.0 if bias is None else constant_values(bias)
    view = recorder.view(values)
    shape = (scale.size, *[1] * (len(view.shape) - 2))
    once = recorder.program.map("mul", new_view(view.shape), [view, constant(scale.reshape(shape))])
    shifted = [once, constant(shift.reshape(shape))]
    return [recorder.program.map("add", new_view(view.shape), shifted)]


def _normalised(values: Tensor, axes: list[int], eps: float) -> Tensor:
    off = values - values.mean(axes, keepdim=True)
    return off * ((off * off).mean(axes, keepdim=True) + eps).rsqrt()


def _affine(values: Tensor, weight: Tensor | None, bias: Tensor | None) -> Tensor:
    shape = (1, -1, *[1] * (values.dim() - 2))
    if weight is not None:
        values = values * weight.reshape(shape)
    return values if bias is None else values + bias.reshape(shape)


@decomposes("native_layer_norm")
def _layer_norm(
    values: Tensor, shape: list[int], weight: Tensor | None, bias: Tensor | None, eps: float
) -> Any:
    axes = list(range(values.dim() - len(shape), values.dim()))
    normed = _normalised(values, axes, eps)
    normed = normed if weight is None else normed * weight
    return normed if bias is None else normed + bias, values.new_zeros(0), values.new_zeros(0)


@decomposes("native_group_norm")
def _group_norm(
    values: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    count: int,
    channels: int,
    pixels: int,
    groups: int,
    eps: float,
) -> Any:
    grouped = values.reshape(count, groups, channels // groups * pixels)
    normed = _normalised(grouped, [2], eps).reshape(values.shape)
    return _affine(normed, weight, bias), values.new_zeros(0), values.new_zeros(0)


@decomposes("_fused_rms_norm")
def _rms_norm(values: Tensor, shape: list[int], weight: Tensor | None, eps: float | None) -> Any:
    axes = list(range(values.dim() - len(shape), values.dim()))
    small = torch.finfo(values.dtype).eps if eps is None else eps
    found = values * ((values * values).mean(axes, keepdim=True) + small).rsqrt()
    return found if weight is None else found * weight, values.new_zeros(0)


# Attention.


@decomposes("_scaled_dot_product_flash_attention_for_cpu")
def _attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    attn_mask: Tensor | None = None,
    scale: float | None = None,
) -> Any:
    factor = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = torch.matmul(query * factor, key.transpose(-2, -1))
    if is_causal:
        later = torch.ones(scores.shape[-2:], dtype=torch.bool).triu(1)
        scores = scores.masked_fill(later, -math.inf)
    if attn_mask is not None:
        scores = scores + attn_mask
    return torch.matmul(functional.softmax(scores, -1), value), query.new_zeros(0)
