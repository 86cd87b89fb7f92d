"""Robustness part of the evaluation card: the error by strength of the corruption."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from latentkit.config import find_part
from latentkit.data.batches import DeviceImages
from latentkit.data.corruption import CorruptionChain, noise_generator
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.fidelity import Rebuild, fidelity
from latentkit.evaluation.inference import reconstruction
from latentkit.pipeline.context import RunContext
from latentkit.pipeline.verdict.judge import Json, Judge
from latentkit.plugin.options import strength_option
from latentkit.registry.targets import fault_of

FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Strengths to measure, as multiples of the run's own strength."""
MOST_IMAGES = 2_000


def robustness(judge: Judge) -> Json:
    """Measure reconstructions of images that are corrupted less and more than in training."""
    context = judge.context
    parts = context.config.corruptions
    marked = [strength_option(type(part.options)) for part in parts]
    if not any(marked):
        judge.leave_out("robustness", "no option of the corruption is marked as its strength")
        return {}
    order = np.random.default_rng(judge.seed("robustness")).permutation(len(judge.test))
    rows = np.sort(order[:MOST_IMAGES])
    images = DeviceImages(context.images("test").images, context.device, rows)
    draws = Bootstrap(len(rows), judge.seed("robustness"))
    rebuild = reconstruction(judge.model)
    points = []
    for factor in FACTORS:
        strengths, chain = _chain(context, factor)
        figures = {
            "mse": fidelity(images, rebuild, _noise(context, chain, factor)).mse,
            "mse_of_corrupted": fidelity(images, _noise(context, chain, factor)).mse,
        }
        found = {name: asdict(draws.of_mean(values)) for name, values in figures.items()}
        points.append({"factor": factor, "strengths": strengths, **found})
    return {"robustness": {"n_images": len(rows), "points": points}}


def _chain(context: RunContext, factor: float) -> tuple[list[Json], CorruptionChain]:
    """Return the strengths and the chain of the run's corruptions, scaled by ``factor``."""
    strengths, built = [], []
    for part in context.config.corruptions:
        options, marked = part.options, strength_option(type(part.options))
        if marked is not None:
            name, most = marked
            value = min(factor * getattr(options, name), most)
            options = type(options).model_validate({**options.model_dump(), name: value})
            strengths.append({"corruption": part.name, "option": name, "value": value})
        build = find_part(context.registry, "corruption", part).target()
        with fault_of(f"corruption {part.name!r} cannot be built"):
            built.append((part.name, build(options)))
    return strengths, CorruptionChain(built)


def _noise(context: RunContext, chain: CorruptionChain, factor: float) -> Rebuild:
    """Return the corruption with noise that restarts from the same seed in every call."""
    generator = noise_generator(context.device, context.seed, "robustness", str(factor))
    return lambda images: chain(images, generator)
