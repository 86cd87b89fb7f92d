"""Loss terms of an epoch: their means, and the first step with NaN or infinity."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from latentkit.errors import DivergedError


class LossMeter:
    """Collector of the loss terms of every batch.

    Terms stay on the device because each copy to the CPU waits for the device. Only `check` and
    `means` copy them.
    """

    def __init__(self, first_step: int = 0) -> None:
        self._first_step = first_step
        self._names: tuple[str, ...] = ()
        self._rows: list[Tensor] = []
        self._counts: list[int] = []
        self._checked = 0

    def add(self, terms: Mapping[str, Tensor], count: int) -> None:
        """Add the terms of a batch of ``count`` images."""
        self._names = tuple(terms)
        self._rows.append(torch.stack([value.detach().float() for value in terms.values()]))
        self._counts.append(count)

    def check(self) -> None:
        """Check the batches since the last check.

        Raises:
            DivergedError: a term is NaN or infinite; the message names the first such step and
                its terms.
        """
        if self._checked == len(self._rows):
            return
        wrong = ~torch.stack(self._rows[self._checked :]).isfinite().cpu()
        if wrong.any():
            row = int(wrong.any(1).nonzero()[0])
            terms = [
                name for name, is_wrong in zip(self._names, wrong[row], strict=True) if is_wrong
            ]
            raise DivergedError(
                f"training diverged at step {self._first_step + self._checked + row + 1}: "
                f"{' and '.join(terms)} became NaN or infinite; lower training.learning_rate, or "
                f"set training.precision=float32"
            )
        self._checked = len(self._rows)

    def means(self) -> dict[str, float]:
        """Run `check`, and return the mean of each term over all images."""
        self.check()
        counts = torch.tensor(self._counts, dtype=torch.float64)
        rows = torch.stack(self._rows).cpu().double()
        means = (rows * counts[:, None]).sum(0) / counts.sum()
        return dict(zip(self._names, means.tolist(), strict=True))
