"""Figures of latents: scatter plots, one encoded image, KL by dimension, confusions."""

from __future__ import annotations

import numpy as np
import torch

from latentkit.figures.errors import confusion_matrix
from latentkit.figures.latents import encoded_item, kl_bars, latent_scatter
from latentkit.pipeline.context import DATA, EVALUATION, RunContext, latents_path
from latentkit.pipeline.pages.drawing import Drawing, Drawn
from latentkit.pipeline.pages.of_images import as_array, rebuild
from latentkit.plugin.protocols import Generative, provides


def latent_figures(context: RunContext) -> list[Drawing]:
    """Return the figures of latents; the evaluation card decides which ones."""
    card = context.folder.json(EVALUATION)
    found = [
        Drawing("latents", "Latents without a map", lambda: _scatter(context)),
        Drawing("item", "One encoded image", lambda: _item(context)),
    ]
    if "likelihood" in card:
        found.append(Drawing("kl", "KL of each dimension", lambda: _kl(context)))
    if "representation" in card:
        found.append(
            Drawing("confusion", "Confusion matrix of a linear probe", lambda: _confusion(context))
        )
    return found


def _name(context: RunContext) -> str:
    return f"{context.config.model.name} on {context.config.dataset.name}"


def _scatter(context: RunContext) -> Drawn:
    arrays = context.folder.arrays(latents_path("test"))
    latents = arrays["latents"]
    names = context.folder.json(DATA)["class_names"]
    title = f"{_name(context)}: latents of {len(latents):,} test images"
    figure = latent_scatter(latents, arrays.get("labels"), names, title)
    return figure, "The latents themselves, two dimensions at a time."


@torch.no_grad()
def _item(context: RunContext) -> Drawn:
    clean, inputs, rebuilt = rebuild(context, np.array([0]))
    deviation = None
    if provides(context.model, Generative):
        log_var = context.model.posterior(inputs)[1]
        deviation = (0.5 * log_var[0]).exp().cpu().numpy()
    latents = context.model.encode(inputs)[0].float().cpu().numpy()
    shown = inputs if context.corruption else clean
    title = f"{_name(context)}: test image 0"
    figure = encoded_item(
        *(as_array(shown)[0], latents, deviation, as_array(rebuilt)[0], title),
        clean=as_array(clean)[0],
    )
    return figure, (
        "The image, its latents and its reconstruction."
        + (" The error is measured against the clean image." if context.corruption else "")
        + (" Whiskers: one standard deviation of the posterior." if deviation is not None else "")
    )


def _kl(context: RunContext) -> Drawn:
    kl = np.array(context.folder.json(EVALUATION)["likelihood"]["kl_by_dimension"])
    figure = kl_bars(kl, f"{_name(context)}: KL of the posterior from the prior, test images")
    return figure, "Means over the test images. A dimension near 0 carries no information."


def _confusion(context: RunContext) -> Drawn:
    found = context.folder.json(EVALUATION)["representation"]
    own = found["spaces"]["latents"]
    accuracy = own["linear"][-1]["accuracy"]["value"]
    figure = confusion_matrix(
        np.array(own["confusion"]["counts"]),
        context.folder.json(DATA)["class_names"],
        f"{_name(context)}: linear probe of the latents, accuracy {accuracy:.3f}",
    )
    return figure, f"Fitted on {found['n_train']:,} training latents, measured on test latents."
