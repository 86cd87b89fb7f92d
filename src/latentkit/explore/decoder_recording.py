"""Recording of what PyTorch does with one latent, operation by operation.

Below autograd, a dispatch mode sees every operation that remains after PyTorch has taken composite
ones apart. Operations on constants alone are executed once, here. Operations on what depends on the
latent become steps of a program. Views are not steps: the same view of an empty tensor, laid out as
in the program, gives its strides. The operations themselves are in `decoder_maps`,
`decoder_layers` and `decoder_indexing`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from latentkit.errors import LatentkitError
from latentkit.explore.decoder_program import (
    Buffer,
    Operand,
    Program,
    View,
    constant,
    contiguous_strides,
    new_view,
)

_MOST_INTEGER = 2**24  # float32 holds every integer up to here
_DTYPES = (torch.float32, torch.float64, torch.bool, torch.uint8, torch.int8, torch.int16,
           torch.int32, torch.int64)  # fmt: skip


class UnknownOperationError(LatentkitError):
    """The decoder uses an operation that a page cannot run, so it has no live decode."""


Lowering = Callable[["Recorder", Any, list[Any], dict[str, Any]], Any]
"""Function that appends the steps of one operation, and returns views or constants for its result.

It is given the recorder, what PyTorch returned, and the operation's arguments with the schema's
defaults filled in.
"""

LOWERINGS: dict[str, Lowering] = {}
"""What is known, by the operation's name, with or without its overload."""

DECOMPOSITIONS: dict[str, Callable[..., Any]] = {}
"""Operations written with other operations of PyTorch, which are recorded in their place."""


def lowers(*names: str) -> Callable[[Lowering], Lowering]:
    """Register a lowering for operations, such as ``add`` or ``max.dim``."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(names, function))
        return function

    return register


def decomposes(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register a function of tensors that takes the place of operations."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        DECOMPOSITIONS.update(dict.fromkeys(names, function))
        return function

    return register


@dataclass(eq=False)
class _Storage:
    """What tensors that share memory share; a write to all of it replaces the buffer."""

    buffer: Buffer
    fixed: bool = False  # a copy stands for some of its views, so writes would be lost


@dataclass(frozen=True)
class _Value:
    """Where a tensor that depends on the latent lies in the program."""

    storage: _Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    offset: int

    @property
    def view(self) -> View:
        return View(self.storage.buffer, self.shape, self.strides, self.offset)


class Mode(TorchDispatchMode):
    """Dispatch mode that leaves PyTorch's compiler alone, whose import takes seconds."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class Recorder(Mode):
    """Dispatch mode that writes a program down.

    Args:
        latent: the tensor (1, D) that the recorded function is given.
    """

    def __init__(self, latent: Tensor) -> None:
        super().__init__()
        view = new_view(latent.shape)
        self.program = Program(view)
        self.names: list[str] = []
        self._values: dict[int, _Value] = {}
        self._storages: dict[int, _Storage] = {}
        self._alive: list[Any] = []  # so that no id is used twice
        self._bind(latent, view)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Record one operation, and return what PyTorch returns."""
        kwargs = kwargs or {}
        name = func._schema.name.removeprefix("aten::")
        full = f"{name}.{func._overloadname}" if func._overloadname != "default" else name
        if torch.Tag.nondeterministic_seeded in func.tags and not name.startswith("_scaled_dot"):
            raise UnknownOperationError(f"its decoder draws random numbers (aten.{full})")
        tensors = [one for one in pytree.tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        if not any(self._depends(one) for one in tensors):
            return func(*args, **kwargs)
        self.names.append(full)
        if any(one.alias_info and one.alias_info.is_write for one in func._schema.arguments):
            return self._written_in_place(func, name, args, kwargs)
        if _is_view(func):
            return self._viewed(func, full, args, kwargs)
        lowering = LOWERINGS.get(full) or LOWERINGS.get(name)
        if lowering is not None:
            return self._lowered(lowering, func, args, kwargs)
        decomposition = DECOMPOSITIONS.get(full) or DECOMPOSITIONS.get(name) or _torchs(func)
        if decomposition is not None:
            with self:
                found = decomposition(*args, **kwargs)
            if found is not NotImplemented:
                return found
        raise UnknownOperationError(f"its decoder uses an operation that pages lack: aten.{full}")

    def _lowered(self, lowering: Lowering, func: Any, args: Sequence[Any], kwargs: Any) -> Any:
        result = func(*args, **kwargs)
        outputs = result if isinstance(result, tuple | list) else [result]
        for one in outputs:
            if isinstance(one, Tensor) and one.dtype not in _DTYPES:
                raise UnknownOperationError(f"its decoder calculates in {one.dtype}")
        values, named = _arguments(func, args, kwargs)
        views = lowering(self, result, values, named)
        for tensor, view in zip(
            outputs, views if isinstance(views, list) else [views], strict=False
        ):
            self._bind(tensor, view)
        return result

    # What tensors are.

    def _depends(self, tensor: Tensor) -> bool:
        return id(tensor) in self._values or _key(tensor) in self._storages

    def _bind(self, tensor: Tensor, view: View) -> None:
        storage = _Storage(view.buffer)
        self._keep(tensor, _Value(storage, view.shape, view.strides, view.offset))

    def _keep(self, tensor: Tensor, value: _Value) -> None:
        if tuple(tensor.shape) != value.shape:
            raise UnknownOperationError(
                f"its decoder could not be recorded: {value.shape} for {tuple(tensor.shape)}"
            )
        self._alive.append(tensor)
        self._values[id(tensor)] = value
        if tensor.numel():
            self._storages.setdefault(_key(tensor), value.storage)

    def _value(self, tensor: Tensor) -> _Value:
        found = self._values.get(id(tensor))
        if found is not None:
            return found
        storage = self._storages[_key(tensor)]
        if storage.buffer.size * tensor.element_size() != tensor.untyped_storage().nbytes():
            raise UnknownOperationError("its decoder hides from PyTorch what it does (.data)")
        value = _Value(storage, tuple(tensor.shape), tensor.stride(), int(tensor.storage_offset()))
        self._keep(tensor, value)
        return value

    def operand(self, given: Any) -> Operand:
        """Return a tensor or a number as an operand of a step."""
        if not isinstance(given, Tensor):
            return float(given)
        if self._depends(given):
            return self._value(given).view
        if given.numel() == 1:
            return float(given)
        values = constant_values(given)
        exact = not given.is_floating_point()
        small = tuple(
            slice(0, 1) if stride == 0 else slice(None)
            for stride in (given.stride() if given.layout == torch.strided else ())
        )
        return constant(values[small], exact).expanded(given.shape)

    def view(self, given: Tensor) -> View:
        """Return a tensor as a view; a constant becomes part of the weights."""
        found = self.operand(given)
        if isinstance(found, float):
            return constant(np.full(tuple(given.shape), found, np.float32))
        return found

    def is_constant(self, given: Any) -> bool:
        """Return whether an argument is the same for every latent."""
        return not isinstance(given, Tensor) or not self._depends(given)

    def finish(self, image: Tensor) -> None:
        """Set the image as the program's output, with its numbers in order."""
        if not self._depends(image):
            raise UnknownOperationError("what its decoder gives does not depend on the latent")
        view = self._value(image).view
        self.program.output = self.program.copied(view, new_view(view.shape))

    # Views and writes.

    def _viewed(self, func: Any, full: str, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
        source = args[0]
        value = self._value(source)
        result = func(*args, **kwargs)
        outputs = result if isinstance(result, tuple | list) else [result]
        if any(one.dtype != source.dtype for one in outputs) or full.startswith("view_as"):
            raise UnknownOperationError(f"its decoder reads numbers as others (aten.{full})")
        if full.startswith("as_strided") and source.stride() != value.strides:
            raise UnknownOperationError("its decoder depends on strides (aten.as_strided)")
        try:
            shadows = func(_shadow(value), *args[1:], **kwargs)
        except RuntimeError:  # laid out otherwise than in PyTorch: a copy can be viewed
            value.storage.fixed = True
            copied = self.program.copied(value.view, new_view(value.shape))
            storage = _Storage(copied.buffer, fixed=True)
            value = _Value(storage, copied.shape, copied.strides, 0)
            shadows = func(_shadow(value), *args[1:], **kwargs)
        for tensor, shadow in zip(
            outputs, shadows if isinstance(shadows, tuple | list) else [shadows], strict=True
        ):
            place = int(shadow.storage_offset())
            found = _Value(value.storage, tuple(shadow.shape), shadow.stride(), place)
            self._keep(tensor, found)
        return result

    def _written_in_place(self, func: Any, name: str, args: Sequence[Any], kwargs: Any) -> Any:
        """Record a write: what is written is calculated apart, and copied."""
        target = args[0]
        if "out" in kwargs or not isinstance(target, Tensor):
            raise UnknownOperationError(f"its decoder writes into given memory (aten.{name})")
        with self:
            if name == "copy_":
                new = args[1].to(target.dtype).expand(target.shape)
            elif name in ("fill_", "zero_"):
                new = args[1] if len(args) > 1 else 0.0
                new = new if isinstance(new, Tensor) else torch.full_like(target, new)
            else:
                packet = getattr(torch.ops.aten, name.removesuffix("_"), None)
                if packet is None:
                    raise UnknownOperationError(f"its decoder writes with aten.{name}")
                new = getattr(packet, func._overloadname)(*args, **kwargs)
                new = new.to(target.dtype).expand(target.shape)
        self._write(target, self.operand(new))
        target.copy_(new)
        return target

    def _write(self, target: Tensor, new: Operand) -> None:
        if not self._depends(target):
            base = torch.empty(0, dtype=target.dtype).set_(target.untyped_storage())
            start = constant_values(base)
            storage = _Storage(Buffer(start.size))
            flat = View(storage.buffer, (start.size,), (1,), 0)
            self.program.copied(constant(start, not target.is_floating_point()), flat)
            self._alive.append(target)
            self._storages[_key(target)] = storage
        value = self._value(target)
        if value.storage.fixed:
            raise UnknownOperationError("its decoder writes into a tensor and into a view of it")
        view = value.view
        if view.whole or value.storage.buffer is self.program.latent.buffer:
            buffer = Buffer(value.storage.buffer.size)
            if not view.whole:
                flat = View(buffer, (buffer.size,), (1,), 0)
                self.program.copied(View(value.storage.buffer, flat.shape, (1,)), flat)
            value.storage.buffer = buffer
            view = value.view
        if not isinstance(new, float) and new.buffer is view.buffer:
            new = self.program.copied(new, new_view(new.shape))  # the two may overlap
        self.program.copied(new, view)


def constant_values(tensor: Tensor) -> Any:
    """Return a constant's numbers as float32.

    Raises:
        UnknownOperationError: float32 cannot hold them.
    """
    if tensor.dtype not in _DTYPES and tensor.dtype not in (torch.float16, torch.bfloat16):
        raise UnknownOperationError(f"its decoder calculates in {tensor.dtype}")
    if not tensor.is_floating_point() and tensor.numel():
        if tensor.dtype != torch.bool and int(tensor.abs().max()) > _MOST_INTEGER:
            raise UnknownOperationError(f"its decoder uses integers beyond {_MOST_INTEGER:,}")
    return tensor.detach().to("cpu", torch.float32).numpy().copy()


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)


def _shadow(value: _Value) -> Tensor:
    """Return an empty tensor that is laid out as a value is in the program."""
    base = torch.empty(max(1, value.storage.buffer.size), dtype=torch.uint8)
    return base.as_strided(value.shape, value.strides, value.offset)


def _is_view(func: Any) -> bool:
    returns = func._schema.returns
    if func._schema.name == "aten::_unsafe_view":
        return True
    return bool(returns) and all(one.alias_info is not None for one in returns)


def _torchs(func: Any) -> Callable[..., Any] | None:
    """Return PyTorch's own way to write an operation with simpler ones, if it has one."""
    from torch._decomp import core_aten_decompositions

    return core_aten_decompositions().get(func)


def _arguments(
    func: Any, args: Sequence[Any], kwargs: dict[str, Any]
) -> tuple[list[Any], dict[str, Any]]:
    """Return all arguments in the schema's order, and those that are known by name only."""
    values: list[Any] = []
    named: dict[str, Any] = {}
    for number, one in enumerate(func._schema.arguments):
        given = args[number] if number < len(args) else kwargs.get(one.name, one.default_value)
        if one.kwarg_only:
            named[one.name] = kwargs.get(one.name, one.default_value)
        else:
            values.append(given)
    return values, named


def contiguous(recorder: Recorder, view: View) -> View:
    """Return a view whose numbers follow each other, copied if need be."""
    if view.strides == contiguous_strides(view.shape) or math.prod(view.shape) == 0:
        return view
    return recorder.program.copied(view, new_view(view.shape))
