"""Figures of training: loss over epochs, and the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from latentkit.figures.history import loss_curves
from latentkit.figures.images import several_reconstructions
from latentkit.figures.weights import kernel_grid, weight_histograms
from latentkit.pipeline.context import HISTORY, RunContext
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.pipeline.pages.of_images import as_array, one_of_each, rebuild
from latentkit.plugin.protocols import Generative, provides

_FEWEST_WEIGHTS = 32  # smaller tensors, such as biases, get no histogram
_MOST_LAYERS = 12


def training_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of the loss and of the weights: of each snapshot, or else as trained."""
    name = context.config.model.name
    history = context.folder.json(HISTORY)["epochs"]
    draw_losses = partial(_losses, context, history)
    found = [Drawing("loss", "Loss over epochs", draw_losses)] if history else []
    models = context.snapshots()
    if models:
        draw = partial(_over_epochs, context, models)
        found.append(Drawing("epochs", "Reconstructions after chosen epochs", draw))
    for epoch, model in models.items():
        after = f"after epoch {epoch}"
        title = f"{name}: weights {after}"
        found += _weight_figures(context, model, f"-epoch-{epoch}", after, title)
    if not models:
        title = f"{name}: trained weights"
        found += _weight_figures(context, context.model, "", "as trained", title)
    return found


def _weight_figures(
    context: RunContext, model: Any, suffix: str, when: str, title: str
) -> list[Drawing]:
    found = []
    named = _weights(model)
    if named:
        draw = partial(_histograms, named, title)
        found.append(Drawing(f"weights{suffix}", f"Weights by layer, {when}", draw))
    kernels = first_kernels(model)
    if kernels is not None:
        draw = partial(_kernels, context, kernels, f"{title}, first layer")
        found.append(Drawing(f"kernels{suffix}", f"Kernels of the first layer, {when}", draw))
    return found


def _losses(context: RunContext, history: Sequence[Mapping[str, Any]]) -> Drawn:
    title = f"{context.config.model.name} on {context.config.dataset.name}"
    caption = (
        "Train: mean over an epoch's steps, while weights change. Validation: after the epoch."
    )
    unit = "nats per image" if provides(context.model, Generative) else ""
    return loss_curves(history, title, unit), caption


def _over_epochs(context: RunContext, models: Mapping[int, Any]) -> Drawn:
    images = context.images("test")
    chosen = one_of_each(images.labels, len(images))
    rows = []
    for epoch, model in models.items():
        clean, _, rebuilt = rebuild(context, chosen, model=model)
        errors = (rebuilt - clean).square().flatten(1).mean(1).double().cpu().numpy()
        rows.append((f"epoch {epoch}", as_array(rebuilt), errors))
    title = f"{context.config.model.name}: the same test images after some epochs"
    return several_reconstructions(images.images[chosen], rows, title), (
        "Below each reconstruction: its mean squared error per pixel."
    )


def _weights(model: Any) -> dict[str, NDArray[np.float32]]:
    """Return the flattened weights of each layer that has a matrix or kernels."""
    named = {
        name.removesuffix(".weight"): tensor.detach().float().cpu().numpy().ravel()
        for name, tensor in model.named_parameters()
        if tensor.ndim > 1 and tensor.numel() >= _FEWEST_WEIGHTS
    }
    return dict(list(named.items())[:_MOST_LAYERS])


def _histograms(named: Mapping[str, NDArray[np.float32]], title: str) -> Drawn:
    return weight_histograms(named, title), "Biases and normalisation are left out."


def first_kernels(model: Any) -> NDArray[np.float32] | None:
    """Return the kernels (K, C, h, w) of the first convolution, if the model has one."""
    for tensor in model.parameters():
        if tensor.ndim == 4:
            kernels: NDArray[np.float32] = tensor.detach().float().cpu().contiguous().numpy()
            return kernels
    return None


def _kernels(context: RunContext, kernels: NDArray[np.float32], title: str) -> Drawn:
    return kernel_grid(kernels, title, _inputs_text(context, kernels.shape[1])), ""


def _inputs_text(context: RunContext, channels: int) -> str:
    """Explain why the first layer has more inputs than images have channels; empty if unknown."""
    patch = getattr(context.config.model.options, "patch", None)
    own = context.image_shape[0]
    if not isinstance(patch, int) or patch < 2 or channels != own * patch**2:
        return ""
    colours = f", for each of {own} colours" if own > 1 else ""
    return (
        f"Each channel is one of the {patch} × {patch} pixels that model.patch={patch} folds "
        f"into channels{colours}."
    )
