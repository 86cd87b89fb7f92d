"""The backward pass of a batch that several processes share, and the sum of their gradients.

Large gradients are sent while the backward pass goes on, each as soon as it is there and without a
copy. Small ones follow at its end in one message, with the terms of the loss. Messages begin in a
fixed order, the parameters from last to first, because all processes have to send the same at the
same time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce

import torch
from torch import Tensor, nn

from latentkit.training import stopping
from latentkit.training.processes import Processes, Share

_LARGE = 2**16  # values from which on a gradient is a message of its own


class SummedGradients:
    """Gradients of whole batches, of which each process has a share.

    Args:
        processes: those that share each batch.
        model: the network, on its device.
    """

    def __init__(self, processes: Processes, model: nn.Module) -> None:
        self._processes = processes
        self._parameters = list(model.parameters())
        self._large = [p for p in reversed(self._parameters) if p.numel() >= _LARGE]
        self._small = [p for p in self._parameters if p.numel() < _LARGE]
        self._strides = {p: _strides(p) for p in self._parameters}
        self._ready: set[nn.Parameter] = set()
        self._waits: list[Callable[[], None]] = []
        self.stops = torch.zeros(())
        """Number of processes that are asked to stop, since the last `backward`."""

    def backward(self, terms: Mapping[str, Tensor], share: Share) -> dict[str, Tensor]:
        """Set the gradients of the whole batch, and return the terms of its loss.

        Args:
            terms: the terms of the loss of this process's share.
            share: its share of the batch.
        """
        self._ready.clear()
        self._waits.clear()
        hooks = [
            p.register_post_accumulate_grad_hook(self._send_ready)  # type: ignore[no-untyped-call]
            for p in self._large
            if p.requires_grad
        ]
        try:
            torch.autograd.backward(terms["loss"] * share.weight)
        finally:
            for hook in hooks:
                hook.remove()
        with torch.no_grad():
            found = self._sum_rest({name: one.detach() for name, one in terms.items()}, share)
        self._waits.clear()
        return found

    def _send_ready(self, parameter: nn.Parameter) -> None:
        """Note that a gradient is there, and send those of which all earlier ones are sent."""
        self._ready.add(parameter)
        for following in self._large[len(self._waits) :]:
            if following not in self._ready:
                return
            self._send(following)

    @torch.no_grad()
    def _send(self, parameter: nn.Parameter) -> None:
        known, strides = parameter.grad, self._strides[parameter]
        if known is None or known.stride() != strides:  # unused here, or its memory has gaps
            gradient = torch.empty_strided(
                parameter.shape, strides, dtype=parameter.dtype, device=parameter.device
            )
            parameter.grad = gradient.zero_() if known is None else gradient.copy_(known)
        assert parameter.grad is not None  # noqa: S101  # for the type checker
        in_memory = parameter.grad.as_strided((parameter.numel(),), (1,))
        self._waits.append(self._processes.summing(in_memory))

    def _sum_rest(self, terms: Mapping[str, Tensor], share: Share) -> dict[str, Tensor]:
        """Sum what was not sent yet: gradients, whether each parameter was used, and terms."""
        used = [parameter.grad is not None for parameter in self._parameters]
        for parameter in self._large[len(self._waits) :]:
            self._send(parameter)
        sizes = [parameter.numel() for parameter in self._small]
        buffer = self._parameters[0].new_zeros(
            sum(sizes) + len(used) + len(terms) + 1,
            dtype=reduce(torch.promote_types, {p.dtype for p in self._parameters}, torch.float32),
        )
        *parts, flags, values, stops = torch.split(buffer, [*sizes, len(used), len(terms), 1])
        for parameter, part in zip(self._small, parts, strict=True):
            if parameter.grad is not None:
                self._shaped(part, parameter).copy_(parameter.grad)
        flags.copy_(torch.tensor(used))
        values.copy_(torch.stack([one.to(torch.float64) for one in terms.values()]) * share.weight)
        stops.fill_(stopping.is_asked())
        self._processes.sum_(buffer)
        self.stops = stops
        for parameter, part in zip(self._small, parts, strict=True):
            parameter.grad = self._shaped(part, parameter).to(parameter.dtype)
        for wait in self._waits:
            wait()
        if not all(used):  # here; another process may have used them
            for parameter, count in zip(self._parameters, flags.tolist(), strict=True):
                if not count:
                    parameter.grad = None
        return dict(zip(terms, values.unbind(), strict=True))

    def _shaped(self, part: Tensor, parameter: nn.Parameter) -> Tensor:
        """Return a part of a buffer with the shape and the order in memory of a parameter.

        Fused optimisers pair gradient and parameter in the order of memory.
        """
        return part.as_strided(parameter.shape, self._strides[parameter], part.storage_offset())


def _strides(parameter: Tensor) -> tuple[int, ...]:
    """Return the strides of a parameter, or if its memory has gaps, those without them."""
    return torch.empty_like(parameter, device="meta").stride()
