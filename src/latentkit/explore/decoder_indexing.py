"""Operations that look numbers up, or put them, by indices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from latentkit.explore.decoder_program import (
    Operand,
    Place,
    View,
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
    shape = torch.broadcast_shapes(*(one.shape for one in indices))  # type: ignore[no-untyped-call]
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
    parts = []
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
        parts.append(part * torch.where(inside, weight, 0.0)[:, None])
    return torch.stack(parts).sum(0)
