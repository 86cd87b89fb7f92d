"""Use of the codes on the evaluation card, for models whose latents are vectors of a finite set."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.data.batches import DeviceImages
from latentkit.errors import PluginError
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.measuring import MOST_TEST, Json, MeasuringHarness
from latentkit.registry.options import fault_of


@torch.no_grad()
def codes_of(model: Any, images: DeviceImages) -> NDArray[np.int64]:
    """Return the codes (N, positions) of clean images, in order.

    Args:
        model: a model with `latentkit.plugin.HasCodes`; it is put in eval mode.
        images: N images.

    Raises:
        PluginError: the model fails, or its codes are not what `HasCodes` promises.
    """
    model.eval()
    parts = []
    for batch in images.in_order():
        with fault_of("the model's codes failed"):
            codes = model.codes(batch)
            if codes.ndim != 2 or len(codes) != len(batch) or codes.dtype != torch.int64:
                raise TypeError(
                    f"they are {codes.dtype} {tuple(codes.shape)} for {len(batch)} images, "
                    f"expected int64 (images, positions)"
                )
        parts.append(codes.cpu().numpy())
    found: NDArray[np.int64] = np.concatenate(parts)
    if found.min() < 0 or found.max() >= model.codebook_size:
        raise PluginError(
            f"the model's codes range from {found.min()} to {found.max()}, but its codebook_size "
            f"is {model.codebook_size}"
        )
    return found


def code_usage(harness: MeasuringHarness) -> Json:
    """Measure how many codes the test images use, how evenly, and how many bits an image has."""
    test = harness.test
    rows = harness.drawn("codes are counted on", "test", len(test), MOST_TEST, "")
    codes = codes_of(harness.model, test if rows is None else test.subset(rows))
    draws = Bootstrap(len(codes), harness.seed("codes"))
    size = int(harness.model.codebook_size)
    n_images, positions = codes.shape
    every = _information(codes.reshape(-1, 1)).reshape(codes.shape).mean(1)
    entropy = draws.of_mean(every)
    harness.arrays["code_bits"] = _information(codes).sum(1) / math.log(2)
    counts = np.unique(codes, return_counts=True)[1]
    found = {
        "n_images": n_images,
        "positions": positions,
        "codebook_size": size,
        "codes_used": len(counts),
        "dead_codes": size - len(counts),
        "perplexity": {
            "value": math.exp(entropy.value),
            "standard_error": math.exp(entropy.value) * entropy.standard_error,
            "low": math.exp(entropy.low),
            "high": math.exp(entropy.high),
        },
        "bits_an_image": asdict(draws.of_mean(harness.arrays["code_bits"])),
        "most_bits_an_image": positions * math.log2(size),
    }
    return {"codes": found, "code_counts": np.sort(counts)[::-1].tolist()}


def _information(codes: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return -ln of how frequent each code (N, P) is at its position, (N, P), in nats."""
    found = np.empty(codes.shape)
    for position, column in enumerate(codes.T):
        _, code, counts = np.unique(column, return_inverse=True, return_counts=True)
        found[:, position] = -np.log(counts / len(column))[code]
    return found
