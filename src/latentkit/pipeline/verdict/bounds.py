"""Likelihood part of the evaluation card, for generative models."""

from __future__ import annotations

from dataclasses import asdict

from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.likelihood import SAMPLES, likelihood_card
from latentkit.pipeline.verdict.judge import Json, Judge


def likelihood(judge: Judge) -> Json:
    """Measure a generative model's likelihood bounds and its use of the latent space."""
    card = likelihood_card(judge.model, judge.test, judge.seed("likelihood"))
    judge.arrays |= {"elbo": card.elbo, "kl": card.kl}
    few = Bootstrap(len(card.importance_weighted), judge.seed("importance"))
    found = {
        "unit": "nats an image",
        "elbo": judge.mean(card.elbo),
        "log_likelihood_under_posterior": judge.mean(card.elbo + card.kl),
        "kl": judge.mean(card.kl),
        "kl_by_dimension": card.kl_by_dimension.tolist(),
        "importance_weighted": asdict(few.of_mean(card.importance_weighted)),
        "importance_samples": SAMPLES,
        "importance_images": len(card.importance_weighted),
        "active_dimensions": int(card.active.sum()),
        "aggregate_posterior": {
            "kl_of_gaussian_fit_from_prior": card.prior_gap,
            "mean": card.aggregate_mean.tolist(),
            "variance": card.aggregate_variance.tolist(),
        },
    }
    return {"likelihood": found}
