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
    """Takes the steps of a training; on CUDA it replays them where the model may be captured.

    Args:
        state: model and optimiser.
        options: of the training, with ``batch_size`` as a number.
        precision: of the forward and backward pass.
        device: where the model is.
        tell: hears when steps cannot be replayed.
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
        """Look at what the model has in training: a graph is of one choice of layers only."""
        if self._replayed is None:
            return
        model: nn.Module = self._state.model
        modes = [module.training for module in model.modules()]
        modes += [parameter.requires_grad for parameter in model.parameters()]
        if modes != self._modes:
            self._replayed.forget()
        self._modes = modes

    def take(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor]:
        """Take the step of that number; returns the loss terms before it, until the next call."""
        terms = self._replay(inputs, targets, step)
        if terms is None:
            terms = self._take(inputs, targets, step)
        if self._state.average is not None:
            self._state.average.update(step)
        return terms

    def _replay(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor] | None:
        """Replay a step, where it is one like the others; returns its terms, else None."""
        if self._replayed is None or step < self._settled or len(inputs) != self._full:
            return None
        try:
            return self._replayed(self._take, inputs, targets, step)
        except CaptureError as error:
            self._replayed = None
            self._tell(
                Notice(
                    "not-captured",
                    f"{type(self._state.model).__name__} says that it is capturable, and no CUDA "
                    f"graph of its step can be had: {error}; training goes on without, more slowly",
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
        # What held on to the pass would hold on to its stream too.
        return {name: value.detach() for name, value in terms.items()}


def loss_terms(model: Any, inputs: Tensor, targets: Tensor, step: int) -> dict[str, Any]:
    """Return the terms of a model's loss.

    Raises:
        PluginError: the loss failed, or is not what it should be.
    """
    with fault_of("the model's loss failed"):
        given = model.loss(inputs, targets, step=step)
        if not isinstance(given, Mapping):
            raise TypeError(f"it gives a {type(given).__name__}, expected a mapping with 'loss'")
        terms = dict(given)
        if terms["loss"].ndim:
            raise ValueError(f"'loss' has shape {tuple(terms['loss'].shape)}, expected a scalar")
    return terms
