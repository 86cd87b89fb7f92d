"""Optimiser, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math
from collections.abc import Sequence
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
