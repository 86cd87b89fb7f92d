"""Everything that training changes; it can be saved in a checkpoint and restored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor

from latentkit.config import TrainingOptions
from latentkit.training.average import WeightAverage
from latentkit.training.optimisation import make_optimizer, set_learning_rate

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
        self.model.load_state_dict(_group(tensors, "model"))
        _load_optimizer(self.optimizer, tensors)
        if self.average is not None:
            self.average.load(_group(tensors, "average"))
        self.best = _group(tensors, "best") or None


def _group(tensors: Mapping[str, Tensor], name: str) -> Weights:
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
    for key, value in _group(tensors, "optimizer").items():
        number, name = key.split(".", 1)
        parameter = parameters[int(number)]
        if value.shape == parameter.shape:
            # Fused kernels pair parameter and state in memory order: the layouts must agree.
            value = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
        state.setdefault(int(number), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": groups})
