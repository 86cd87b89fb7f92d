"""One optimiser step: loss, gradients, new weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from latentkit.config import TrainingOptions
from latentkit.plugin.events import Listener, Notice
from latentkit.plugin.protocols import is_capturable
from latentkit.registry.targets import fault_of
from latentkit.training.device import Precision
from latentkit.training.graphs import CaptureError, ReplayedStep
from latentkit.training.state import TrainingState
from latentkit.training.uncompiled import take_step


class Steps:
    """Steps of a training. On CUDA, they are replayed if the model is capturable.

    Args:
        state: model and optimiser.
        options: training options, with ``batch_size`` as a number.
        precision: precision of the forward and backward pass.
        device: the model's device.
        tell: receives a notice if steps cannot be replayed.
    """

    def __init__(
        self,
        state: TrainingState,
        options: TrainingOptions,
        precision: Precision,
        device: torch.device,
        tell: Listener,
    ) -> None:
        self._state = state
        self._options = options
        self._precision = precision
        self._tell = tell
        self._full = int(options.batch_size)
        self._settled = int(getattr(state.model, "warm_up_steps", 0))
        capturable = device.type == "cuda" and is_capturable(state.model)
        self._replayed = ReplayedStep() if capturable else None
        self._modes: list[bool] = []

    def begin_epoch(self) -> None:
        """Discard the captured step if other layers train now: a graph fits one choice only."""
        if self._replayed is None:
            return
        model: nn.Module = self._state.model
        modes = [module.training for module in model.modules()]
        modes += [parameter.requires_grad for parameter in model.parameters()]
        if modes != self._modes:
            self._replayed.forget()
        self._modes = modes

    def take(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor]:
        """Take step number ``step`` and return its loss terms, valid until the next call."""
        terms = self._replay(inputs, targets, step)
        if terms is None:
            terms = self._take(inputs, targets, step)
        if self._state.average is not None:
            self._state.average.update(step)
        return terms

    def _replay(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor] | None:
        """Replay a step and return its terms, or return None if it cannot be replayed."""
        if self._replayed is None or step < self._settled or len(inputs) != self._full:
            return None
        try:
            return self._replayed(self._take, inputs, targets, step)
        except CaptureError as error:
            self._replayed = None
            self._tell(
                Notice(
                    "not-captured",
                    f"{type(self._state.model).__name__} declares that it is capturable, but its "
                    f"step fails as a CUDA graph: {error}; training continues without, more slowly",
                )
            )
            return None

    def _take(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor]:
        model, optimizer = self._state.model, self._state.optimizer
        optimizer.zero_grad(set_to_none=True)
        mixed = self._precision == "bfloat16"
        with torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed):
            terms = loss_terms(model, inputs, targets, step)
        torch.autograd.backward(terms["loss"])
        if self._options.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), self._options.clip_norm)
        take_step(optimizer)
        # Detached, because a term that keeps the pass alive would also keep its CUDA stream.
        return {name: value.detach() for name, value in terms.items()}


def loss_terms(model: Any, inputs: Tensor, targets: Tensor, step: int) -> dict[str, Any]:
    """Return the terms of a model's loss.

    Raises:
        PluginError: the loss failed, or is not a mapping with a scalar ``loss``.
    """
    with fault_of("the model's loss failed"):
        given = model.loss(inputs, targets, step=step)
        if not isinstance(given, Mapping):
            raise TypeError(f"it returns a {type(given).__name__}, expected a mapping with 'loss'")
        terms = dict(given)
        if terms["loss"].ndim:
            raise ValueError(f"'loss' has shape {tuple(terms['loss'].shape)}, expected a scalar")
    return terms
