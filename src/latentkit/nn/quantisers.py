"""Quantisers: each replaces a vector by one of finitely many, and names it by an integer, its code.

A vector is a position's share of the latents. Gradients pass a quantiser as if it were not there
(the straight-through estimate of Y. Bengio et al. 2013).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit.nn.layers import at_least_float32, whole_batch

_ROUNDS = 20  # of k-means
_MOST_VECTORS = 2**15  # that k-means is fitted on
_CODES_AT_ONCE = 512  # that vectors are compared with, to limit the memory


class Quantised(NamedTuple):
    """Vectors after quantisation.

    Args:
        vectors: (..., D), float32; their gradient is passed to what was quantised.
        codes: (...), int64, which of the possible vectors each one is.
    """

    vectors: Tensor
    codes: Tensor


def code_shares(codes: Tensor, n_codes: int) -> Tensor:
    """Return how often each code occurs, as a share of all, (n_codes,) in float32."""
    # By sorting, because counting on a GPU waits for the CPU, or is not deterministic.
    every = torch.arange(n_codes + 1, device=codes.device)
    counts = torch.searchsorted(codes.detach().flatten().sort().values, every).diff()
    return counts / codes.numel()


def perplexity(shares: Tensor) -> Tensor:
    """Return the exponential of the entropy of shares (K,): K if all codes are equally frequent."""
    return (-(shares * shares.clamp(min=1e-12).log()).sum()).exp()


class _Batch(NamedTuple):
    """What a batch says about a codebook of K vectors.

    Args:
        usage: (K,), share of the batch's vectors that each code replaces.
        sums: (K, D), sum of these vectors, divided by the number of the batch's vectors.
        candidates: (K, D), vectors of the batch, drawn at random.
    """

    usage: Tensor
    sums: Tensor
    candidates: Tensor


class VectorQuantiser(nn.Module):
    """Codebook of vectors: each vector is replaced by the nearest of the codebook.

    A codebook's vector is the moving mean of what it replaces (A. van den Oord, O. Vinyals, K.
    Kavukcuoglu, NeurIPS 2017, appendix A.1), so no loss trains it. `forward` records a batch in
    training mode, and `update` changes the codebook; call it after the optimiser's step. A code
    that is hardly used restarts at a random vector of the last batch (P. Dhariwal et al. 2020).

    Args:
        n_codes: number of vectors in the codebook.
        width: number of dimensions of a vector.
        decay: share of the moving means that each update keeps.
        restart: a code restarts if its moving share of all vectors is below this, as a share of
            what it would be if all codes were equally frequent; 0 restarts none.
    """

    codebook: Tensor
    usage: Tensor

    def __init__(self, n_codes: int, width: int, decay: float, restart: float) -> None:
        super().__init__()
        self.n_codes = n_codes
        self.width = width
        self.decay = decay
        self.restart = restart
        codebook = nn.init.normal_(torch.empty(n_codes, width))
        self.register_buffer("codebook", codebook)
        self.register_buffer("usage", torch.full((n_codes,), 1 / n_codes))
        # Every batch sets it before `update` reads it, so it is no part of the state.
        self._batch: _Batch | None = None

    def forward(self, vectors: Tensor) -> Quantised:
        """Quantise vectors (..., width)."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = at_least_float32(vectors)
            codes = nearest_codes(vectors, self.codebook)
            if self.training:
                every = whole_batch(vectors.detach()), whole_batch(codes)
                self._record(every[0].reshape(-1, self.width), every[1].flatten())
            found = functional.embedding(codes, self.codebook)
            if torch.is_grad_enabled():
                found = vectors + (found - vectors).detach()
            return Quantised(found, codes)

    @torch.no_grad()
    def _record(self, vectors: Tensor, codes: Tensor) -> None:
        # A product, because adding by index is not deterministic on GPUs.
        usage, sums = [], []
        for some in torch.split(torch.arange(self.n_codes, device=codes.device), _CODES_AT_ONCE):
            member = (codes[:, None] == some).to(vectors.dtype) / len(vectors)
            usage.append(member.sum(0))
            sums.append(member.T @ vectors)
        # As one row, so that several processes never take the draws for one an image.
        rows = torch.randint(len(vectors), (1, self.n_codes), device=vectors.device)[0]
        found = _Batch(torch.cat(usage), torch.cat(sums), vectors[rows])
        if self._batch is None or self._batch.usage.device != vectors.device:
            self._batch = found
        else:  # in place, because a captured step writes to the same memory each time
            for kept, new in zip(self._batch, found, strict=True):
                kept.copy_(new)

    @torch.no_grad()
    def update(self) -> None:
        """Move the codebook towards the last batch of `forward` in training mode, in place."""
        if self._batch is None:
            return
        batch, new = self._batch, 1 - self.decay
        shares = self.decay * self.usage + new * batch.usage
        sums = (self.decay * self.usage)[:, None] * self.codebook + new * batch.sums
        means = torch.where(shares[:, None] > 0, sums / shares[:, None], self.codebook)
        dead = shares < self.restart / self.n_codes
        self.codebook.copy_(torch.where(dead[:, None], batch.candidates, means))
        self.usage.copy_(torch.where(dead, 1 / self.n_codes, shares))

    @torch.no_grad()
    def start(self, batches: Iterable[Tensor]) -> None:
        """Set the codebook to k-means centres of vectors (..., width), always from the same draws.

        Args:
            batches: vectors; 2^15 of them are drawn at random.
        """
        vectors = torch.cat([batch.float().reshape(-1, self.width) for batch in batches])
        generator = torch.Generator().manual_seed(0)
        order = torch.randperm(len(vectors), generator=generator)[:_MOST_VECTORS]
        vectors = vectors[order.to(vectors.device)]
        centres = vectors[: self.n_codes]
        missing = self.n_codes - len(centres)  # vectors of no image, which will be restarted
        centres = torch.cat([centres, self.codebook[:missing]])
        for _ in range(_ROUNDS):
            codes = nearest_codes(vectors, centres)
            counts = code_shares(codes, self.n_codes)[:, None] * len(codes)
            sums = torch.zeros_like(centres).index_add_(0, codes, vectors)
            centres = torch.where(counts > 0, sums / counts.clamp(min=1), centres)
        self.codebook.copy_(centres)
        self.usage.fill_(1 / self.n_codes)


def nearest_codes(vectors: Tensor, codebook: Tensor) -> Tensor:
    """Return the row of the codebook (K, D) that is nearest to each vector (..., D), int64."""
    distances, codes = [], []
    for number, some in enumerate(torch.split(codebook, _CODES_AT_ONCE)):
        found = (some.square().sum(1) - 2 * vectors @ some.T).min(-1)
        distances.append(found.values)
        codes.append(found.indices + number * _CODES_AT_ONCE)
    if len(codes) == 1:
        return codes[0]
    nearest = torch.stack(distances, -1).argmin(-1, keepdim=True)
    return torch.stack(codes, -1).gather(-1, nearest).squeeze(-1)


class ScalarQuantiser(nn.Module):
    """Finite scalar quantisation: each value of a vector is replaced by one of a few levels.

    There is no codebook to train (F. Mentzer et al., ICLR 2024). A value is squashed by tanh, and
    the range is cut into intervals of equal length. Its level is the middle of its interval, mapped
    back by atanh: so levels are in the units of the values, and suit values of unit variance.

    Args:
        levels: number of levels of each value of a vector; their product is the number of codes.
    """

    levels: Tensor
    bases: Tensor
    starts: Tensor
    table: Tensor

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.width = len(levels)
        self.n_codes = math.prod(levels)
        bases = [math.prod(levels[:place]) for place in range(len(levels))]
        starts = [sum(levels[:place]) for place in range(len(levels))]
        middles = [(2 * level + 1) / count - 1 for count in levels for level in range(count)]
        values = [_SPREAD * math.atanh(middle) for middle in middles]
        self.register_buffer("levels", torch.tensor([float(n) for n in levels]), persistent=False)
        self.register_buffer("bases", torch.tensor(bases), persistent=False)
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.register_buffer("table", torch.tensor(values), persistent=False)

    def forward(self, vectors: Tensor) -> Quantised:
        """Quantise vectors (..., width)."""
        with torch.autocast(vectors.device.type, enabled=False):
            vectors = at_least_float32(vectors)
            level = ((vectors / _SPREAD).tanh() + 1) / 2 * self.levels
            level = torch.minimum(level.floor().clamp(min=0), self.levels - 1)
            level = level.nan_to_num(0.0).long()  # the vector itself makes the loss NaN
            # A table, because atanh of equal numbers may differ in the last digit.
            found = self.table[self.starts + level]
            if torch.is_grad_enabled():  # as of tanh, then atanh at the middle of the interval
                slope = (found.detach() / _SPREAD).cosh() / (vectors.detach() / _SPREAD).cosh()
                found = found + slope.square() * (vectors - vectors.detach())
            return Quantised(found, (level * self.bases).sum(-1))


_SPREAD = 1.8  # with it, 8 or 16 levels are near the best ones for a standard normal distribution
