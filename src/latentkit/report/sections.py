"""Figures of images, training and latents in a run's report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from latentkit.evaluation.card_sentences import codes_text
from latentkit.figures import error_figures
from latentkit.figures.image_grids import (
    reconstruction_rows,
    sample_grid,
    several_reconstructions,
)
from latentkit.figures.latent_figures import code_curve, encoded_item, kl_bars, latent_scatter
from latentkit.figures.shown_images import displayed
from latentkit.figures.training_figures import kernel_grid, loss_curves, weight_histograms
from latentkit.plugin.protocols import Generative, HasDecoder, provides
from latentkit.plugin.seeds import stream_seed
from latentkit.registry.options import fault_of
from latentkit.report.drawing import Drawing, Drawn
from latentkit.runs import run_files
from latentkit.runs.context import StageContext, no_decoder_text

_SHOWN = 10  # images in a row
_EXTREMES = 6  # best images, and as many worst images
_PRIOR_SAMPLES = 50


def data_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of the input images."""
    return [Drawing("samples", "Input images", lambda: _samples(context))]


def reconstruction_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of reconstructions, their errors and samples from the prior."""
    card = context.folder.json(run_files.EVALUATION)
    found = [
        Drawing(
            "reconstructions", "Original and reconstruction", lambda: _reconstructions(context)
        ),
        Drawing("errors", "Smallest and largest errors", lambda: _errors(context)),
    ]
    if "classes" in card:
        found.append(Drawing("classes", "Error of each class", lambda: _classes(context)))
    if "robustness" in card:
        found.append(Drawing("robustness", "Error over corruption", lambda: _robustness(context)))
    if provides(context.model, Generative):
        found.append(Drawing("prior", "Samples from the prior", lambda: _prior(context)))
    return _without_decoder(context, found)


def _without_decoder(context: StageContext, found: list[Drawing]) -> list[Drawing]:
    """Return figures that need a decoder, as absent ones if the model has none."""
    if provides(context.model, HasDecoder):
        return found
    return [replace(one, absent=no_decoder_text(context)) for one in found]


def _samples(context: StageContext) -> Drawn:
    images = context.images("train")
    title = f"{context.config.dataset.name}: training images"
    channels = images.display_channels
    figure = sample_grid(images.images, images.labels, images.class_names, title, channels=channels)
    about = ["The first training images of each class."] if images.labels is not None else []
    notes = [f"{note[:1].upper()}{note[1:]}." for note in images.notes]
    return figure, " ".join(about + notes)


def _reconstructions(context: StageContext) -> Drawn:
    rows, errors = reconstruction_example(context)
    corrupted = " from corrupted input" if context.corruption else ""
    title = f"{context.config.model.name}: test images and their reconstruction{corrupted}"
    figure = reconstruction_rows(rows, errors, title)
    return figure, "Below each reconstruction: its mean squared error per pixel."


def reconstruction_example(
    context: StageContext,
) -> tuple[list[tuple[str, NDArray[Any]]], NDArray[np.float64]]:
    """Return rows of test images, and the mean squared error of each reconstruction.

    The rows are originals, corrupted images if the run corrupts its inputs, and reconstructions.
    """
    images = context.images("test")
    clean, inputs, rebuilt = rebuild(context, one_of_each(images.labels, len(images)))
    rows = [("original", as_array(clean))]
    if context.corruption:
        rows.append(("corrupted", as_array(inputs)))
    rows.append(("reconstruction", as_array(rebuilt)))
    rows = [(name, displayed(row, images.display_channels)) for name, row in rows]
    errors = (rebuilt - clean).square().flatten(1).mean(1).double().cpu().numpy()
    return rows, errors


@torch.no_grad()
def rebuild(
    context: StageContext, rows: NDArray[np.int64], *, corrupted: bool = True, model: Any = None
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return test images, the model's inputs and its reconstructions, each (B, C, H, W).

    Args:
        context: the run.
        rows: indices (B,) of the test images.
        corrupted: whether to apply the run's corruption, if it has one, to the inputs.
        model: the model to use; None for the run's own.
    """
    model = model or context.model
    clean, inputs = shown_images(context, rows, corrupted=corrupted)
    return clean, inputs, model.decode(model.encode(inputs)).float()


def shown_images(
    context: StageContext, rows: NDArray[np.int64], *, corrupted: bool = True
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return test images and the model's inputs, each (B, C, H, W); arguments as `rebuild`."""
    clean = context.device_images("test").batch(torch.from_numpy(rows).to(context.device))
    noise = context.corruption and corrupted
    return clean, context.evaluation_noise()(clean) if noise else clean


def as_array(images: torch.Tensor) -> NDArray[np.float32]:
    """Return images as a C-ordered NumPy array."""
    array: NDArray[np.float32] = images.cpu().contiguous().numpy()
    return array


def one_of_each(labels: NDArray[np.int64] | None, n: int) -> NDArray[np.int64]:
    """Return up to 10 rows: the first image of each class, then the first other images."""
    first = [] if labels is None else [int(np.argmax(labels == c)) for c in np.unique(labels)]
    rest = [row for row in range(min(n, 2 * _SHOWN)) if row not in first]
    return np.array([*first, *rest][: min(n, _SHOWN)])


def _errors(context: StageContext) -> Drawn:
    errors = context.folder.arrays(run_files.FIGURES_OF_IMAGES)["mse"]
    order = np.argsort(errors, kind="stable")
    shown = min(_EXTREMES, max(1, len(errors) // 2))  # a single image is on both sides
    best, worst = order[:shown], order[::-1][:shown]
    clean, _, rebuilt = rebuild(context, np.concatenate([best, worst]), corrupted=False)
    channels = context.images("test").display_channels
    images, made = (displayed(as_array(one), channels) for one in (clean, rebuilt))
    figure = error_figures.error_histogram(
        errors,
        images[:shown],
        made[:shown],
        errors[best],
        images[shown:],
        made[shown:],
        errors[worst],
        f"{context.config.model.name}: reconstruction error of {len(errors):,} test images",
    )
    return figure, "Images with the smallest and the largest errors, above their reconstructions."


def _classes(context: StageContext) -> Drawn:
    classes = context.folder.json(run_files.EVALUATION)["classes"]
    figure = error_figures.class_bars(
        np.array([[one["mse"][key] for key in ("value", "low", "high")] for one in classes]),
        np.array([one["pca_mse"]["value"] if "pca_mse" in one else np.nan for one in classes]),
        [one["class"] for one in classes],
        f"{context.config.model.name}: test error by class",
    )
    return figure, "Bars: errors with 95 % intervals. Marks: PCA with as many dimensions."


def _robustness(context: StageContext) -> Drawn:
    found = context.folder.json(run_files.EVALUATION)["robustness"]
    points = found["points"]
    kinds = points[0]["strengths"]
    alone = len(kinds) == 1
    name = f"{kinds[0]['corruption']}: {kinds[0]['option']}" if alone else "times the strength"

    def figures(key: str) -> NDArray[np.float64]:
        return np.array([[point[key][end] for end in ("value", "low", "high")] for point in points])

    def strength(point: dict[str, Any]) -> float:
        return float(point["strengths"][0]["value"] if alone else point["factor"])

    trained = next(strength(point) for point in points if point["factor"] == 1.0)
    figure = error_figures.robustness_curve(
        np.array([strength(point) for point in points]),
        figures("mse"),
        figures("mse_of_corrupted"),
        name,
        f"{context.config.model.name}: error over the strength of the corruption",
        trained,
    )
    return figure, f"Errors against the clean images, over {found['n_images']:,} test images."


def _prior(context: StageContext) -> Drawn:
    name = context.config.model.name
    generator = torch.Generator(context.device).manual_seed(stream_seed(context.seed, "prior"))
    with fault_of(f"model {name!r} failed to draw samples"):
        sampled = as_array(context.model.sample(_PRIOR_SAMPLES, generator).float())
    figure = sample_grid(sampled, None, (), f"{name}: decoded draws from the prior")
    return figure, "These are not test images: the latents are drawn from the prior and decoded."


def latent_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of latents; the evaluation card decides which ones."""
    card = context.folder.json(run_files.EVALUATION)
    found = [
        Drawing("latents", "Latents without a map", lambda: _scatter(context)),
        Drawing("item", "One encoded image", lambda: _item(context)),
    ]
    if "likelihood" in card:
        found.append(Drawing("kl", "KL of each dimension", lambda: _kl(context)))
    if "codes" in card:
        found.append(Drawing("codes", "How often each code occurs", lambda: _codes(context)))
    if "representation" in card:
        found.append(
            Drawing("confusion", "Confusion matrix of a linear probe", lambda: _confusion(context))
        )
    return found


def _name(context: StageContext) -> str:
    return f"{context.config.model.name} on {context.config.dataset.name}"


def _scatter(context: StageContext) -> Drawn:
    arrays = context.folder.arrays(run_files.latents_path("test"))
    latents = arrays["latents"]
    names = context.folder.json(run_files.DATA)["class_names"]
    title = f"{_name(context)}: latents of {len(latents):,} test images"
    figure = latent_scatter(latents, arrays.get("labels"), names, title)
    codes = context.folder.json(run_files.EVALUATION).get("codes")
    text = codes_text(codes) if codes else ""
    about = f" {text[0].upper()}{text[1:]}." if text else ""
    return figure, f"The latents themselves, two dimensions at a time.{about}"


@torch.no_grad()
def _item(context: StageContext) -> Drawn:
    decodes = provides(context.model, HasDecoder)
    clean, inputs = shown_images(context, np.array([0]))
    deviation = None
    if provides(context.model, Generative):
        log_var = context.model.posterior(inputs)[1]
        deviation = (0.5 * log_var[0]).exp().cpu().numpy()
    latents = context.model.encode(inputs)[0].float().cpu().numpy()
    shown = inputs if context.corruption else clean
    title = f"{_name(context)}: test image 0"
    rebuilt = (
        as_array(context.model.decode(context.model.encode(inputs)).float())[0] if decodes else None
    )
    figure = encoded_item(
        *(as_array(shown)[0], latents, deviation, rebuilt, title), clean=as_array(clean)[0]
    )
    return figure, (
        (
            "The image, its latents and its reconstruction."
            if decodes
            else "The image and its latents."
        )
        + (
            " The error is measured against the clean image."
            if context.corruption and decodes
            else ""
        )
        + (" Whiskers: one standard deviation of the posterior." if deviation is not None else "")
    )


def _kl(context: StageContext) -> Drawn:
    kl = np.array(context.folder.json(run_files.EVALUATION)["likelihood"]["kl_by_dimension"])
    figure = kl_bars(kl, f"{_name(context)}: KL of the posterior from the prior, test images")
    return figure, "Means over the test images. A dimension near 0 carries no information."


def _codes(context: StageContext) -> Drawn:
    card = context.folder.json(run_files.EVALUATION)
    found = card["codes"]
    figure = code_curve(
        np.array(card["code_counts"]), found["codebook_size"], f"{_name(context)}: use of its codes"
    )
    return figure, (
        f"Codes of {found['n_images']:,} test images, {found['positions']:,} each. The perplexity, "
        f"{found['perplexity']['value']:.1f}, is the number of equally frequent codes with the "
        f"same entropy."
    )


def _confusion(context: StageContext) -> Drawn:
    found = context.folder.json(run_files.EVALUATION)["representation"]
    own = found["spaces"]["latents"]
    accuracy = own["linear"][-1]["accuracy"]["value"]
    figure = error_figures.confusion_matrix(
        np.array(own["confusion"]["counts"]),
        context.folder.json(run_files.DATA)["class_names"],
        f"{_name(context)}: linear probe of the latents, accuracy {accuracy:.3f}",
    )
    return figure, f"Fitted on {found['n_train']:,} training latents, measured on test latents."


_FEWEST_WEIGHTS = 32  # smaller tensors, such as biases, get no histogram
_MOST_LAYERS = 12


def training_figures(context: StageContext) -> list[Drawing]:
    """Return the figures of the loss and of the weights: of each snapshot, or else as trained."""
    name = context.config.model.name
    history = context.folder.json(run_files.HISTORY)["epochs"]
    draw_losses = partial(_losses, context, history)
    found = [Drawing("loss", "Loss over epochs", draw_losses)] if history else []
    models = context.snapshots()
    if models:
        draw = partial(_over_epochs, context, models)
        over = Drawing("epochs", "Reconstructions after chosen epochs", draw)
        found += _without_decoder(context, [over])
    for epoch, model in models.items():
        after = f"after epoch {epoch}"
        title = f"{name}: weights {after}"
        found += _weight_figures(context, model, f"-epoch-{epoch}", after, title)
    if not models:
        title = f"{name}: trained weights"
        found += _weight_figures(context, context.model, "", "as trained", title)
    return found


def _weight_figures(
    context: StageContext, model: Any, suffix: str, when: str, title: str
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


def _losses(context: StageContext, history: Sequence[Mapping[str, Any]]) -> Drawn:
    title = f"{context.config.model.name} on {context.config.dataset.name}"
    caption = (
        "Train: mean over an epoch's steps, while weights change. Validation: after the epoch."
    )
    unit = "nats per image" if provides(context.model, Generative) else ""
    return loss_curves(history, title, unit), caption


def _over_epochs(context: StageContext, models: Mapping[int, Any]) -> Drawn:
    images = context.images("test")
    chosen = one_of_each(images.labels, len(images))
    rows = []
    for epoch, model in models.items():
        clean, _, rebuilt = rebuild(context, chosen, model=model)
        errors = (rebuilt - clean).square().flatten(1).mean(1).double().cpu().numpy()
        shown = displayed(as_array(rebuilt), images.display_channels)
        rows.append((f"epoch {epoch}", shown, errors))
    title = f"{context.config.model.name}: the same test images after some epochs"
    originals = displayed(images.images[chosen], images.display_channels)
    return several_reconstructions(originals, rows, title), (
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


def _kernels(context: StageContext, kernels: NDArray[np.float32], title: str) -> Drawn:
    return kernel_grid(kernels, title, _inputs_text(context, kernels.shape[1])), ""


def _inputs_text(context: StageContext, channels: int) -> str:
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
