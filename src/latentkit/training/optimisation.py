"""Optimiser, and the learning rate as a pure function of the step."""

from __future__ import annotations

import math

import torch
from torch import nn

from latentkit.config import TrainingOptions

_WARM_UP = 0.3  # share of all steps in which one-cycle rises
_START = 1 / 25  # of the peak, where one-cycle begins
_END = 1e-4  # of the start, where one-cycle ends


def make_optimizer(
    model: nn.Module, options: TrainingOptions, device: torch.device
) -> torch.optim.Optimizer:
    """Return the optimiser; fused where torch has fused kernels for the device."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    fused = device.type in ("cpu", "cuda")
    betas = (0.9, options.beta2)
    if options.optimizer == "adamw":
        return torch.optim.AdamW(
            parameters,
            options.learning_rate,
            betas=betas,
            weight_decay=options.weight_decay,
            fused=fused,
        )
    return torch.optim.Adam(parameters, options.learning_rate, betas=betas, fused=fused)


def learning_rate(options: TrainingOptions, step: int, steps: int) -> float:
    """Return the learning rate of a step.

    Args:
        options: names the schedule and its peak.
        step: from 0.
        steps: of the whole training.

    Returns:
        ``constant``: the peak. ``cosine``: from the peak to 0 on half a cosine. ``one-cycle``
        (Smith & Topin 2018, with cosines as in fastai): from 1/25 of the peak up in 30 % of the
        steps, then down to 1/250,000 of it.
    """
    peak = options.learning_rate
    if options.schedule == "constant":
        return peak
    along = step / max(1, steps - 1)
    if options.schedule == "cosine":
        return _cosine(peak, 0.0, step / steps)
    if along < _WARM_UP:
        return _cosine(peak * _START, peak, along / _WARM_UP)
    return _cosine(peak, peak * _START * _END, (along - _WARM_UP) / (1 - _WARM_UP))


def _cosine(start: float, end: float, along: float) -> float:
    """Go from ``start`` to ``end`` on half a cosine; ``along`` runs from 0 to 1."""
    return end + (start - end) * (1 + math.cos(math.pi * along)) / 2
