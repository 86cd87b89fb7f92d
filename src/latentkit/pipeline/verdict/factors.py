"""Disentanglement part of the evaluation card, for data sets with ground-truth factors."""

from __future__ import annotations

from latentkit.evaluation.disentanglement import MOST_ITEMS, measure_disentanglement
from latentkit.pipeline.verdict.judge import Json, Judge


def disentanglement(judge: Judge) -> Json:
    """Measure whether single latent dimensions represent single factors."""
    train, test = judge.context.images("train"), judge.context.images("test")
    if train.factors is None or test.factors is None:
        judge.leave_out("disentanglement", "the training images have no factors")
        return {}
    found = measure_disentanglement(
        judge.latents("train"),
        train.factors[judge.context.split.train],
        judge.latents("test"),
        test.factors,
        judge.seed("disentanglement"),
    )
    columns = zip(
        test.factor_names,
        found.mig_by_factor.tolist(),
        found.informativeness.tolist(),
        found.importance.T.tolist(),
        strict=True,
    )
    return {
        "disentanglement": {
            "n_images": min(MOST_ITEMS, len(judge.test)),
            "mig": found.mig,
            "dci_disentanglement": found.disentanglement,
            "dci_completeness": found.completeness,
            "dci_informativeness": float(found.informativeness.mean()),
            "sap": found.sap,
            "factors": [
                {"factor": name, "mig": mig, "informativeness": score, "importance": importance}
                for name, mig, score, importance in columns
            ],
        }
    }
