"""The stage ``evaluate``: make and commit the evaluation card, and report problems."""

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
_SATURATED = 0.999  # share of all pixels


def evaluate(context: RunContext) -> None:
    """Evaluate the run's model on the test images."""
    card = make_card(context)
    context.folder.commit_arrays(FIGURES_OF_IMAGES, _STAGE, **card.arrays)
    context.folder.commit_json(EVALUATION, _STAGE, card.document)
    for notice in _notices(context, card.document):
        context.tell(notice)


def _notices(context: RunContext, card: Json) -> list[Notice]:
    """Return notices about problems that the user should act on."""
    notices = []
    error, pca = card["reconstruction"]["mse"]["value"], card["baselines"]["pca"]["mse"]["value"]
    if not context.corruption and error > pca:
        notices.append(
            Notice(
                "worse-than-pca",
                f"test error {error:.4f} is above the error of PCA with as many dimensions "
                f"({pca:.4f}): {_advice(context, pca)}",
            )
        )
    if saturated_share(context.model, context.device_images("test")) > _SATURATED:
        notices.append(
            Notice(
                "saturated",
                "the decoder is saturated, because nearly every pixel of the reconstructions is "
                "black or white: lower training.learning_rate, or set training.clip_norm=1",
            )
        )
    dimensions = card["latent_dim"]
    active = card.get("likelihood", {}).get("active_dimensions", dimensions)
    if active < dimensions:
        notices.append(
            Notice(
                "posterior-collapse",
                f"only {active} of {dimensions} latent dimensions carry information: "
                f"lower model.beta, or set model.warm_up or model.free_bits",
            )
        )
    return notices


def _advice(context: RunContext, pca: float) -> str:
    """Return advice for a model that is worse than PCA: train longer, or on more images."""
    records = context.folder.json(HISTORY)["epochs"]
    learned = records[-1]["train"].get("mse", pca) if records else pca
    if learned >= pca:
        return "train for more epochs, or raise the learning rate"
    count = context.folder.json(DATA)["counts"]["train"]
    return (
        f"the model memorised its {count:,} training images (their error is {learned:.4f}), so "
        f"longer training will not help; train on more images"
    )
