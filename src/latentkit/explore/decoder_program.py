"""The program of a recorded decoder: buffers, and steps that read and write them by strides.

A step has an index space of groups of dimensions, and each operand has one stride for each
dimension of it, 0 where it does not depend on that dimension. So a permuted, sliced or broadcast
tensor is read where it is, and no step knows what a tensor is.

| step | groups | operands | what it does for each index |
|---|---|---|---|
| map | all | any number | a function of numbers |
| reduce | kept, reduced | 1 | a sum, product, maximum, or the place of one |
| scan | kept, scanned | 1 | a running sum, product or maximum |
| matmul | batch, rows, inner, columns | left, right, offset | product of matrices, and of windows |
| taps | before, axis, after | values, places, weights | weighted sum of a few places on an axis |
| gather | all | values, indices | values at indices that are values themselves |
| scatter | all | values, indices | the same, written |

The page runs it: `frontend/src/decoder/`.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

FORMAT = "latentkit-decoder"
VERSION = 1
_WEIGHTS = -1  # number of the region of the weights; buffers count from 0, which is the latent
_EXACT = -2  # number of the region of integers, which are stored in the program


@dataclass(eq=False)
class Buffer:
    """Memory of numbers, all zero before the first decode.

    Args:
        size: count of numbers.
        data: the numbers, if they are constant.
        exact: whether the constants are stored with all their digits even if weights are rounded.
    """

    size: int
    data: NDArray[np.float32] | None = None
    exact: bool = False


@dataclass(frozen=True)
class View:
    """Where a tensor lies in a buffer.

    Args:
        buffer: the buffer.
        shape: size of each dimension.
        strides: distance in the buffer between neighbours of each dimension.
        offset: place of the first number.
    """

    buffer: Buffer
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int = 0

    def expanded(self, shape: Sequence[int]) -> View:
        """Return the view broadcast to ``shape``."""
        missing = len(shape) - len(self.shape)
        strides = [0] * missing + [
            0 if size == 1 else stride
            for size, stride in zip(self.shape, self.strides, strict=True)
        ]
        return View(self.buffer, tuple(shape), tuple(strides), self.offset)

    def permuted(self, order: Sequence[int]) -> View:
        """Return the view with its dimensions in another order."""
        return View(
            self.buffer,
            tuple(self.shape[axis] for axis in order),
            tuple(self.strides[axis] for axis in order),
            self.offset,
        )

    def cut(self, starts: Sequence[int], shape: Sequence[int]) -> View:
        """Return the part of ``shape`` that begins at ``starts``."""
        offset = self.offset + sum(
            start * stride for start, stride in zip(starts, self.strides, strict=True)
        )
        return View(self.buffer, tuple(shape), self.strides, offset)

    @property
    def whole(self) -> bool:
        """Whether the view covers every number of its buffer, each once."""
        return self.offset == 0 and _covers(self.shape, self.strides, self.buffer.size)


def _covers(shape: Sequence[int], strides: Sequence[int], size: int) -> bool:
    expected = 1
    for stride, count in sorted((t, n) for n, t in zip(shape, strides, strict=True) if n != 1):
        if stride != expected:
            return False
        expected *= count
    return expected == size


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    """Return the strides of a new tensor of ``shape``."""
    return tuple(math.prod(shape[axis + 1 :]) for axis in range(len(shape)))


def new_view(shape: Sequence[int]) -> View:
    """Return a view of a whole new buffer."""
    return View(Buffer(math.prod(shape)), tuple(shape), contiguous_strides(shape))


def constant(values: NDArray[Any], exact: bool = False) -> View:
    """Return a view of a new constant."""
    data = np.ascontiguousarray(values, np.float32)
    shape = values.shape
    return View(Buffer(data.size, data.reshape(-1), exact), shape, contiguous_strides(shape))


Operand = View | float
"""A view, or one number."""


@dataclass
class Place:
    """An operand of a step: a place for each index of the step's space."""

    buffer: Buffer
    offset: int
    strides: list[int]


@dataclass
class Step:
    """One step; see the table above.

    Args:
        op: kind of step.
        function: what a map, reduce, scan or scatter does, and what a matmul applies to its result.
        groups: sizes of the dimensions of the index space.
        out: where the result goes.
        inputs: what is read.
        numbers: further numbers that the step needs.
    """

    op: str
    function: str
    groups: list[list[int]]
    out: Place
    inputs: list[Place | float]
    numbers: list[float] = field(default_factory=list)

    @property
    def places(self) -> list[Place]:
        """All operands that are places, the result first."""
        return [self.out, *self.read]

    @property
    def read(self) -> list[Place]:
        """The operands that are read and places."""
        return [one for one in self.inputs if isinstance(one, Place)]

    @property
    def sizes(self) -> list[int]:
        """Size of each dimension of the index space."""
        return [size for group in self.groups for size in group]

    def split(self, axis: int, factors: Sequence[int]) -> None:
        """Split dimension ``axis`` into several, whose sizes are ``factors``."""
        start = 0
        for group in self.groups:
            if axis < start + len(group):
                group[axis - start : axis - start + 1] = factors
                break
            start += len(group)
        inner = contiguous_strides(factors)
        for place in self.places:
            stride = place.strides[axis]
            place.strides[axis : axis + 1] = [stride * step for step in inner]


def place(operand: Operand, before: int = 0, after: int = 0) -> Place | float:
    """Return an operand of a step from a view; zero strides are put before and after its own."""
    if isinstance(operand, float):
        return operand
    return place_of(operand, before, after)


def place_of(view: View, before: int = 0, after: int = 0) -> Place:
    """Return a view as an operand of a step, with zero strides before and after its own."""
    return Place(view.buffer, view.offset, [0] * before + list(view.strides) + [0] * after)


@dataclass
class Program:
    """Steps, and the views of the latent (1, D) that they start from and of the image they give."""

    latent: View
    steps: list[Step] = field(default_factory=list)
    output: View | None = None

    def add(
        self,
        op: str,
        function: str,
        groups: Iterable[Sequence[int]],
        out: Place,
        inputs: list[Place | float],
        numbers: Iterable[float] = (),
    ) -> None:
        """Append a step; one that has no index is left out."""
        sizes = [list(group) for group in groups]
        step = Step(op, function, sizes, out, inputs, [float(one) for one in numbers])
        if all(step.sizes):
            self.steps.append(step)

    def map(
        self, function: str, out: View, inputs: Sequence[Operand], numbers: Iterable[float] = ()
    ) -> View:
        """Append a map of broadcast inputs, and return ``out``."""
        places = [
            place(one if isinstance(one, float) else one.expanded(out.shape)) for one in inputs
        ]
        self.add("map", function, [out.shape], place_of(out), places, numbers)
        return out

    def copied(self, source: Operand, out: View) -> View:
        """Append a copy, and return ``out``."""
        return self.map("copy", out, [source])


def written(program: Program, half: bool) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return a program as a JSON document, and its weights in one flat array.

    Args:
        program: the program; its output is set.
        half: whether weights are stored as float16.
    """
    assert program.output is not None
    numbers: dict[int, int] = {id(program.latent.buffer): 0}
    sizes = [program.latent.buffer.size]
    weights, exact = _Constants(), _Constants()

    def region(buffer: Buffer) -> tuple[int, int]:
        if buffer.data is not None:
            store, number = (exact, _EXACT) if buffer.exact else (weights, _WEIGHTS)
            return number, store.start(buffer.data)
        if id(buffer) not in numbers:
            numbers[id(buffer)] = len(sizes)
            sizes.append(buffer.size)
        return numbers[id(buffer)], 0

    def entry(operand: Place | float) -> Any:
        if isinstance(operand, float):
            return operand if math.isfinite(operand) else str(operand)
        number, start = region(operand.buffer)
        return [number, start + operand.offset, operand.strides]

    steps = []
    for step in program.steps:
        collapse(step)
        steps.append(
            {
                "op": step.op,
                "f": step.function,
                "shape": step.groups,
                "out": entry(step.out),
                "in": [entry(one) for one in step.inputs],
                "p": [entry(one) for one in step.numbers],
            }
        )
    output = program.output
    document = {
        "format": FORMAT,
        "version": VERSION,
        "latent": program.latent.buffer.size,
        "shape": list(output.shape[1:]),
        "output": entry(place_of(output))[:2],
        "buffers": sizes,
        "exact": [entry(float(one)) for one in exact.values()],
        "weights": weights.size,
        "steps": steps,
    }
    return document, weights.values().astype(np.float16 if half else np.float32)


class _Constants:
    """Flat array of constants; equal ones are stored once."""

    def __init__(self) -> None:
        self._starts: dict[bytes, int] = {}
        self._parts: list[NDArray[np.float32]] = []
        self.size = 0

    def start(self, data: NDArray[np.float32]) -> int:
        """Return where ``data`` begins, and add it if it is new."""
        key = hashlib.sha256(data.tobytes()).digest()
        if key not in self._starts:
            self._starts[key] = self.size
            self._parts.append(data)
            self.size += data.size
        return self._starts[key]

    def values(self) -> NDArray[np.float32]:
        """Return all constants."""
        return np.concatenate([np.zeros(0, np.float32), *self._parts])


def collapse(step: Step) -> None:
    """Merge neighbouring dimensions that every operand of a step passes through as one."""
    start = 0
    for group in step.groups:
        axis = 0
        while axis < len(group):
            here = start + axis
            if group[axis] == 1:
                del group[axis]
                for one in step.places:
                    del one.strides[here]
            elif axis and all(
                one.strides[here - 1] == one.strides[here] * group[axis] for one in step.places
            ):
                group[axis - 1 : axis + 1] = [group[axis - 1] * group[axis]]
                for one in step.places:
                    del one.strides[here - 1]
            else:
                axis += 1
        start += len(group)
