"""One optimiser step, and its replay as a CUDA graph.

A step of a small network runs some hundred kernels of a few microseconds each. Python needs several
times as long to launch them one by one. A graph holds all kernels and is launched at once. It
repeats the step that was captured, so the model must declare that all its steps are alike:
`latentkit.plugin.protocols.is_capturable`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from latentkit.config import TrainingOptions
from latentkit.plugin.events import Listener, Notice
from latentkit.plugin.protocols import HasAfterStep, is_capturable, provides
from latentkit.registry.options import fault_of
from latentkit.training import stopping
from latentkit.training.device import Precision, take_step
from latentkit.training.processes import Processes, Share
from latentkit.training.shared_batch import sharing
from latentkit.training.state import TrainingState
from latentkit.training.summed_gradients import SummedGradients

_BEFORE_CAPTURE = 3  # in these steps, torch and its libraries do set-up that a capture forbids

_STEPS_BETWEEN_LOOKS = 16

Take = Callable[[Tensor, Tensor, int], Mapping[str, Tensor]]


class CaptureError(Exception):
    """A step could not be captured."""


class _Captured(NamedTuple):
    """A graph, the tensors that it reads, and the loss terms that it writes."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    targets: Tensor
    terms: Mapping[str, Tensor]


class ReplayedStep:
    """Training step that is captured after a few normal steps and replayed from then on.

    Inputs and targets must keep their shapes. Each replay draws new random numbers if they come
    from torch's global random state.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.forget()

    def forget(self) -> None:
        """Discard the captured step, because the next steps are different."""
        self._captured: _Captured | None = None
        self._taken = 0

    def __call__(
        self, take: Take, inputs: Tensor, targets: Tensor, step: int
    ) -> Mapping[str, Tensor]:
        """Take a step and return its loss terms, which the next call overwrites.

        Args:
            take: function that trains for one step, given inputs, targets and the step's number.
                It returns the loss terms, computed with the weights from before the step.
            inputs: inputs, on the GPU.
            targets: targets, on the GPU.
            step: number of the step.

        Raises:
            CaptureError: the step cannot be captured; it has not been taken.
        """
        if self._taken < _BEFORE_CAPTURE:
            self._taken += 1
            return self._take_aside(take, inputs, targets, step)
        if self._captured is None:
            self._captured = self._capture(take, inputs, targets, step)
        self._captured.inputs.copy_(inputs)
        self._captured.targets.copy_(targets)
        self._captured.graph.replay()
        return self._captured.terms

    def _take_aside(
        self, take: Take, inputs: Tensor, targets: Tensor, step: int
    ) -> Mapping[str, Tensor]:
        """Take a step on the stream that the capture will use."""
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            terms = take(inputs, targets, step)
        current.wait_stream(self._stream)
        return terms

    def _capture(self, take: Take, inputs: Tensor, targets: Tensor, step: int) -> _Captured:
        graph = torch.cuda.CUDAGraph()
        given = torch.empty_like(inputs), torch.empty_like(targets)
        current = torch.cuda.current_stream()
        try:
            with self._capturing(graph):
                terms = take(*given, step)
        except Exception as error:
            # After a failed capture, torch's stream and random state are still in capture mode. Set
            # the stream back, and capture something trivial to reset the random state.
            torch.cuda.set_stream(current)
            with self._capturing(torch.cuda.CUDAGraph()):
                torch.empty(1, device=inputs.device).zero_()
            # The context is the cause; the error itself only says that the capture failed.
            reason = str(error.__context__ or error).partition("\n")[0]
        else:
            return _Captured(graph, *given, terms)
        gc.collect()  # free the failed pass, because its autograd nodes keep their stream
        raise CaptureError(reason)

    def _capturing(self, graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
        # thread_local: other threads of the process may use the GPU during the capture.
        return torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")


class Steps:
    """Steps of a training. On CUDA, they are replayed if the model is capturable.

    Args:
        state: model and optimiser.
        options: training options, with ``batch_size`` as a number.
        precision: precision of the forward and backward pass.
        device: the model's device.
        emit: receives a notice if steps cannot be replayed.
        steps: number of steps of the whole training.
        processes: those that share each batch; None for one process.
    """

    def __init__(
        self,
        state: TrainingState,
        options: TrainingOptions,
        precision: Precision,
        device: torch.device,
        emit: Listener,
        steps: int,
        processes: Processes | None = None,
    ) -> None:
        self._state = state
        self._options = options
        self._precision = precision
        self._emit = emit
        self._full = int(options.batch_size)
        self._settled = int(getattr(state.model, "warm_up_steps", 0))
        self._processes = processes
        self._sum = None if processes is None else SummedGradients(processes, state.model)
        capturable = device.type == "cuda" and is_capturable(state.model) and processes is None
        self._replayed = ReplayedStep() if capturable else None
        self._modes: list[bool] = []
        self._after = state.model.after_step if provides(state.model, HasAfterStep) else None
        self._steps = steps

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

    def take(
        self, inputs: Tensor, targets: Tensor, step: int, share: Share | None = None
    ) -> Mapping[str, Tensor]:
        """Take step number ``step`` and return its loss terms, valid until the next call.

        With several processes, ``inputs`` and ``targets`` are this one's ``share`` of the batch,
        and the terms are those of the whole batch.
        """
        terms = self._replay(inputs, targets, step)
        if terms is None:
            terms = self._take(inputs, targets, step, share)
        if self._after is not None:
            with torch.no_grad(), fault_of("the model's after_step failed"):
                self._after(step, self._steps)
        if self._state.average is not None:
            self._state.average.update(step)
        return terms

    def should_stop(self, step: int) -> bool:
        """Return whether this process, or one that shares the step, is asked to stop after it."""
        if self._sum is None:
            return stopping.is_asked()
        if self._sum.stops.device.type != "cpu" and step % _STEPS_BETWEEN_LOOKS:
            return False  # a look waits for the device
        return bool(self._sum.stops.item())

    def _replay(self, inputs: Tensor, targets: Tensor, step: int) -> Mapping[str, Tensor] | None:
        """Replay a step and return its terms, or return None if it cannot be replayed."""
        if self._replayed is None or step < self._settled or len(inputs) != self._full:
            return None
        try:
            return self._replayed(self._take, inputs, targets, step)
        except CaptureError as error:
            self._replayed = None
            self._emit(
                Notice(
                    "not-captured",
                    f"{type(self._state.model).__name__} declares that it is capturable, but its "
                    f"step fails as a CUDA graph: {error}; training continues more slowly, without "
                    f"the graph",
                )
            )
            return None

    def _take(
        self, inputs: Tensor, targets: Tensor, step: int, share: Share | None = None
    ) -> Mapping[str, Tensor]:
        model, optimizer = self._state.model, self._state.optimizer
        optimizer.zero_grad(set_to_none=True)
        mixed = self._precision == "bfloat16"
        with (
            torch.autocast(inputs.device.type, torch.bfloat16, enabled=mixed),
            sharing(self._processes, share),
        ):
            terms = loss_terms(model, inputs, targets, step)
        if self._sum is not None and share is not None:
            found = self._sum.backward(terms, share)
        else:
            torch.autograd.backward(terms["loss"])
            # Detached, as a term that keeps the pass alive would also keep its CUDA stream.
            found = {name: value.detach() for name, value in terms.items()}
        if self._options.clip_norm:
            nn.utils.clip_grad_norm_(model.parameters(), self._options.clip_norm)
        take_step(optimizer)
        return found


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
