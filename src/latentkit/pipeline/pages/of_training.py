"""Figures of training: loss over epochs, and the weights that came of it."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from latentkit.figures.history import loss_curves
from latentkit.figures.weights import kernel_grid, weight_histograms
from latentkit.pipeline.context import HISTORY, RunContext
from latentkit.pipeline.pages.drawing import Drawing, Drawn

_FEWEST_WEIGHTS = 32  # fewer, such as biases, make no histogram
_MOST_LAYERS = 12


def training_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of training."""
    found = [Drawing("loss", "Loss over epochs", lambda: _losses(context))]
    if _weights(context):
        found.append(Drawing("weights", "Weights by layer", lambda: _histograms(context)))
    kernels = _first_kernels(context)
    if kernels is not None:
        found.append(
            Drawing("kernels", "Kernels of the first layer", partial(_kernels, context, kernels))
        )
    return found


def _losses(context: RunContext) -> Drawn:
    history = context.folder.json(HISTORY)["epochs"]
    title = f"{context.config.model.name} on {context.config.dataset.name}"
    caption = (
        "Train: mean over the epoch's steps, while weights still move. Validation: after the epoch."
    )
    return loss_curves(history, title), caption


def _weights(context: RunContext) -> dict[str, NDArray[np.float32]]:
    """Return the weights of each layer that has a matrix or kernels, flat."""
    named = {
        name.removesuffix(".weight"): tensor.detach().float().cpu().numpy().ravel()
        for name, tensor in context.model.named_parameters()
        if tensor.ndim > 1 and tensor.numel() >= _FEWEST_WEIGHTS
    }
    return dict(list(named.items())[:_MOST_LAYERS])


def _histograms(context: RunContext) -> Drawn:
    title = f"{context.config.model.name}: trained weights"
    return weight_histograms(_weights(context), title), "Biases and normalisation are left out."


def _first_kernels(context: RunContext) -> NDArray[np.float32] | None:
    """Return the kernels (K, C, h, w) of the first convolution, if the model has one."""
    for tensor in context.model.parameters():
        if tensor.ndim == 4:
            kernels: NDArray[np.float32] = tensor.detach().float().cpu().contiguous().numpy()
            return kernels
    return None


def _kernels(context: RunContext, kernels: NDArray[np.float32]) -> Drawn:
    title = f"{context.config.model.name}: kernels of the first layer"
    return kernel_grid(kernels, title), ""
