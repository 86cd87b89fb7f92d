"""Training steps that a GPU runs as one CUDA graph.

A step of a small network runs some hundred kernels of a few microseconds each. Python needs several
times as long to launch them one by one. A graph holds all kernels and is launched at once. It
repeats the step that was captured, so the model must declare that all its steps are alike:
`latentkit.plugin.protocols.is_capturable`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

_BEFORE_CAPTURE = 3  # in these steps, torch and its libraries do set-up that a capture forbids

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
            take: function that takes a step, from inputs, targets and the step's number, and
                returns the loss terms before the weights change.
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
