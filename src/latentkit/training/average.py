"""An exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


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
