"""Rewriting a recorded program into one that does the same in fewer steps.

Factors and offsets of a normalisation go into the weights before it, a ReLU into the product before
it, and a copy into the step before it, which then writes where the copy would have written. Most
decoders become one product of matrices for each layer.

Each rewriting looks at buffers that one step writes, so that order matters to none of them.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from latentkit.explore.decoder_program import (
    Buffer,
    Place,
    Program,
    Step,
    contiguous_strides,
)

_FUSED = ("relu", "leaky_relu")
_MOST_FOLDED = 2**24  # entries of a buffer whose factors are looked at one by one


def simplified(program: Program) -> None:
    """Rewrite a program, in place."""
    _drop_unread(program)
    while True:
        before = len(program.steps)
        _fold_factors(program)
        _forward_copies(program)
        if len(program.steps) == before:
            break
    _fuse_activations(program)
    _forward_copies(program)
    _drop_unread(program)


class _Uses:
    """Which steps write and read each buffer."""

    def __init__(self, program: Program) -> None:
        self.writers: dict[int, list[Step]] = {}
        self.readers: dict[int, list[Step]] = {}
        for step in program.steps:
            self.writers.setdefault(id(step.out.buffer), []).append(step)
            for buffer in {id(one.buffer) for one in step.read}:
                self.readers.setdefault(buffer, []).append(step)
            if step.op == "scatter":  # it leaves the rest of its buffer as it was
                self.readers.setdefault(id(step.out.buffer), []).append(step)
        self.kept = {id(program.latent.buffer)}
        if program.output is not None:
            self.kept.add(id(program.output.buffer))

    def writer(self, buffer: Buffer) -> Step | None:
        """Return the only writer of a buffer, or None."""
        found = self.writers.get(id(buffer), [])
        return found[0] if len(found) == 1 and id(buffer) not in self.kept else None

    def only_reader(self, buffer: Buffer) -> Step | None:
        """Return the only reader of a buffer that one step writes, or None."""
        found = self.readers.get(id(buffer), [])
        return found[0] if len(found) == 1 and self.writer(buffer) is not None else None


def _indices(sizes: Sequence[int], place: Place) -> NDArray[np.int64]:
    """Return the place in the buffer for each index of a step's space, as an array of its shape."""
    found = np.full(tuple(sizes), place.offset, np.int64)
    for axis, (size, stride) in enumerate(zip(sizes, place.strides, strict=True)):
        shape = [1] * len(sizes)
        shape[axis] = size
        found += (np.arange(size, dtype=np.int64) * stride).reshape(shape)
    return found


def _fold_factors(program: Program) -> None:
    """Put constant factors and offsets of a product's result into its matrix and its offset."""
    uses = _Uses(program)
    for step in program.steps:
        if step.op == "map" and step.function in ("mul", "add", "sub") and _folded(step, uses):
            uses = _Uses(program)


def _folded(step: Step, uses: _Uses) -> bool:
    """Fold one factor or offset, and make its step a copy; return whether that was possible."""
    sides: list[int] = [0, 1] if step.function != "sub" else [0]
    for side in sides:
        source, other = step.inputs[side], step.inputs[1 - side]
        if not isinstance(source, Place) or source.buffer.size > _MOST_FOLDED:
            continue
        if isinstance(other, Place) and other.buffer.data is None:
            continue
        product = uses.writer(source.buffer)
        if (
            product is None
            or product.op != "matmul"
            or product.function != "none"
            or uses.only_reader(source.buffer) is not step
        ):
            continue
        values = _values_of_rows(step, source, other, product)
        if values is None or not _apply(step.function, product, values):
            continue
        step.function, step.inputs = "copy", [source]
        return True
    return False


def _values_of_rows(
    step: Step, source: Place, other: Place | float, product: Step
) -> NDArray[np.float32] | None:
    """Return the constant for each batch and row of a product; None if columns have their own."""
    each = np.full(source.buffer.size, np.nan, np.float32)
    if isinstance(other, float):
        constants: NDArray[np.float32] = np.full(tuple(step.sizes), other, np.float32)
    else:
        assert other.buffer.data is not None
        constants = other.buffer.data[_indices(step.sizes, other)]
    each[_indices(step.sizes, source)] = constants
    batch, rows, inner, columns = (len(group) for group in product.groups)
    sizes = product.sizes
    kept = [*range(batch + rows), *range(batch + rows + inner, len(sizes))]
    out = Place(product.out.buffer, product.out.offset, [product.out.strides[a] for a in kept])
    found = each[_indices([sizes[axis] for axis in kept], out)]
    found = found.reshape(int(np.prod(sizes[: batch + rows], dtype=int)), -1)
    if found.size == 0 or not np.isfinite(found).all() or (found != found[:, :1]).any():
        return None
    return found[:, 0].reshape(sizes[: batch + rows])


def _apply(function: str, product: Step, values: NDArray[np.float32]) -> bool:
    """Multiply a product's matrix and offset by the values of its rows, or add to its offset."""
    left, _, offset = product.inputs
    outer = sum(len(group) for group in product.groups[:2])
    inner = len(product.groups[2])
    sizes = product.sizes
    if isinstance(offset, Place):
        if offset.buffer.data is None:
            return False
        kept = Place(offset.buffer, offset.offset, offset.strides[:outer])
        if any(offset.strides[outer:]):
            return False
        bias = offset.buffer.data[_indices(sizes[:outer], kept)].astype(np.float64)
    else:
        bias = np.full(sizes[:outer], offset, np.float64)
    if function == "mul":
        if not isinstance(left, Place) or left.buffer.data is None:
            return False
        span = outer + inner
        if any(left.strides[span:]):
            return False
        where = Place(left.buffer, left.offset, left.strides[:span])
        matrix = left.buffer.data[_indices(sizes[:span], where)].astype(np.float64)
        matrix *= values.reshape(values.shape + (1,) * inner)
        bias = bias * values
        product.inputs[0] = _constant_place(matrix, len(sizes))
    else:
        bias = bias + values if function == "add" else bias - values
    product.inputs[2] = _constant_place(bias, len(sizes))
    return True


def _constant_place(values: NDArray[np.float64], dimensions: int) -> Place:
    data = np.ascontiguousarray(values, np.float32)
    strides = [*contiguous_strides(values.shape), *[0] * (dimensions - values.ndim)]
    return Place(Buffer(data.size, data.reshape(-1)), 0, strides)


def _fuse_activations(program: Program) -> None:
    uses = _Uses(program)
    for step in program.steps:
        if step.op != "map" or step.function not in _FUSED:
            continue
        source = step.inputs[0]
        if not isinstance(source, Place):
            continue
        product = uses.writer(source.buffer)
        if (
            product is not None
            and product.op == "matmul"
            and product.function == "none"
            and uses.only_reader(source.buffer) is step
        ):
            product.function, product.numbers = step.function, step.numbers
            step.function, step.numbers = "copy", []


def _forward_copies(program: Program) -> None:
    """Let the step before a copy write where the copy would, and others read from there."""
    for step in list(program.steps):
        if step.op != "map" or step.function != "copy" or not isinstance(step.inputs[0], Place):
            continue
        source = step.inputs[0]
        uses = _Uses(program)
        writer = uses.writer(source.buffer)
        if writer is None or writer.op not in ("map", "matmul", "reduce", "gather", "taps"):
            continue
        # What else writes to the copy's target may overlap, or come in between.
        if any(
            one is not step and _overlap(one, step)
            for one in uses.writers.get(id(step.out.buffer), [])
        ):
            continue
        users = [one for one in uses.readers[id(source.buffer)] if one is not step]
        changed = [_moved(one, source.buffer, step) for one in [writer, *users]]
        if any(one is None for one in changed):
            continue
        for old, new in zip([writer, *users], changed, strict=True):
            assert new is not None
            program.steps[program.steps.index(old)] = new
        program.steps.remove(step)


def _overlap(one: Step, other: Step) -> bool:
    """Return whether the ranges that two steps write could overlap."""
    first, last = _range(one)
    start, end = _range(other)
    if last < start or end < first:
        return False
    # Parts of one tensor, such as the halves of a concatenation, interleave without meeting.
    return bool(
        np.intersect1d(
            _indices(_written_sizes(one), _written_place(one)),
            _indices(_written_sizes(other), _written_place(other)),
        ).size
    )


def _written_axes(step: Step) -> list[int]:
    """Return the axes of a step's space on which its result depends."""
    summed = {"reduce": 1, "matmul": 2}.get(step.op)
    if summed is None:
        return list(range(len(step.sizes)))
    start = sum(len(group) for group in step.groups[:summed])
    end = start + len(step.groups[summed])
    return [axis for axis in range(len(step.sizes)) if not start <= axis < end]


def _written_sizes(step: Step) -> list[int]:
    return [step.sizes[axis] for axis in _written_axes(step)]


def _written_place(step: Step) -> Place:
    strides = [step.out.strides[axis] for axis in _written_axes(step)]
    return Place(step.out.buffer, step.out.offset, strides)


def _range(step: Step) -> tuple[int, int]:
    reach = [stride * (size - 1) for size, stride in zip(step.sizes, step.out.strides, strict=True)]
    low = step.out.offset + sum(one for one in reach if one < 0)
    return low, step.out.offset + sum(one for one in reach if one > 0)


def _moved(step: Step, buffer: Buffer, moved_by: Step) -> Step | None:
    """Return a step that finds ``buffer`` where a copy puts it; None if strides cannot say so."""
    source = moved_by.inputs[0]
    assert isinstance(source, Place)
    digits = _digits(moved_by, source, buffer.size)
    if digits is None:
        return None
    new = copy.deepcopy(step, _memo(step))
    for number in range(len(new.places)):
        if new.places[number].buffer is not buffer:
            continue
        if number == 1 and new.op in ("gather", "taps"):  # their numbers hold strides, too
            return None
        fixed = {axis for axis, _ in enumerate(new.sizes)} if new.op in ("taps", "scan") else set()
        if not _redirected(new, number, digits, moved_by.out, fixed):
            return None
    return new


def _memo(step: Step) -> dict[int, Buffer]:
    """Return what a copy of a step shares with it: the buffers."""
    return {id(one.buffer): one.buffer for one in step.places}


_Digits = list[tuple[int, int, int]]  # size, stride in the source, stride in the target


def _digits(moved_by: Step, source: Place, size: int) -> _Digits | None:
    """Return the copy as digits of a place in the source; None if it does not copy all of it."""
    found = sorted(
        (
            (stride, count, target)
            for count, stride, target in zip(
                moved_by.sizes, source.strides, moved_by.out.strides, strict=True
            )
            if count != 1
        ),
        reverse=True,
    )
    expected = 1
    for stride, count, _ in reversed(found):
        if stride != expected:
            return None
        expected *= count
    if expected != size or source.offset:
        return None
    return [(count, stride, target) for stride, count, target in found]


def _redirected(step: Step, number: int, digits: _Digits, target: Place, fixed: set[int]) -> bool:
    """Express one operand of a step in the target's strides; split dimensions where needed."""
    used = [0] * len(digits)
    place = step.places[number]
    rest, offset = place.offset, target.offset
    for index, (_, stride, moved) in enumerate(digits):
        used[index], rest = divmod(rest, stride)
        offset += used[index] * moved
    if rest:
        return False
    axis = 0
    new: list[int] = []
    while axis < len(step.sizes):
        stride, size = step.places[number].strides[axis], step.sizes[axis]
        if stride == 0 or size == 1:
            new.append(0)
            axis += 1
            continue
        factors = _factors(size, stride, digits)
        if factors is None or (len(factors) > 1 and axis in fixed):
            return False
        for count, digit, step_of_digit in factors:
            used[digit] += step_of_digit * (count - 1)
            new.append(step_of_digit * digits[digit][2])
        if len(factors) > 1:
            step.split(axis, [count for count, _, _ in factors])
        axis += len(factors)
    if any(most >= count for most, (count, _, _) in zip(used, digits, strict=True)):
        return False
    place = step.places[number]
    place.buffer, place.offset, place.strides[:] = target.buffer, offset, new
    return True


def _factors(size: int, stride: int, digits: _Digits) -> list[tuple[int, int, int]] | None:
    """Return a dimension as parts (size, number of the digit, step in digits), or None."""
    for index, (count, unit, _) in enumerate(digits):
        if stride < unit or stride % unit:
            continue
        step = stride // unit
        if step * (size - 1) < count:
            return [(size, index, step)]
        if count % step or size % (count // step):
            return None
        rest = _factors(size // (count // step), unit * count, digits)
        return None if rest is None else [*rest, (count // step, index, step)]
    return None


def _drop_unread(program: Program) -> None:
    """Leave out steps whose result nothing reads."""
    while True:
        uses = _Uses(program)
        read: Counter[int] = Counter(uses.kept)
        for buffer, readers in uses.readers.items():
            read[buffer] += len([one for one in readers if id(one.out.buffer) != buffer])
        left = [step for step in program.steps if read[id(step.out.buffer)]]
        if len(left) == len(program.steps):
            return
        program.steps[:] = left
