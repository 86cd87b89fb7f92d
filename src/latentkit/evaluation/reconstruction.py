"""Reconstruction on the evaluation card: errors, similarities, and robustness to corruption."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from latentkit.data.batches import CorruptionChain, DeviceImages, noise_generator
from latentkit.errors import PluginError
from latentkit.evaluation.bootstrap import Bootstrap
from latentkit.evaluation.inference import reconstruction
from latentkit.evaluation.measuring import Json, MeasuringHarness
from latentkit.nn import ms_ssim, spectral_distance, ssim
from latentkit.plugin.options import strength_option
from latentkit.runs.context import RunContext

Rebuild = Callable[[Tensor], Tensor]
"""Function from images (B, C, H, W) to images (B, C, H, W), in [0, 1]."""

_LEAST_MSE = 1e-10


@dataclass(frozen=True)
class Fidelity:
    """Fidelity of N reconstructions, one figure per image, (N,).

    Args:
        mse: mean squared error per pixel; images range from 0 to 1.
        ssim: structural similarity, see `latentkit.nn.ssim`; 1 means equal.
        ms_ssim: structural similarity over several scales, see `latentkit.nn.ms_ssim`.
        spectrum: difference of the power spectra in dB, see `latentkit.nn.spectral_distance`; 0
            means equal, and blur makes it large.
    """

    mse: NDArray[np.float64]
    ssim: NDArray[np.float64]
    ms_ssim: NDArray[np.float64]
    spectrum: NDArray[np.float64]

    @property
    def psnr(self) -> NDArray[np.float64]:
        """Peak signal-to-noise ratio in dB, (N,): 100 at most, for an exact image."""
        ratios: NDArray[np.float64] = -10 * np.log10(np.maximum(self.mse, _LEAST_MSE))
        return ratios


@torch.no_grad()
def fidelity(images: DeviceImages, rebuild: Rebuild, corrupt: Rebuild | None = None) -> Fidelity:
    """Compare images with what ``rebuild`` makes of them.

    Args:
        images: N clean images.
        rebuild: the reconstruction, or another function to compare with the clean images.
        corrupt: makes the inputs of ``rebuild``. With None, the inputs are the clean images.

    Raises:
        PluginError: a reconstruction has another shape than its image.
    """
    found: dict[str, list[Tensor]] = {name: [] for name in _MEASURES}
    for batch in images.in_order():
        rebuilt = rebuild(batch if corrupt is None else corrupt(batch))
        if rebuilt.shape != batch.shape:
            raise PluginError(
                f"the model's decode gives {tuple(rebuilt.shape)} for images {tuple(batch.shape)}; "
                "make both shapes equal"
            )
        rebuilt = rebuilt.float()
        for name, measure in _MEASURES.items():
            found[name].append(measure(rebuilt, batch).cpu())
    return Fidelity(**{name: torch.cat(all_).double().numpy() for name, all_ in found.items()})


def _squared_error(images: Tensor, others: Tensor) -> Tensor:
    return (images - others).square().flatten(1).mean(1)


_MEASURES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": _squared_error,
    "ssim": ssim,
    "ms_ssim": ms_ssim,
    "spectrum": spectral_distance,
}


def reconstructions(harness: MeasuringHarness) -> Json:
    """Measure reconstructions by the model and by PCA.

    If the run has corruptions, also measure the model's reconstructions of corrupted input. The
    figures of PCA are left out if it cannot be fitted.
    """
    rebuild = reconstruction(harness.model)
    own = fidelity(harness.test, rebuild)
    harness.arrays |= {"mse": own.mse, "ssim": own.ssim}
    harness.arrays |= {"ms_ssim": own.ms_ssim, "spectrum": own.spectrum}
    pca = _by_pca(harness)
    found = _figures(harness, own)
    if harness.context.corruption:
        noise = harness.context.evaluation_noise
        denoised = fidelity(harness.test, rebuild, noise())
        harness.arrays["mse_from_corrupted"] = denoised.mse
        found |= _figures(harness, denoised, "_from_corrupted")
        found |= _figures(harness, fidelity(harness.test, noise()), "_of_corrupted")
    document: Json = {"reconstruction": found}
    if harness.test_labels is None:
        harness.leave_out("results of each class", "the test images have no labels")
    else:
        document["classes"] = _by_class(harness, harness.test_labels, own, pca)
    if pca is None:
        return document
    baseline = {"n_components": harness.pca.components.shape[1], **_figures(harness, pca)}
    return {**document, "baselines": {"pca": baseline}}


def _by_pca(harness: MeasuringHarness) -> Fidelity | None:
    found: list[Fidelity] = []
    with harness.optional("reconstruction by PCA"):
        found.append(fidelity(harness.test, harness.pca.rebuild))
    if not found:
        return None
    harness.arrays["pca_mse"] = found[0].mse
    return found[0]


def _figures(harness: MeasuringHarness, found: Fidelity, suffix: str = "") -> Json:
    return {
        f"mse{suffix}": harness.mean(found.mse),
        f"psnr{suffix}": harness.mean(found.psnr),
        f"ssim{suffix}": harness.mean(found.ssim),
        f"ms_ssim{suffix}": harness.mean(found.ms_ssim),
        f"spectrum{suffix}": harness.mean(found.spectrum),
    }


def _by_class(
    harness: MeasuringHarness, labels: NDArray[np.int64], own: Fidelity, pca: Fidelity | None
) -> list[Json]:
    rows = []
    for label in np.unique(labels):
        chosen = labels == label
        draws = Bootstrap(int(chosen.sum()), harness.seed(f"class {label}"))
        figures = {name: getattr(own, name) for name in ("psnr", *_MEASURES)}
        if pca is not None:
            figures["pca_mse"] = pca.mse
        means = {name: asdict(draws.of_mean(value[chosen])) for name, value in figures.items()}
        name = harness.class_names[label]
        rows.append({"class": name, "label": int(label), "n_images": int(chosen.sum()), **means})
    return rows


FACTORS = (0.0, 0.5, 1.0, 1.5, 2.0)
"""Strengths to measure, as multiples of the run's own strength."""
MOST_IMAGES = 2_000


def robustness(harness: MeasuringHarness) -> Json:
    """Measure reconstructions of images that are corrupted less and more than in training."""
    context = harness.context
    parts = context.config.corruptions
    marked = [strength_option(type(part.options)) for part in parts]
    if not any(marked):
        harness.leave_out("robustness", "no option of the corruption is marked as its strength")
        return {}
    order = np.random.default_rng(harness.seed("robustness")).permutation(len(harness.test))
    rows = np.sort(order[:MOST_IMAGES])
    images = DeviceImages(context.images("test").images, context.device, rows)
    draws = Bootstrap(len(rows), harness.seed("robustness"))
    rebuild = reconstruction(harness.model)
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
        built.append((part.name, part.build(options=options)))
    return strengths, CorruptionChain(built)


def _noise(context: RunContext, chain: CorruptionChain, factor: float) -> Rebuild:
    """Return the corruption with noise that restarts from the same seed in every call."""
    generator = noise_generator(context.device, context.seed, "robustness", str(factor))
    return lambda images: chain(images, generator)
