"""Operations that move numbers: joining, padding, resizing, and indexing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.explore.decoder_maps import reduced
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
    UnknownOperationError,
    contiguous,
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
        return _roll(values.reshape(-1), shifts, [0]).reshape(values.shape)
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


@decomposes("triu", "tril")
def _triangle(values: Tensor, diagonal: int = 0) -> Tensor:
    raise UnknownOperationError("its decoder uses an operation that pages lack: aten.triu")


@decomposes("masked_fill")
def _masked_fill(values: Tensor, mask: Tensor, value: Any) -> Tensor:
    return torch.where(mask, value, values)


# Indices.


def _gathered(
    recorder: Recorder, view: View, indices: list[tuple[Operand, int]], out: View, free: list[int]
) -> View:
    """Append a gather: ``free`` are the strides of the axes of ``out`` that are not looked up."""
    numbers = [number for _, axis in indices for number in (view.shape[axis], view.strides[axis])]
    operands = [place(_spread(one, out.shape)) for one, _ in indices]
    inputs = [Place(view.buffer, view.offset, free), *operands]
    recorder.program.add("gather", "get", [out.shape], place_of(out), inputs, numbers)
    return out


def _spread(operand: Operand, shape: Sequence[int]) -> Operand:
    return operand if isinstance(operand, float) else operand.expanded(shape)


@lowers("index_select")
def _index_select(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    view, axis = recorder.view(args[0]), int(args[1]) % max(1, result.dim())
    index = recorder.operand(args[2])
    if isinstance(index, View):
        ones = (*[1] * axis, index.shape[0], *[1] * (result.dim() - axis - 1))
        strides = tuple(index.strides[0] if size > 1 else 0 for size in ones)
        index = View(index.buffer, ones, strides, index.offset)
    free = [0 if one == axis else step for one, step in enumerate(view.strides)]
    return _gathered(recorder, view, [(index, axis)], new_view(result.shape), free)


@lowers("gather")
def _gather(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    view, axis = recorder.view(args[0]), int(args[1]) % max(1, result.dim())
    free = [0 if one == axis else step for one, step in enumerate(view.strides)]
    index = recorder.operand(args[2])
    return _gathered(recorder, view, [(index, axis)], new_view(result.shape), free)


@decomposes("embedding")
def _embedding(weight: Tensor, indices: Tensor, *_: Any) -> Tensor:
    return weight.index_select(0, indices.reshape(-1)).reshape(*indices.shape, weight.shape[1])


@decomposes("take")
def _take(values: Tensor, index: Tensor) -> Tensor:
    return values.reshape(-1).index_select(0, index.reshape(-1)).reshape(index.shape)


def _places(
    recorder: Recorder, given: Sequence[Tensor | None], view: View
) -> tuple[list[tuple[Operand, int]], tuple[int, ...], list[int], list[int]]:
    """Return index operands and their axes, the result's shape, and the axes' strides.

    As in NumPy, the indices' dimensions stand where the indices stood, or first if these were
    apart.
    """
    used = [axis for axis, one in enumerate(given) if one is not None]
    indices = [one for one in given if one is not None]
    if any(one.dtype in (torch.bool, torch.uint8) for one in indices):
        raise UnknownOperationError("the shape of what its decoder selects depends on the latent")
    shape = torch.broadcast_shapes(*(one.shape for one in indices))
    together = used == list(range(used[0], used[-1] + 1))
    start = used[0] if together else 0
    left = [axis for axis in range(len(view.shape)) if axis not in used]
    before, after = left[:start], left[start:]
    whole = (
        *(view.shape[a] for a in before),
        *shape,
        *(view.shape[a] for a in after),
    )
    free = [view.strides[a] for a in before]
    free += [0] * len(shape) + [view.strides[a] for a in after]
    operands = []
    for one, axis in zip(indices, used, strict=True):
        found = recorder.operand(one)
        if isinstance(found, View):
            found = found.expanded(shape)
            found = View(
                found.buffer,
                (*found.shape, *[1] * len(after)),
                (*found.strides, *[0] * len(after)),
                found.offset,
            )
        operands.append((found, axis))
    return operands, whole, free, list(contiguous_strides(whole))


@lowers("index.Tensor")
def _index(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    view = recorder.view(args[0])
    operands, _, free, _ = _places(recorder, args[1], view)
    return _gathered(recorder, view, operands, new_view(result.shape), free)


def _scattered(
    recorder: Recorder,
    function: str,
    start: View,
    values: Operand,
    indices: list[tuple[Operand, int]],
    shape: Sequence[int],
    free: list[int],
) -> View:
    out = recorder.program.copied(start, new_view(start.shape))
    numbers = [number for _, axis in indices for number in (out.shape[axis], out.strides[axis])]
    inputs = [place(_spread(one, shape)) for one in (values, *(one for one, _ in indices))]
    target = Place(out.buffer, 0, free)
    recorder.program.add("scatter", function, [shape], target, inputs, numbers)
    return out


@lowers("index_put", "_unsafe_index_put")
def _index_put(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    start = contiguous(recorder, recorder.view(args[0]))
    operands, shape, free, _ = _places(recorder, args[1], start)
    function = "add" if len(args) > 3 and args[3] else "set"
    values = recorder.operand(args[2])
    return _scattered(recorder, function, start, values, operands, shape, free)


@lowers("scatter", "scatter_add")
def _scatter(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    name = recorder.names[-1]
    if named.get("reduce") is not None or name.endswith("reduce"):
        raise UnknownOperationError(f"its decoder uses an operation that pages lack: aten.{name}")
    start, axis = recorder.view(args[0]), int(args[1]) % max(1, result.dim())
    shape = tuple(args[2].shape)
    values = recorder.operand(args[3])
    if isinstance(values, View):
        values = values.cut([0] * len(shape), shape)
    steps = contiguous_strides(start.shape)
    free = [0 if one == axis else step for one, step in enumerate(steps)]
    function = "add" if name.startswith("scatter_add") else "set"
    index = recorder.operand(args[2])
    return _scattered(recorder, function, start, values, [(index, axis)], shape, free)


@decomposes("slice_scatter")
def _slice_scatter(
    values: Tensor,
    part: Tensor,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> Tensor:
    found = values.clone()
    size = values.shape[dim]
    where = [slice(None)] * values.dim()
    where[dim] = slice(start, None if end is None or end > size else end, step)
    found[tuple(where)] = part
    return found


@decomposes("select_scatter")
def _select_scatter(values: Tensor, part: Tensor, dim: int, index: int) -> Tensor:
    found = values.clone()
    found.select(dim, index).copy_(part)
    return found


@decomposes("grid_sampler_2d")
def _grid_sample(
    values: Tensor, grid: Tensor, interpolation: int, padding: int, align_corners: bool
) -> Tensor:
    if interpolation != 0 or padding != 0:
        raise UnknownOperationError("its decoder samples a grid other than bilinearly")
    _, channels, height, width = values.shape
    found = None
    x, y = (
        ((part + 1) * (size - 1) / 2 if align_corners else ((part + 1) * size - 1) / 2)
        for part, size in ((grid[..., 0], width), (grid[..., 1], height))
    )
    left, top = x.floor(), y.floor()
    for right, low in ((0, 0), (0, 1), (1, 0), (1, 1)):
        column, row = left + right, top + low
        weight = (1 - (x - column).abs()) * (1 - (y - row).abs())
        inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        place_of_pixel = row.clamp(0, height - 1) * width + column.clamp(0, width - 1)
        flat = place_of_pixel.long().reshape(len(values), 1, -1).expand(-1, channels, -1)
        pixels = values.reshape(len(values), channels, -1).gather(2, flat)
        part = pixels.reshape(len(values), channels, *row.shape[1:])
        part = part * torch.where(inside, weight, 0.0)[:, None]
        found = part if found is None else found + part
    assert found is not None
    return found
