"""Spread of the latents on the evaluation card, and whether the encoder collapsed.

An encoder collapsed if it gives nearly the same latents for all images, or if they lie on a line.
Self-supervised training may end so, with a small loss. Three figures of the test latents show it:

- the effective rank (O. Roy, M. Vetterli 2007): the exponential of the entropy of the singular
  values, divided by their sum. RankMe (Q. Garrido et al. 2023) is that of latents as they are. Here
  the latents are centred first, because what all images share tells none of them apart;
- the spread of directions (X. Chen, K. He 2021): the standard deviation of each dimension of the
  latents divided by their length, averaged over the dimensions, times the root of their number. It
  is 1 if all directions are equally frequent, and 0 if there is only one;
- the relative spread: the root of the total variance over the root of the mean squared length. It
  is 1 for centred latents, and 0 for one point. One dimension has no directions, but a spread.

A projector between latents and loss may collapse alone: the loss is then small, and the encoder
learns nothing. A model whose loss has a term ``projection_spread`` shows that.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import unexpected_content
from latentkit.evaluation.measuring import MOST_TEST, Json, MeasuringHarness
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder

_ROWS = 4096
_TERM = "projection_spread"
_ROUNDING = 1e-7  # share of the largest value below which float32 has only rounding errors


def latent_spread(harness: MeasuringHarness, folder: RunFolder) -> Json:
    """Measure the effective rank and the spread of the test latents of the run in ``folder``."""
    latents = harness.latents["test"]
    what = "the spread of latents is measured on"
    rows = harness.drawn(what, "test", len(latents), MOST_TEST, "")
    measured = latents if rows is None else latents[rows]
    return {
        "latents": {
            "n_images": len(measured),
            **spread_of(measured),
            **_spread_in_loss(folder),
        }
    }


def _spread_in_loss(folder: RunFolder) -> dict[str, float]:
    """Return the loss term ``projection_spread`` of the validation images, if the model has it."""
    with unexpected_content(folder.path / run_files.HISTORY):
        history = folder.json(run_files.HISTORY)
        kept = [one for one in history["epochs"] if one["epoch"] == history["weights_epoch"]]
        found = kept[0]["validation"].get(_TERM) if kept else None
        return {} if found is None else {_TERM: float(found)}


def spread_of(latents: NDArray[np.float32]) -> dict[str, float]:
    """Return effective rank, spread of directions and relative spread of latents (N, D).

    All three are 0 if the latents are all equal.
    """
    n, d = latents.shape
    mean = latents.mean(0, dtype=np.float64)
    scatter, direction, squares = np.zeros((d, d)), np.zeros((2, d)), 0.0
    for start in range(0, n, _ROWS):
        part = latents[start : start + _ROWS].astype(np.float64)
        lengths = np.linalg.norm(part, axis=1, keepdims=True)
        unit = np.divide(part, lengths, out=np.zeros_like(part), where=lengths > 0)
        direction += np.stack([unit.sum(0), np.square(unit).sum(0)])
        squares += float(np.square(lengths).sum())
        part -= mean
        scatter += part.T @ part
    if float(scatter.trace()) <= _ROUNDING**2 * squares:
        return {"effective_rank": 0.0, "direction_spread": 0.0, "relative_spread": 0.0}
    first, second = direction / n
    deviations = np.sqrt(np.maximum(second - first**2, 0))
    return {
        "effective_rank": _effective_rank(scatter),
        "direction_spread": float(deviations.mean() * math.sqrt(d)),
        "relative_spread": math.sqrt(float(scatter.trace()) / squares),
    }


def _effective_rank(scatter: NDArray[np.float64]) -> float:
    """Return the effective rank of centred latents from their scatter matrix (D, D)."""
    singular = np.sqrt(np.maximum(np.linalg.eigvalsh(scatter), 0))
    kept = singular[singular > _ROUNDING * singular.max()]
    shares = kept / kept.sum()
    return float(np.exp(-(shares * np.log(shares)).sum()))
