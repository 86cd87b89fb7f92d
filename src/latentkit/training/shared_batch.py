"""A training step whose batch several processes share, equal to that of one process.

Each process computes the loss of its share. The gradients are summed, weighted by the number of
images. Three things of a step depend on the whole batch, and are given it here, by a torch function
mode around the model's loss, so that a model needs no change:

- random numbers: each process draws those of the whole batch and keeps its rows;
- batch normalisation in training mode: mean and variance are those of the whole batch;
- `latentkit.nn.whole_batch`, with which a loss asks for the values of all images.

``DistributedDataParallel`` gives none of these, and importing it imports torch's compiler
(docs/decisions/0021-several-processes.md).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from latentkit.errors import PluginError
from latentkit.nn import at_least_float32, whole_batch
from latentkit.training.processes import Processes, Share
from latentkit.training.summed_gradients import SummedGradients

# Functions whose result has a row for each row of their input.
_BY_ROW: frozenset[Callable[..., Any]] = frozenset(
    {
        torch.randn_like,
        torch.rand_like,
        torch.randint_like,
        torch.bernoulli,
        torch.poisson,
        torch.normal,
        torch.dropout,
        torch.feature_dropout,
        torch.alpha_dropout,
        Tensor.bernoulli,
        functional.dropout,
        functional.dropout1d,
        functional.dropout2d,
        functional.dropout3d,
        functional.alpha_dropout,
        functional.feature_alpha_dropout,
        functional.gumbel_softmax,
        functional.rrelu,
    }
)
_IN_PLACE: frozenset[Callable[..., Any]] = frozenset(
    {
        Tensor.normal_,
        Tensor.uniform_,
        Tensor.bernoulli_,
        Tensor.exponential_,
        Tensor.log_normal_,
        Tensor.cauchy_,
        Tensor.geometric_,
        Tensor.random_,
    }
)
_OF_SIZE: frozenset[Callable[..., Any]] = frozenset({torch.rand, torch.randn, torch.randint})


class SharedBatch(TorchFunctionMode):
    """Mode in which functions that depend on the whole batch are given the whole batch.

    A random tensor belongs to the batch if it has a row for each image of the share. Others, such
    as one number for a step, are drawn alike by all processes.

    Args:
        processes: those that share the batch.
        share: this process's share.
    """

    def __init__(self, processes: Processes, share: Share) -> None:
        super().__init__()
        self._processes = processes
        self._share = share

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Call ``func``, or what replaces it for a share of a batch."""
        given = dict(kwargs or {})
        if func is functional.batch_norm:
            return self._batch_norm(*args, **given)
        if func is whole_batch:
            return _Gathered.apply(args[0], self._processes, self._share)
        if func in _BY_ROW:
            return self._by_row(func, args, given)
        if func in _IN_PLACE and self._has_rows(args[0]):
            whole = func(self._widened(args[0]), *args[1:], **given)
            return args[0].copy_(whole[self._share.rows])
        if func in _OF_SIZE:
            return self._of_size(func, args, given)
        return func(*args, **given)

    def _has_rows(self, value: Any) -> bool:
        return isinstance(value, Tensor) and value.dim() > 0 and len(value) == self._share.count

    def _widened(self, value: Any) -> Any:
        """Return a tensor of the whole batch that has this share's rows, and zeros elsewhere."""
        if not self._has_rows(value):
            return value
        shape, strides = (self._share.total, *value.shape[1:]), value.stride()
        # Draws follow the order in memory, so it should be that of the whole batch.
        outer = all(strides[0] >= stride for stride in strides)
        whole = value.new_empty_strided(shape, strides) if outer else value.new_empty(shape)
        whole.zero_()
        whole[self._share.rows] = value
        return whole

    def _by_row(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        if not any(map(self._has_rows, (*args, *given.values()))):
            return self._of_size(func, args, given) if "size" in given else func(*args, **given)
        whole = func(*map(self._widened, args), **{k: self._widened(v) for k, v in given.items()})
        return whole[self._share.rows]

    def _of_size(
        self, func: Callable[..., Any], args: tuple[Any, ...], given: dict[str, Any]
    ) -> Any:
        """Draw a tensor whose size is an argument: a sequence, or for some functions numbers."""
        size = given.get("size")
        place = next((i for i, one in enumerate(args) if isinstance(one, tuple | list)), None)
        if size is None and place is not None:
            size = args[place]
        elif size is None and func is not torch.randint:
            size = args
        if not size or size[0] != self._share.count:
            return func(*args, **given)
        wide = (self._share.total, *size[1:])
        if "size" in given:
            given["size"] = wide
        elif place is not None:
            args = (*args[:place], wide, *args[place + 1 :])
        else:
            args = wide
        return func(*args, **given)[self._share.rows]

    def _batch_norm(
        self,
        input: Tensor,  # noqa: A002  # torch's name
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        if not training:
            return functional.batch_norm(
                input, running_mean, running_var, weight, bias, False, momentum, eps
            )
        output, mean, variance = _WholeNorm.apply(
            input, weight, bias, eps, self._processes, self._share
        )
        count = input[0, 0].numel() * self._share.total
        for kept, new in ((running_mean, mean), (running_var, variance * count / (count - 1))):
            if kept is not None:
                kept.lerp_(new.to(kept.dtype), momentum)
        return output  # type: ignore[no-any-return]


class _Gathered(torch.autograd.Function):
    """The rows of all processes; each gets the gradients that its rows have in all of them."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, processes: Processes, share: Share) -> Tensor:
        ctx.processes, ctx.share = processes, share
        return processes.whole(values.detach(), share)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        return ctx.processes.sum_(grad.contiguous().clone())[ctx.share.rows], None, None


class _WholeNorm(torch.autograd.Function):
    """Batch normalisation (B, C, ...) with the mean and variance of the whole batch.

    This is what ``SyncBatchNorm`` computes, which works on GPUs only: each process sends the mean
    and the sum of squares around it, and in the backward pass two sums.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        eps: float,
        processes: Processes,
        share: Share,
    ) -> tuple[Tensor, Tensor, Tensor]:
        pixels = x[0, 0].numel()
        means, variances = processes.each(_moments(x)).unbind(1)
        counts = torch.tensor(share.counts, dtype=means.dtype, device=x.device)[:, None] * pixels
        total = share.total * pixels
        mean = (means * counts).sum(0) / total
        variance = (counts * (variances + (means - mean).square())).sum(0) / total
        ctx.save_for_backward(x, weight, mean, variance)
        ctx.eps, ctx.total, ctx.processes = eps, total, processes
        ctx.mark_non_differentiable(mean, variance)
        output = functional.batch_norm(x, mean, variance, weight, bias, False, 0.0, eps)
        return output, mean, variance

    @staticmethod
    def backward(
        ctx: Any, grad: Tensor, *_: Tensor
    ) -> tuple[Tensor, Tensor | None, Tensor | None, None, None, None]:
        x, weight, mean, variance = ctx.saved_tensors
        scale = torch.ones_like(mean) if weight is None else weight
        # The gradient if mean and variance were constants, then what they add.
        plain, of_scale, of_bias = torch.ops.aten.native_batch_norm_backward(
            grad, x, scale, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = ctx.processes.each(torch.stack([of_scale, of_bias])).sum(0) / ctx.total
        inverse = (variance + ctx.eps).rsqrt()
        slope = -scale * inverse.square() * sums[0]
        offset = -scale * inverse * sums[1] - slope * mean
        # x * slope + offset by the kernel of batch normalisation, the fastest for channels-last.
        changed = functional.batch_norm(
            x, torch.zeros_like(mean), torch.ones_like(mean), slope, offset, False, 0.0, 0.0
        )
        learned = (None, None) if weight is None else (of_scale, of_bias)
        return plain.add_(changed), *learned, None, None, None, None


def _moments(x: Tensor) -> Tensor:
    """Return mean and variance (2, C) of each channel, at least in float32.

    ``var_mean`` takes ten times as long for channels-last feature maps.
    """
    nothing = torch.zeros(x.shape[1], device=x.device, dtype=at_least_float32(x[:0]).dtype)
    return torch.stack(torch.batch_norm_update_stats(x, nothing, nothing.clone(), 0.0))


def sharing(processes: Processes | None, share: Share | None) -> AbstractContextManager[object]:
    """Return the context of a loss that is computed for a share of a batch."""
    if processes is None or share is None or not share.divided:
        return nullcontext()
    return SharedBatch(processes, share)


Loss = Callable[[Tensor, Tensor], Mapping[str, Tensor]]
_ALIKE = 1e-3  # most difference of the gradients, as a share of their length


def check_divides(
    model: Any, loss: Loss, inputs: Tensor, targets: Tensor, processes: Processes, seed: int
) -> None:
    """Check on one batch that the processes together get the gradient of one process.

    Args:
        model: the network; its weights and buffers stay as they are.
        loss: returns the terms of its loss.
        inputs: a whole batch.
        targets: its targets.
        processes: those that share it.
        seed: of what the model draws.

    Raises:
        PluginError: they do not; says what may be the reason.
    """
    share = processes.share(len(inputs))
    gradients = SummedGradients(processes, model)
    rows = share.rows
    with _unchanged(model):
        torch.manual_seed(seed)
        whole = loss(inputs, targets)
        torch.autograd.backward(whole["loss"])
        expected = _state(model)
    with _unchanged(model):
        torch.manual_seed(seed)
        with sharing(processes, share):
            own = loss(inputs[rows], targets[rows])
        gradients.backward({"loss": own["loss"]}, share)
        found = _state(model)
    for what in ("gradients", "buffers"):
        length = expected[what].norm()
        if length.isfinite() and not (found[what] - expected[what]).norm() <= _ALIKE * length:
            raise PluginError(
                f"{type(model).__name__} cannot be trained by {processes.count} processes: the "
                f"{what} of a batch that they share are not those of the whole batch. Use one "
                f"process, or change the model: its loss should be a mean over images, or use "
                f"latentkit.nn.whole_batch, and draw a row of random numbers for each image"
            )


@contextmanager
def _unchanged(model: nn.Module) -> Iterator[None]:
    named = [*model.parameters(), *model.buffers()]
    kept = [one.detach().clone() for one in named]
    try:
        yield
    finally:
        with torch.no_grad():
            for one, before in zip(named, kept, strict=True):
                one.copy_(before)
        model.zero_grad(set_to_none=True)


def _state(model: nn.Module) -> dict[str, Tensor]:
    """Return the gradients and the buffers of numbers, each as one vector."""
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    buffers = [one for one in model.buffers() if one.is_floating_point()]
    return {"gradients": _one_vector(gradients), "buffers": _one_vector(buffers)}


def _one_vector(tensors: Sequence[Tensor]) -> Tensor:
    rows = [one.detach().double().cpu().flatten() for one in tensors]
    return torch.cat([torch.zeros(1, dtype=torch.float64), *rows])
