"""Operations on each number by itself, and sums and extremes over dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from latentkit.explore.decoder_program import Operand, View, new_view, place, place_of
from latentkit.explore.decoder_recording import (
    Recorder,
    UnknownOperationError,
    decomposes,
    lowers,
)

# Functions of one number, of two, and of three, by the names they have in PyTorch.
_UNARY = (
    "abs", "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf",
    "erfc", "exp", "exp2", "expm1", "floor", "isinf", "isnan", "log", "log10", "log1p", "log2",
    "logical_not", "neg", "reciprocal", "relu", "round", "rsqrt", "sigmoid", "sign", "silu",
    "sin", "sinh", "sqrt", "tan", "tanh", "trunc", "mish", "hardswish", "hardsigmoid",
    "log_sigmoid_forward", "sgn",
)  # fmt: skip
_BINARY = (
    "add", "atan2", "div", "eq", "fmod", "ge", "gt", "le", "logical_and", "logical_or",
    "logical_xor", "lt", "maximum", "minimum", "mul", "ne", "pow", "remainder", "sub", "fmax",
    "fmin",
)  # fmt: skip
_SAME = {"sgn": "sign", "fmax": "maximum", "fmin": "minimum", "log_sigmoid_forward": "log_sigmoid"}


def _unary(name: str) -> Callable[..., Any]:
    def lower(recorder: Recorder, result: Any, args: list[Any], named: dict[str, Any]) -> Any:
        out = new_view((result[0] if isinstance(result, tuple) else result).shape)
        return recorder.program.map(name, out, [recorder.operand(args[0])])

    return lower


def _binary(name: str) -> Callable[..., Any]:
    def lower(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
        first, second = recorder.operand(args[0]), recorder.operand(args[1])
        if float(named.get("alpha", 1) if len(args) < 3 else args[2]) != 1:
            scale = float(named.get("alpha", 1) if len(args) < 3 else args[2])
            second = scaled(recorder, second, scale)
        out = recorder.program.map(name, new_view(result.shape), [first, second])
        rounding = named.get("rounding_mode")
        if rounding is not None:
            out = recorder.program.map(rounding, new_view(result.shape), [out])
        return out

    return lower


for _name in _UNARY:
    lowers(_name)(_unary(_SAME.get(_name, _name)))
for _name in _BINARY:
    lowers(_name)(_binary(_SAME.get(_name, _name)))


def scaled(recorder: Recorder, operand: Operand, scale: float) -> Operand:
    """Return an operand times a number."""
    if isinstance(operand, float):
        return operand * scale
    return recorder.program.map("mul", new_view(operand.shape), [operand, scale])


@lowers("rsub")
def _reversed(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    other = scaled(recorder, recorder.operand(args[0]), float(args[2] if len(args) > 2 else 1))
    return recorder.program.map("sub", new_view(result.shape), [recorder.operand(args[1]), other])


@lowers("bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not")
def _bitwise(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    if result.dtype != torch.bool:
        raise UnknownOperationError("its decoder works on the bits of integers")
    operation = recorder.names[-1].split(".")[0].replace("bitwise", "logical")
    operands = [recorder.operand(one) for one in args]
    return recorder.program.map(operation, new_view(result.shape), operands)


@lowers("where.self", "where.ScalarOther", "where.ScalarSelf", "where.Scalar")
def _where(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    operands = [recorder.operand(one) for one in args]
    return recorder.program.map("where", new_view(result.shape), operands)


@lowers("clone", "contiguous", "alias_copy", "_to_copy", "copy")
def _copy(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    source = args[1] if recorder.names[-1].startswith("copy") else args[0]
    function = "copy"
    if result.dtype == torch.bool and source.dtype != torch.bool:
        return recorder.program.map("ne", new_view(result.shape), [recorder.operand(source), 0.0])
    if source.is_floating_point() and not result.is_floating_point():
        function = "trunc"
    return recorder.program.map(function, new_view(result.shape), [recorder.operand(source)])


# Activations with numbers of their own: each is one function of a map, with these numbers.
_ACTIVATIONS: dict[str, Callable[[list[Any]], tuple[str, Sequence[float]]]] = {
    "leaky_relu": lambda a: ("leaky_relu", [a[1]]),
    "gelu": lambda a: ("gelu", []),
    "elu": lambda a: ("elu", [a[1] * a[2], a[2], a[3]]),
    "softplus": lambda a: ("softplus", [a[1], a[2]]),
    "hardtanh": lambda a: ("clamp", [a[1], a[2]]),
    "relu6": lambda a: ("clamp", [0.0, 6.0]),
    "threshold": lambda a: ("threshold", [a[1], a[2]]),
    "softshrink": lambda a: ("softshrink", [a[1]]),
    "hardshrink": lambda a: ("hardshrink", [a[1]]),
    "celu": lambda a: ("elu", [a[1], 1.0, 1.0 / a[1]]),
    "selu": lambda a: ("elu", [1.7580993408473766, 1.0507009873554805, 1.0]),
}


def _activation(how: Callable[[list[Any]], tuple[str, Sequence[float]]]) -> Callable[..., Any]:
    def lower(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
        function, numbers = how(args)
        if function == "gelu" and named["approximate"] == "tanh":
            function = "gelu_tanh"
        operands = [recorder.operand(args[0])]
        return recorder.program.map(function, new_view(result.shape), operands, numbers)

    return lower


for _name, _how in _ACTIVATIONS.items():
    lowers(_name)(_activation(_how))


@lowers("clamp", "clamp_min", "clamp_max")
def _clamp(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
    name = recorder.names[-1].split(".")[0]
    bounds = [args[1], None] if name == "clamp_min" else [None, args[1]]
    low, high = (args[1], args[2]) if name == "clamp" else bounds
    found = recorder.operand(args[0])
    if not isinstance(low, Tensor) and not isinstance(high, Tensor):
        numbers = [-math.inf if low is None else low, math.inf if high is None else high]
        return recorder.program.map("clamp", new_view(result.shape), [found], numbers)
    for function, bound in (("maximum", low), ("minimum", high)):
        if bound is not None:
            operands = [found, recorder.operand(bound)]
            found = recorder.program.map(function, new_view(result.shape), operands)
    assert isinstance(found, View)
    return found


@lowers("_prelu_kernel")
def _prelu(recorder: Recorder, result: Tensor, args: list[Any], named: Any) -> View:
    value, weight = (recorder.operand(one) for one in args[:2])
    product = recorder.program.map("mul", new_view(result.shape), [value, weight])
    above = recorder.program.map("gt", new_view(result.shape), [value, 0.0])
    return recorder.program.map("where", new_view(result.shape), [above, value, product])


@decomposes("glu")
def _glu(values: Tensor, dim: int = -1) -> Tensor:
    half = values.shape[dim] // 2
    return values.narrow(dim, 0, half) * values.narrow(dim, half, half).sigmoid()


@decomposes("addcmul")
def _addcmul(start: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    return start + first * second * value


@decomposes("addcdiv")
def _addcdiv(start: Tensor, first: Tensor, second: Tensor, *, value: float = 1) -> Tensor:
    return start + first / second * value


@decomposes("lerp")
def _lerp(start: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    return start + (end - start) * weight


# Reductions.


def _axes(given: Any, rank: int) -> list[int]:
    if given is None or (isinstance(given, Sequence) and not given):
        return list(range(rank))
    listed = given if isinstance(given, Sequence) else [given]
    return sorted({axis % rank for axis in listed}) if rank else []


def reduced(recorder: Recorder, function: str, view: View, axes: Sequence[int]) -> View:
    """Return a reduction over ``axes``, which keep a size of 1."""
    kept = [axis for axis in range(len(view.shape)) if axis not in axes]
    moved = view.permuted([*kept, *axes])
    groups = [list(moved.shape[: len(kept)]), list(moved.shape[len(kept) :])]
    out = new_view(groups[0])
    recorder.program.add("reduce", function, groups, place_of(out, 0, len(axes)), [place_of(moved)])
    shape = tuple(1 if axis in axes else size for axis, size in enumerate(view.shape))
    strides = iter(out.strides)
    return View(
        out.buffer, shape, tuple(0 if a in axes else next(strides) for a in range(len(shape)))
    )


def _shaped(view: View, like: Tensor, axes: Sequence[int]) -> View:
    """Return a reduced view with or without the axes of size 1, as PyTorch's result has them."""
    if len(view.shape) == like.dim():
        return view
    kept = [axis for axis in range(len(view.shape)) if axis not in axes]
    shape, strides = (tuple(full[axis] for axis in kept) for full in (view.shape, view.strides))
    return View(view.buffer, shape, strides, view.offset)


_REDUCTIONS = {
    "sum": "sum", "mean": "mean", "amax": "max", "amin": "min", "prod": "prod", "any": "any",
    "all": "all", "argmax": "argmax", "argmin": "argmin", "nansum": "nansum",
}  # fmt: skip


def _reduction(function: str) -> Callable[..., Any]:
    def lower(recorder: Recorder, result: Tensor, args: list[Any], named: dict[str, Any]) -> View:
        view = recorder.view(args[0])
        axes = _axes(args[1] if len(args) > 1 else None, len(view.shape))
        return _shaped(reduced(recorder, function, view, axes), result, axes)

    return lower


for _name, _function in _REDUCTIONS.items():
    lowers(_name)(_reduction(_function))


@lowers("max", "min")
def _extreme(recorder: Recorder, result: Any, args: list[Any], named: dict[str, Any]) -> Any:
    name = recorder.names[-1]
    function = name[:3]
    if name.endswith(".other"):
        operands = [recorder.operand(args[0]), recorder.operand(args[1])]
        return recorder.program.map(function + "imum", new_view(result.shape), operands)
    view = recorder.view(args[0])
    if isinstance(result, Tensor):
        axes = _axes(None, len(view.shape))
        return _shaped(reduced(recorder, function, view, axes), result, axes)
    axes = _axes(args[1], len(view.shape))
    found = [reduced(recorder, one, view, axes) for one in (function, "arg" + function)]
    return [_shaped(one, tensor, axes) for one, tensor in zip(found, result, strict=True)]


@lowers("cumsum", "cumprod", "cummax", "cummin")
def _scan(recorder: Recorder, result: Any, args: list[Any], named: dict[str, Any]) -> View:
    name = recorder.names[-1]
    if isinstance(result, tuple):
        raise UnknownOperationError(f"its decoder uses an operation that pages lack: aten.{name}")
    view = recorder.view(args[0])
    if not view.shape:
        return view
    axis = args[1] % len(view.shape)
    order = [*(one for one in range(len(view.shape)) if one != axis), axis]
    out = new_view(view.shape)
    moved, target = view.permuted(order), out.permuted(order)
    groups = [moved.shape[:-1], moved.shape[-1:]]
    recorder.program.add("scan", name, groups, place_of(target), [place(moved)])
    return out


@decomposes("var_mean.correction")
def _var_mean(
    values: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False
) -> tuple[Tensor, Tensor]:
    axes = _axes(dim, values.dim())
    mean = values.mean(axes, keepdim=True)
    count = math.prod(values.shape[axis] for axis in axes)
    free = max(0.0, count - (1.0 if correction is None else float(correction)))
    off = values - mean
    spread = (off * off).sum(axes, keepdim=True) / free
    if keepdim:
        return spread, mean
    shape = [size for axis, size in enumerate(values.shape) if axis not in axes]
    return spread.reshape(shape), mean.reshape(shape)


@decomposes("var.correction")
def _var(values: Tensor, dim: Any = None, **named: Any) -> Tensor:
    return _var_mean(values, dim, **named)[0]


@decomposes("std.correction")
def _std(values: Tensor, dim: Any = None, **named: Any) -> Tensor:
    return _var_mean(values, dim, **named)[0].sqrt()


@decomposes("_softmax", "_safe_softmax")
def _softmax(values: Tensor, dim: int, half: bool = False, dtype: Any = None) -> Tensor:
    powers = (values - values.amax(dim, keepdim=True)).exp()
    return powers / powers.sum(dim, keepdim=True)


@decomposes("_log_softmax")
def _log_softmax(values: Tensor, dim: int, half: bool = False) -> Tensor:
    off = values - values.amax(dim, keepdim=True)
    return off - off.exp().sum(dim, keepdim=True).log()


@decomposes("logsumexp")
def _logsumexp(values: Tensor, dim: Any, keepdim: bool = False) -> Tensor:
    most = values.amax(dim, keepdim=True)
    found = (values - most).exp().sum(dim, keepdim=True).log() + most
    return found if keepdim else found.reshape(values.sum(dim).shape)


@decomposes("linalg_vector_norm")
def _norm(
    values: Tensor, order: float = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None
) -> Tensor:
    axes = _axes(dim, values.dim())
    size = values.abs()
    if order == math.inf:
        return size.amax(axes, keepdim)
    if order == 2:
        return (values * values).sum(axes, keepdim).sqrt()
    return (
        size.sum(axes, keepdim) if order == 1 else size.pow(order).sum(axes, keepdim).pow(1 / order)
    )
