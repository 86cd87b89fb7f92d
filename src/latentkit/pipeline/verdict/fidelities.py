"""Reconstruction part of the evaluation card."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.fidelity import Fidelity, fidelity
from latentkit.evaluation.inference import reconstruction
from latentkit.pipeline.verdict.judge import Json, Judge


def reconstructions(judge: Judge) -> Json:
    """Measure reconstructions by the model and by PCA.

    If the run has corruptions, also measure the model's reconstructions of corrupted input.
    """
    rebuild = reconstruction(judge.model)
    own, pca = fidelity(judge.test, rebuild), fidelity(judge.test, judge.pca.rebuild)
    judge.arrays |= {"mse": own.mse, "ssim": own.ssim, "pca_mse": pca.mse}
    found = _figures(judge, own)
    if judge.context.corruption:
        noise = judge.context.evaluation_noise
        denoised = fidelity(judge.test, rebuild, noise())
        judge.arrays["mse_from_corrupted"] = denoised.mse
        found |= _figures(judge, denoised, "_from_corrupted")
        found |= _figures(judge, fidelity(judge.test, noise()), "_of_corrupted")
    document: Json = {"reconstruction": found}
    if judge.test_labels is None:
        judge.leave_out("figures of each class", "the test images have no labels")
    else:
        document["classes"] = _by_class(judge, judge.test_labels, own, pca)
    baseline = {"n_components": judge.pca.components.shape[1], **_figures(judge, pca)}
    return {**document, "baselines": {"pca": baseline}}


def _figures(judge: Judge, found: Fidelity, suffix: str = "") -> Json:
    return {
        f"mse{suffix}": judge.mean(found.mse),
        f"psnr{suffix}": judge.mean(found.psnr),
        f"ssim{suffix}": judge.mean(found.ssim),
    }


def _by_class(judge: Judge, labels: NDArray[np.int64], own: Fidelity, pca: Fidelity) -> list[Json]:
    rows = []
    for label in np.unique(labels):
        chosen = labels == label
        draws = Bootstrap(int(chosen.sum()), judge.seed(f"class {label}"))
        figures = {"mse": own.mse, "psnr": own.psnr, "ssim": own.ssim, "pca_mse": pca.mse}
        means = {name: asdict(draws.of_mean(value[chosen])) for name, value in figures.items()}
        name = judge.class_names[label]
        rows.append({"class": name, "label": int(label), "n_images": int(chosen.sum()), **means})
    return rows
