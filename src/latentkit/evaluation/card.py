"""The evaluation card: a model's results on the test images, beside baselines, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import load

from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap
from latentkit.evaluation.card_sentences import codes_text, collapse_text, dead_codes_text
from latentkit.evaluation.code_usage import code_usage
from latentkit.evaluation.disentanglement import factor_pieces, measure_factors
from latentkit.evaluation.inference import saturated_share
from latentkit.evaluation.likelihood import likelihood, likelihood_pieces
from latentkit.evaluation.measuring import Json, MeasuringHarness, outside_training
from latentkit.evaluation.reconstruction import reconstructions, robustness
from latentkit.evaluation.representation import representation, representation_pieces
from latentkit.evaluation.spread import latent_spread
from latentkit.plugin.events import Notice, StageProgress
from latentkit.plugin.protocols import Generative, HasCodes, HasDecoder, provides
from latentkit.runs import run_files
from latentkit.runs.context import RunContext, StageContext, no_decoder_text
from latentkit.runs.folder import RunFolder
from latentkit.training.checkpoint import tensor_bytes
from latentkit.training.processes import Processes, current

PROTOCOL = 3
"""Version of the evaluation protocol; results of different versions are not comparable."""


@dataclass(frozen=True)
class Card:
    """The evaluation card of a run.

    Args:
        document: every result, as JSON.
        arrays: results of each test image, (N,), to compare runs and to find the worst images.
    """

    document: Json
    arrays: dict[str, NDArray[Any]]


def make_card(context: StageContext) -> Card:
    """Evaluate a run's model in eval mode and float32, and return its card.

    Several processes share it: what does not depend on other parts is a piece of work.
    """
    latents = {
        split: context.folder.arrays(run_files.latents_path(split))["latents"]
        for split in ("train", "test")
    }
    processes = current()
    if processes is not None:
        processes.order(_STAGE)
        processes.from_leader(tensor_bytes(context.model.state_dict()))
        processes.arrays_from_leader(latents)
    harness = MeasuringHarness(context, context.model, latents, context.emit)
    document: Json = {
        "protocol": PROTOCOL,
        "split": "test",
        "n_images": len(harness.test),
        "latent_dim": harness.model.latent_dim,
        "seed": context.seed,
        "intervals": {
            "confidence": CONFIDENCE,
            "method": "bootstrap over test images",
            "resamples": harness.bootstrap.resamples,
        },
        "baselines": {},
    }
    parts = _parts(harness, context.folder)
    for done, (name, make) in enumerate(parts):
        context.emit(StageProgress("evaluate", done, len(parts), name))
        found: Json = {}
        if make is reconstructions:  # a decoder that fails is an error
            found = make(harness)
        else:
            with harness.optional(name):
                found = make(harness)
        document["baselines"] |= found.pop("baselines", {})
        document |= found
    document |= _without_duplicates(harness, context.folder)
    context.emit(StageProgress("evaluate", len(parts), len(parts), "done"))
    document["left_out"] = harness.left_out
    document["sampled"] = harness.sampled
    return Card(document, harness.arrays)


def follow_card(context: RunContext, processes: Processes) -> None:
    """Do pieces of the card, with the weights and latents that process 0 gives."""
    model = context.random_model()
    model.load_state_dict(load(processes.from_leader()))
    harness = MeasuringHarness(context, model, processes.arrays_from_leader())
    processes.help_with(
        {
            **representation_pieces(harness),
            **likelihood_pieces(harness),
            **factor_pieces(harness),
        }
    )


def _without_duplicates(harness: MeasuringHarness, folder: RunFolder) -> Json:
    """Return figures of the test images that are not also training images, beside those of all.

    The record of the run's images says which they are. If there are none, the result is empty.
    """
    alone, n = outside_training(folder, len(harness.test))
    if alone.all():
        return {}
    probed = harness.arrays.get("probed_rows", np.arange(len(alone)))
    of_images = {len(alone): alone, len(probed): alone[probed]}
    figures: Json = {}
    for name, values in figures_of_images(harness).items():
        kept = of_images[len(values)]
        if not kept.any():
            harness.leave_out("figures without duplicates", "all test images are in training")
            return {}
        draws = Bootstrap(int(kept.sum()), harness.seed("without duplicates"))
        every = Bootstrap(len(values), harness.seed("with duplicates"))
        figures[name] = {
            "all": asdict(every.of_mean(values)),
            "without": asdict(draws.of_mean(values[kept])),
        }
    return {"without_duplicates": {"n_images": int(alone.sum()), **n, "figures": figures}}


def figures_of_images(harness: MeasuringHarness) -> dict[str, NDArray[Any]]:
    """Return the measured figures that are means over test images, by name, each (N,)."""
    names = {
        "mse": "mse",
        "ssim": "ssim",
        "mse_from_corrupted": "mse_from_corrupted",
        "pca_mse": "pca_mse",
        "linear_hits": "linear_accuracy",
        "knn_hits": "knn_accuracy",
    }
    return {new: harness.arrays[old] for old, new in names.items() if old in harness.arrays}


def _parts(
    harness: MeasuringHarness, folder: RunFolder
) -> list[tuple[str, Callable[[MeasuringHarness], Json]]]:
    """Return the parts of the card that apply to the run, with their names."""
    parts: list[tuple[str, Callable[[MeasuringHarness], Json]]] = []
    of_decoder = [("reconstruction", reconstructions)]
    if harness.context.corruption:
        of_decoder.append(("robustness", robustness))
    if provides(harness.model, HasDecoder):
        parts += of_decoder
    else:
        for name, _ in of_decoder:
            harness.leave_out(name, no_decoder_text(harness.context))
    parts.append(("latents", partial(latent_spread, folder=folder)))
    parts.append(("representation", representation))
    if provides(harness.model, Generative):
        parts.append(("likelihood", likelihood))
    if provides(harness.model, HasCodes):
        parts.append(("codes", code_usage))
    if harness.context.images("test").factors is not None:
        parts.append(("disentanglement", measure_factors))
    return parts


_STAGE = "evaluate"
_SATURATED = 0.999  # share of all pixels


def evaluate(context: StageContext) -> None:
    """Evaluate the run's model on the test images.

    What follows is the work of process 0 alone, so the others leave.
    """
    card = make_card(context)
    if (processes := current()) is not None:
        processes.dismiss()
    context.folder.commit_arrays(run_files.FIGURES_OF_IMAGES, _STAGE, **card.arrays)
    context.folder.commit_json(run_files.EVALUATION, _STAGE, card.document)
    for notice in _notices(context, card.document):
        context.emit(notice)


def _notices(context: StageContext, card: Json) -> list[Notice]:
    """Return notices about problems that the user should act on."""
    notices = []
    if sentence := collapse_text(card):
        notices.append(Notice("collapsed", sentence))
    if sentence := dead_codes_text(card):
        notices.append(Notice("dead-codes", sentence))
    if "codes" in card:
        notices.append(Notice("codes", codes_text(card["codes"]), "info"))
    if "reconstruction" in card:
        notices += _notices_of_decoder(context, card)
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


def _notices_of_decoder(context: StageContext, card: Json) -> list[Notice]:
    notices = []
    error = card["reconstruction"]["mse"]["value"]
    pca = card["baselines"]["pca"]["mse"]["value"] if "pca" in card["baselines"] else math.inf
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
    return notices


def _advice(context: StageContext, pca: float) -> str:
    """Return advice for a model that is worse than PCA: train longer, or on more images."""
    records = context.folder.json(run_files.HISTORY)["epochs"]
    learned = records[-1]["train"].get("mse", pca) if records else pca
    if learned >= pca:
        return "train for more epochs, or raise the learning rate"
    count = context.folder.json(run_files.DATA)["counts"]["train"]
    return (
        f"the model memorised its {count:,} training images (their error is {learned:.4f}), so "
        f"longer training will not help; train on more images"
    )
