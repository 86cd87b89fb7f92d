"""Operations that move numbers: joining, padding, resizing, pooling and turning."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from latentkit.explore.decoder_maps import reduced
from latentkit.explore.decoder_program import (
    Place,
    View,
    constant,
    new_view,
    place_of,
)
from latentkit.explore.decoder_recording import (
    Recorder,
    UnknownOperationError,
    decomposes,
    lowers,
)


@lowers("cat")
def _cat(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    out = new_view(result.shape)
    axis = int(args[1]) % max(1, result.dim())
    start = 0
    for one in args[0]:
        if one.dim() == 1 and one.shape[0] == 0:
            continue
        starts = [0] * result.dim()
        starts[axis] = start
        recorder.program.copied(recorder.operand(one), out.cut(starts, tuple(one.shape)))
        start += one.shape[axis]
    return out


@decomposes("stack")
def _stack(tensors: list[Tensor], dim: int = 0) -> Tensor:
    return torch.cat([one.unsqueeze(dim) for one in tensors], dim)


@lowers("constant_pad_nd")
def _pad(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    view, pads = recorder.view(args[0]), list(args[1])
    value = float(args[2] if len(args) > 2 else 0)
    before = [0] * len(view.shape)
    size = list(view.shape)
    skipped = [0] * len(view.shape)
    for number in range(len(pads) // 2):
        axis = len(view.shape) - 1 - number
        low, high = pads[2 * number], pads[2 * number + 1]
        before[axis], skipped[axis] = max(low, 0), max(-low, 0)
        size[axis] += min(low, 0) + min(high, 0)
    out = new_view(result.shape)
    if value != 0:
        recorder.program.copied(value, out)
    recorder.program.copied(view.cut(skipped, size), out.cut(before, size))
    return out


@lowers("pixel_shuffle", "pixel_unshuffle")
def _shuffle(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    view, factor = recorder.view(args[0]), int(args[1])
    enlarges = recorder.names[-1] == "pixel_shuffle"
    large = new_view(result.shape) if enlarges else view
    small = view if enlarges else new_view(result.shape)
    *batch, channels, height, width = small.shape
    # Both as (*, C, f, f, h, w).
    shape = (*batch, channels // factor**2, factor, factor, height, width)
    n = len(batch)
    lead, (deep, high, wide) = small.strides[:n], small.strides[n:]
    first = View(
        small.buffer,
        shape,
        (*lead, deep * factor**2, deep * factor, deep, high, wide),
        small.offset,
    )
    lead, (deep, high, wide) = large.strides[:n], large.strides[n:]
    second = View(
        large.buffer, shape, (*lead, deep, high, wide, high * factor, wide * factor), large.offset
    )
    source, target = (first, second) if enlarges else (second, first)
    recorder.program.copied(source, target)
    return large if enlarges else small


# What is linear along each axis by itself: resizing, padding with pixels, averaging.

_LINEAR = (
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d",
    "_upsample_nearest_exact2d", "_upsample_nearest_exact3d", "upsample_linear1d",
    "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d", "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa", "reflection_pad1d", "reflection_pad2d", "reflection_pad3d",
    "replication_pad1d", "replication_pad2d", "replication_pad3d", "avg_pool1d", "avg_pool2d",
    "avg_pool3d", "_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_avg_pool2d",
)  # fmt: skip


@lowers(*_LINEAR)
def _linear(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    """Append one weighted sum of places for each axis, with the weights that PyTorch has."""
    name, *overload = recorder.names[-1].split(".")
    operation = getattr(getattr(torch.ops.aten, name), *overload or ["default"])
    source = args[0]
    spatial = int(next((c for c in reversed(name) if c in "123"), "2"))
    axes = range(source.dim() - spatial, source.dim())
    view = recorder.view(source)
    check = source.detach().double()
    for axis in axes:
        matrix = _matrix(operation, args, named, tuple(source.shape), axis, axes)
        if axis == axes[0] and spatial > 1:  # each has in it what the others do to their middle
            matrix = matrix / matrix[len(matrix) // 2].sum() ** (spatial - 1)
        if matrix.shape != (size := view.shape[axis],) * 2 or (matrix != np.eye(size)).any():
            view = _taps(recorder, view, axis, matrix)
            along = torch.tensordot(check, torch.from_numpy(matrix), ([axis], [1]))
            check = along.movedim(-1, axis)
    if check.shape != result.shape or not torch.allclose(check, result.double(), 1e-4, 1e-4):
        raise UnknownOperationError(f"its decoder uses aten.{name} in a way that pages lack")
    return view


def _matrix(
    operation: Any,
    args: list[Any],
    named: dict[str, Any],
    shape: tuple[int, ...],
    axis: int,
    axes: range,
) -> NDArray[np.float64]:
    """Return what an operation does along one axis: (size after, size before)."""
    size = shape[axis]
    lines = [size, *[1] * (len(shape) - 1)]
    for other in axes:
        lines[other] = shape[other]
    where = [size, *[1] * (len(shape) - 1)]
    where[axis] = size
    unit = torch.eye(size, dtype=torch.float64).reshape(where).expand(lines).contiguous()
    result = operation(unit, *args[1:], **named)
    middle: list[Any] = [0] * len(shape)
    for other in axes:
        middle[other] = result.shape[other] // 2
    middle[0] = middle[axis] = slice(None)
    return result[tuple(middle)].T.numpy()  # type: ignore[no-any-return]


def _taps(recorder: Recorder, view: View, axis: int, matrix: NDArray[np.float64]) -> View:
    """Append a weighted sum of a few places of an axis for each row of a sparse matrix."""
    used = matrix != 0
    count = max(1, int(used.sum(axis=1).max(initial=1)))
    order = np.argsort(~used, axis=1, kind="stable")[:, :count]
    weights = np.take_along_axis(matrix, order, axis=1)
    shape = (*view.shape[:axis], len(matrix), *view.shape[axis + 1 :])
    out = new_view(shape)
    strides = list(view.strides)
    step, strides[axis] = strides[axis], 0
    none = [0] * len(shape)
    places = constant(order.astype(np.float32), exact=True)
    recorder.program.add(
        "taps",
        "sum",
        [shape[:axis], [len(matrix)], shape[axis + 1 :]],
        place_of(out),
        [
            Place(view.buffer, view.offset, strides),
            Place(places.buffer, 0, list(none)),
            Place(constant(weights, exact=weights.size <= 4096).buffer, 0, list(none)),
        ],
        [count, step, view.shape[axis]],
    )
    return out


@lowers("max_pool2d_with_indices", "max_pool3d_with_indices")
def _max_pool(recorder: Recorder, result: Any, args: list[Any], named: dict[str, Any]) -> Any:
    source, width, stride, padding, dilation = args[:5]
    n = 3 if "3d" in recorder.names[-1] else 2
    width, stride, padding, dilation = (
        list(one) * n if len(one) == 1 else list(one)
        for one in (width, stride or width, padding, dilation)
    )
    sizes = result[0].shape[-n:]
    view = recorder.view(source)
    lead = view.shape[:-n]
    reach = [
        max(side + 2 * pad, (end - 1) * jump + (wide - 1) * far + 1)
        for side, pad, end, jump, wide, far in zip(
            view.shape[-n:], padding, sizes, stride, width, dilation, strict=True
        )
    ]
    padded = new_view((*lead, *reach))
    recorder.program.copied(-np.inf, padded)
    recorder.program.copied(view, padded.cut([*[0] * len(lead), *padding], view.shape))
    steps = padded.strides[-n:]
    windows = View(
        padded.buffer,
        (*lead, *sizes, *width),
        (
            *padded.strides[:-n],
            *(step * jump for step, jump in zip(steps, stride, strict=True)),
            *(step * far for step, far in zip(steps, dilation, strict=True)),
        ),
    )
    rank = len(windows.shape)
    found = reduced(recorder, "max", windows, range(rank - n, rank))
    return [View(found.buffer, found.shape[:-n], found.strides[:-n], found.offset)]


@decomposes("flip")
def _flip(values: Tensor, dims: Sequence[int]) -> Tensor:
    for axis in dims:
        values = values.index_select(axis, torch.arange(values.shape[axis] - 1, -1, -1))
    return values


@decomposes("roll")
def _roll(values: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Tensor:
    if not dims:
        flat: Tensor = _roll(values.reshape(-1), shifts, [0])
        return flat.reshape(values.shape)
    for shift, axis in zip(shifts, dims, strict=True):
        size = values.shape[axis]
        values = values.index_select(axis, (torch.arange(size) - shift) % max(1, size))
    return values


@decomposes("repeat")
def _repeat(values: Tensor, repeats: Sequence[int]) -> Tensor:
    missing = len(repeats) - values.dim()
    shape = [1] * missing + list(values.shape)
    apart = [size for pair in zip(repeats, shape, strict=True) for size in pair]
    doubled = [size for one in shape for size in (1, one)]
    whole = [count * size for count, size in zip(repeats, shape, strict=True)]
    return values.reshape(doubled).expand(apart).clone().reshape(whole)


@decomposes("triu")
def _triu(values: Tensor, diagonal: int = 0) -> Tensor:
    mask = torch.ones(values.shape[-2:], dtype=torch.bool).triu(diagonal)
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype))


@decomposes("tril")
def _tril(values: Tensor, diagonal: int = 0) -> Tensor:
    mask = torch.ones(values.shape[-2:], dtype=torch.bool).tril(diagonal)
    return torch.where(mask, values, torch.zeros((), dtype=values.dtype))


@decomposes("unsafe_split.Tensor")
def _unsafe_split(values: Tensor, size: int, dim: int = 0) -> Any:
    return torch.ops.aten.split.Tensor(values, size, dim)


@decomposes("unsafe_split_with_sizes")
def _unsafe_split_with_sizes(values: Tensor, sizes: list[int], dim: int = 0) -> Any:
    return torch.ops.aten.split_with_sizes.default(values, sizes, dim)


@decomposes("im2col")
def _im2col(
    values: Tensor,
    width: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    padded = functional.pad(values, (padding[1], padding[1], padding[0], padding[0]))
    rows, columns = (
        (side - far * (wide - 1) - 1) // jump + 1
        for side, far, wide, jump in zip(padded.shape[2:], dilation, width, stride, strict=True)
    )
    parts = []
    for row, column in np.ndindex(*width):
        top, left = row * dilation[0], column * dilation[1]
        down = slice(top, top + (rows - 1) * stride[0] + 1, stride[0])
        across = slice(left, left + (columns - 1) * stride[1] + 1, stride[1])
        parts.append(padded[:, :, down, across])
    return torch.stack(parts, 2).reshape(len(values), -1, rows * columns)


@decomposes("col2im")
def _col2im(
    values: Tensor,
    size: Sequence[int],
    width: Sequence[int],
    dilation: Sequence[int],
    padding: Sequence[int],
    stride: Sequence[int],
) -> Tensor:
    height, length = (side + 2 * pad for side, pad in zip(size, padding, strict=True))
    rows, columns = (
        (side - far * (wide - 1) - 1) // jump + 1
        for side, far, wide, jump in zip((height, length), dilation, width, stride, strict=True)
    )
    parts = values.reshape(len(values), -1, width[0] * width[1], rows, columns)
    whole = torch.zeros(len(values), parts.shape[1], height, length)
    for number, (row, column) in enumerate(np.ndindex(*width)):
        top, left = row * dilation[0], column * dilation[1]
        down = slice(top, top + (rows - 1) * stride[0] + 1, stride[0])
        across = slice(left, left + (columns - 1) * stride[1] + 1, stride[1])
        whole[:, :, down, across] += parts[:, :, number]
    return whole[:, :, padding[0] : height - padding[0], padding[1] : length - padding[1]]


@decomposes("adaptive_max_pool2d")
def _adaptive_max_pool(values: Tensor, size: Sequence[int]) -> Any:
    height, width = values.shape[-2:]
    pixels = [
        values[
            ...,
            row * height // size[0] : -(-(row + 1) * height // size[0]),
            column * width // size[1] : -(-(column + 1) * width // size[1]),
        ].amax((-2, -1))
        for row, column in np.ndindex(*size)
    ]
    return torch.stack(pixels, -1).reshape(*values.shape[:-2], *size), values.new_zeros(0)


@decomposes("masked_fill")
def _masked_fill(values: Tensor, mask: Tensor, value: Any) -> Tensor:
    return torch.where(mask, value, values)
