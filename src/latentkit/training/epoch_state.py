"""What an epoch changes besides model and optimiser: its random streams and the terms of its loss.

A checkpoint within an epoch saves them. Between epochs, nothing of them is needed, because all
that is random in an epoch is a function of seed and epoch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Generator, Tensor

from latentkit.data.batches import noise_generator
from latentkit.errors import DivergedError
from latentkit.plugin.seeds import stream_seed
from latentkit.training.processes import Processes


class EpochStreams:
    """The random streams of an epoch of training.

    Args:
        seed: the run's seed.
        epoch: number of the epoch.
        device: the model's device.
    """

    def __init__(self, seed: int, epoch: int, device: torch.device) -> None:
        torch.manual_seed(stream_seed(seed, "train", epoch))  # for what the model itself draws
        self.noise = noise_generator(device, seed, "train", epoch)
        self.moves = noise_generator(device, seed, "augmentation", epoch)
        self._backend = getattr(torch, device.type) if device.type in ("cuda", "mps") else None

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of all streams."""
        found = {"model": torch.get_rng_state(), **{k: g.get_state() for k, g in self._own()}}
        return found if self._backend is None else found | {"device": self._backend.get_rng_state()}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Restore the state that `tensors` returned."""
        torch.set_rng_state(tensors["model"].cpu())
        for name, generator in self._own():
            generator.set_state(tensors[name].cpu())
        if self._backend is not None and "device" in tensors:
            self._backend.set_rng_state(tensors["device"].cpu())

    def _own(self) -> tuple[tuple[str, Generator], ...]:
        return ("noise", self.noise), ("moves", self.moves)


class LossMeter:
    """Collector of the loss terms of every batch.

    Terms stay on the device because each copy to the CPU waits for the device. Only `check` and
    `means` copy them, each batch once.
    """

    def __init__(self, first_step: int = 0) -> None:
        self._first_step = first_step
        self.names: tuple[str, ...] = ()
        self._new: list[tuple[Tensor, float]] = []
        self._weighted: Tensor | None = None
        self._steps = 0
        self._images = 0.0

    def add(self, terms: Mapping[str, Tensor], count: float) -> None:
        """Add the terms of a batch of ``count`` images."""
        self.names = tuple(terms)
        row = torch.stack([value.detach().float() for value in terms.values()])
        self._new.append((row, count))

    def check(self) -> None:
        """Check the batches since the last check.

        Raises:
            DivergedError: a term is NaN or infinite; the message names the first such step and
                its terms.
        """
        if not self._new:
            return
        rows = torch.stack([row for row, _ in self._new]).cpu()
        wrong = ~rows.isfinite()
        if wrong.any():
            row = int(wrong.any(1).nonzero()[0])
            terms = [
                name for name, is_wrong in zip(self.names, wrong[row], strict=True) if is_wrong
            ]
            raise DivergedError(
                f"training diverged at step {self._first_step + self._steps + row + 1}: "
                f"{' and '.join(terms)} became NaN or infinite, and would again; start another "
                f"run with a lower training.learning_rate, with training.clip_norm=1, or with "
                f"training.precision=float32"
            )
        counts = torch.tensor([count for _, count in self._new], dtype=torch.float64)
        weighted = rows.double() * counts[:, None]
        known = self._weighted
        self._weighted = weighted if known is None else torch.cat([known, weighted])
        self._steps += len(self._new)
        self._images += float(counts.sum())
        self._new = []

    def means(self, processes: Processes | None = None) -> dict[str, float]:
        """Run `check`, and return the mean of each term over all images.

        It sums all batches at once. A running sum would round differently, so the means would
        depend on when progress is reported.

        Args:
            processes: those that have the other images of each batch; None if there are none.
        """
        self.check()
        assert self._weighted is not None  # noqa: S101  # an epoch has a batch
        sums = torch.cat([self._weighted.sum(0), torch.tensor([self._images]).double()])
        if processes is not None:
            processes.sum_(sums)
        means = sums[:-1] / sums[-1]
        return dict(zip(self.names, means.tolist(), strict=True))

    def tensors(self) -> dict[str, Tensor]:
        """Run `check`, and return what was collected."""
        self.check()
        assert self._weighted is not None  # noqa: S101  # a checkpoint follows a batch
        return {"terms": self._weighted, "images": torch.tensor([self._images]).double()}

    def load(self, tensors: Mapping[str, Tensor], names: Sequence[str]) -> None:
        """Restore what `tensors` returned, given the names of the terms."""
        self.names = tuple(names)
        self._weighted = tensors["terms"].cpu()
        self._images, self._steps = float(tensors["images"]), len(self._weighted)
