"""The stage ``evaluate``: the card is made and committed, and what is wrong is told."""

from __future__ import annotations

from latentkit.evaluation.inference import saturated_share
from latentkit.pipeline.context import (
    DATA,
    EVALUATION,
    FIGURES_OF_IMAGES,
    HISTORY,
    RunContext,
)
from latentkit.pipeline.verdict.card import make_card
from latentkit.pipeline.verdict.judge import Json
from latentkit.plugin.events import Notice

_STAGE = "evaluate"
_SATURATED = 0.999  # of all pixels


def evaluate(context: RunContext) -> None:
    """Judge the run's model on the test images."""
    card = make_card(context)
    context.folder.commit_arrays(FIGURES_OF_IMAGES, _STAGE, **card.arrays)
    context.folder.commit_json(EVALUATION, _STAGE, card.document)
    for notice in _notices(context, card.document):
        context.tell(notice)


def _notices(context: RunContext, card: Json) -> list[Notice]:
    """Return what the user should do something about."""
    notices = []
    error, pca = card["reconstruction"]["mse"]["value"], card["baselines"]["pca"]["mse"]["value"]
    if not context.corruption and error > pca:
        notices.append(
            Notice(
                "worse-than-pca",
                f"test error {error:.4f} is above that of PCA with as many dimensions "
                f"({pca:.4f}): {_advice(context, pca)}",
            )
        )
    if saturated_share(context.model, context.device_images("test")) > _SATURATED:
        notices.append(
            Notice(
                "saturated",
                "nearly every pixel of the reconstructions is black or white: the decoder is "
                "saturated; lower training.learning_rate, or set training.clip_norm=1",
            )
        )
    dimensions = card["latent_dim"]
    active = card.get("likelihood", {}).get("active_dimensions", dimensions)
    if active < dimensions:
        notices.append(
            Notice(
                "posterior-collapse",
                f"{active} of {dimensions} latent dimensions are active, the others carry nothing: "
                f"lower model.beta, or set model.warm_up or model.free_bits",
            )
        )
    return notices


def _advice(context: RunContext, pca: float) -> str:
    """Return what to do about a model that PCA does better than: learn longer, or from more."""
    records = context.folder.json(HISTORY)["epochs"]
    learned = records[-1]["train"].get("mse", pca) if records else pca
    if learned >= pca:
        return "train for more epochs, or raise the learning rate"
    count = context.folder.json(DATA)["counts"]["train"]
    return (
        f"the model learned its {count:,} training images by heart (their error is {learned:.4f}): "
        f"train on more images, for longer training will not help"
    )
