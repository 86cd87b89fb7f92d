"""Everything that training changes: weights, optimiser, averages and the learning rate."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from latentkit.config import TrainingOptions
from latentkit.plugin.protocols import provides

_WARM_UP = 0.3  # share of all steps in which one-cycle rises
_START = 1 / 25  # one-cycle begins at this share of the peak
_END = 1e-4  # one-cycle ends at this share of the start


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters that share a learning rate.

    Args:
        parameters: parameters of the model.
        rate: their learning rate, as a multiple of the training's learning rate.
    """

    parameters: Sequence[nn.Parameter]
    rate: float = 1.0


@runtime_checkable
class Staged(Protocol):
    """Model whose parts have their own learning rates, or join training later."""

    def parameter_groups(self) -> Sequence[ParameterGroup]:
        """Return all parameters that are ever trained; the first group has the rate 1."""
        ...

    def begin_epoch(self, epoch: int) -> None:
        """Freeze or unfreeze parameters (``requires_grad``) for an epoch, counted from 1.

        The choice depends only on the epoch, so that a resumed training freezes the same.
        """
        ...


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of the next step, times the rate of each group."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate * group["rate"])
        else:
            group["lr"] = rate * group["rate"]


def make_optimizer(
    model: nn.Module, options: TrainingOptions, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimiser; it is fused if torch has fused kernels for the device.

    On CUDA, the learning rates are tensors on the device, so that a captured step reads the current
    values.
    """
    rate = float(options.learning_rate)
    parameters: list[dict[str, Any]] = [
        {
            "params": list(group.parameters),
            "rate": group.rate,
            "lr": torch.tensor(rate, device=device) if device.type == "cuda" else rate,
        }
        for group in _groups(model)
    ]
    shared: dict[str, Any] = {
        "betas": (0.9, options.beta2),
        "fused": device.type in ("cpu", "cuda"),
        "capturable": device.type == "cuda",
    }
    if options.optimizer == "adamw":
        return torch.optim.AdamW(parameters, rate, weight_decay=options.weight_decay, **shared)
    return torch.optim.Adam(parameters, rate, **shared)


def _groups(model: nn.Module) -> Sequence[ParameterGroup]:
    if provides(model, Staged):
        return model.parameter_groups()
    return [ParameterGroup([p for p in model.parameters() if p.requires_grad])]


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        options: the schedule and its peak.
        step: number of the step, counted from 0.
        steps: number of steps of the whole training.

    Returns:
        ``constant``: the peak. ``cosine``: from the peak to 0 along half a cosine. ``one-cycle``
        (Smith & Topin 2018, with cosines as in fastai): from 1/25 of the peak up to the peak in
        the first 30 % of the steps, then down to 1/250,000 of the peak.
    """
    peak = float(options.learning_rate)
    if options.schedule == "constant":
        return peak
    along = step / max(1, steps - 1)
    if options.schedule == "cosine":
        return _cosine(peak, 0.0, step / steps)
    if along < _WARM_UP:
        return _cosine(peak * _START, peak, along / _WARM_UP)
    return _cosine(peak, peak * _START * _END, (along - _WARM_UP) / (1 - _WARM_UP))


def _cosine(start: float, end: float, along: float) -> float:
    """Go from ``start`` to ``end`` along half a cosine; ``along`` runs from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * along)) / 2


class WeightAverage:
    """Exponential moving average of a model's parameters over steps.

    Buffers, such as batch statistics, are not averaged.

    Args:
        model: model whose parameters are averaged.
        decay: share of the old average that each step keeps, below 1. If (1 + step) / (10 + step)
            is smaller, it is used instead, so that the initial weights are soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self._parameters = dict(model.named_parameters())
        self._average = {name: p.detach().clone() for name, p in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Update the average with the weights after ``step``, counted from 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        current = [p.detach() for p in self._parameters.values()]
        torch._foreach_lerp_(list(self._average.values()), current, 1 - decay)

    @contextmanager
    def in_model(self) -> Iterator[None]:
        """Put the average into the model until the ``with`` block ends."""
        kept = {name: p.data for name, p in self._parameters.items()}
        for name, parameter in self._parameters.items():
            parameter.data = self._average[name]
        try:
            yield
        finally:
            for name, parameter in self._parameters.items():
                parameter.data = kept[name]

    def tensors(self) -> Mapping[str, Tensor]:
        """Return the average, keyed by parameter name."""
        return self._average

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Load an average that `tensors` returned."""
        for name, average in self._average.items():
            average.copy_(tensors[name])


Weights = dict[str, Tensor]


class TrainingState:
    """Model, optimiser, averaged weights and the best weights so far.

    Args:
        model: already on its device.
        options: choose the optimiser and the average.
        device: the model's device.
    """

    def __init__(self, model: Any, options: TrainingOptions, device: torch.device) -> None:
        self.model = model
        self.optimizer = make_optimizer(model, options, device)
        self.average = WeightAverage(model, options.ema_decay) if options.ema_decay else None
        self.best: Weights | None = None
        self.learning_rate = 0.0

    def start_average(self) -> None:
        """Let the average start at the model's present weights."""
        if self.average is not None:
            self.average = WeightAverage(self.model, self.average.decay)

    def set_learning_rate(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        self.learning_rate = rate
        set_learning_rate(self.optimizer, rate)

    @contextmanager
    def for_evaluation(self) -> Iterator[Any]:
        """Yield the model in eval mode, with averaged weights if the options ask for them."""
        with self.average.in_model() if self.average else nullcontext():
            yield self.model.eval()

    def weights(self) -> Weights:
        """Return a copy of the weights that evaluation uses."""
        with self.for_evaluation() as model:
            return {name: value.detach().clone() for name, value in model.state_dict().items()}

    def tensors(self) -> Weights:
        """Return the whole state as named tensors."""
        groups: dict[str, Mapping[str, Tensor]] = {"model": self.model.state_dict()}
        if self.average is not None:
            groups["average"] = self.average.tensors()
        if self.best is not None:
            groups["best"] = self.best
        tensors = {
            f"{group}.{name}": value
            for group, named in groups.items()
            for name, value in named.items()
        }
        return tensors | _optimizer_tensors(self.optimizer)

    def load(self, tensors: Weights) -> None:
        """Restore a state that `tensors` returned."""
        self.model.load_state_dict(named_with("model", tensors))
        _load_optimizer(self.optimizer, tensors)
        if self.average is not None:
            self.average.load(named_with("average", tensors))
        self.best = named_with("best", tensors) or None


def named_with(name: str, tensors: Mapping[str, Tensor]) -> Weights:
    """Return the tensors whose names begin with ``name`` and a dot, without it."""
    prefix = f"{name}."
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Weights:
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{parameter}.{name}": torch.as_tensor(value)
        for parameter, values in state.items()
        for name, value in values.items()
    }


def _load_optimizer(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    groups = optimizer.state_dict()["param_groups"]
    order = [number for group in groups for number in group["params"]]
    parameters = dict(
        zip(order, (p for group in optimizer.param_groups for p in group["params"]), strict=True)
    )
    state: dict[int, Weights] = {}
    for key, value in named_with("optimizer", tensors).items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # Fused kernels pair parameter and state in memory order: the layouts must agree.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
