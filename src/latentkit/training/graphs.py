"""Steps that a GPU is given as one CUDA graph.

The step of a small network is some hundred kernels of a few microseconds each, and launching them
one after the other takes Python several times as long as they run. A graph holds them all and is
launched at once. It computes what the step computed that was captured, so the model must say that
all its steps are alike: `latentkit.plugin.protocols.is_capturable`.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

_BEFORE_CAPTURE = 3  # steps in which torch and its libraries set up what a capture may not

Take = Callable[[Tensor, Tensor, int], Mapping[str, Tensor]]


class CaptureError(Exception):
    """A step could not be captured."""


class _Captured(NamedTuple):
    """A graph, the memory that it reads, and the memory that it leaves the loss terms in."""

    graph: torch.cuda.CUDAGraph
    inputs: Tensor
    targets: Tensor
    terms: Mapping[str, Tensor]


class ReplayedStep:
    """Takes some steps as they come, captures one, and replays it from then on.

    Inputs and targets must keep their shapes. Random numbers are drawn anew in each replay, as far
    as they come from torch's global random state.
    """

    def __init__(self) -> None:
        self._stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        self.forget()

    def forget(self) -> None:
        """Begin anew: the steps to come are not like those before."""
        self._captured: _Captured | None = None
        self._taken = 0

    def __call__(
        self, take: Take, inputs: Tensor, targets: Tensor, step: int
    ) -> Mapping[str, Tensor]:
        """Take a step; returns the loss terms before it, which the next call overwrites.

        Args:
            take: takes a step: inputs, targets and its number to loss terms.
            inputs: on the GPU.
            targets: on the GPU.
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
        """Take a step on the stream of the capture to come."""
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
            # torch leaves its stream and its random state as they are in a capture.
            torch.cuda.set_stream(current)
            with self._capturing(torch.cuda.CUDAGraph()):
                torch.empty(1, device=inputs.device).zero_()
            # What ended the capture; what ending it raised says only that it was ended.
            reason = str(error.__context__ or error).partition("\n")[0]
        else:
            return _Captured(graph, *given, terms)
        gc.collect()  # the pass that failed, whose nodes would hold on to their stream
        raise CaptureError(reason)

    def _capturing(self, graph: torch.cuda.CUDAGraph) -> torch.cuda.graph:
        # Other threads of the process may go on with what they do on the GPU.
        return torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local")
