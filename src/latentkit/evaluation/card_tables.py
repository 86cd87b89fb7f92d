"""The evaluation card as tables of text, for a terminal or a page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from latentkit.evaluation.card_sentences import collapse_text, dead_codes_text
from latentkit.report.page import Table

Card = Mapping[str, Any]

SPACES = {
    "latents": "latents",
    "pca": "PCA",
    "random_encoder": "random encoder",
    "raw_pixels": "raw pixels",
}
"""Display names of the feature spaces that probes are trained on."""
_MOST_DIGITS = 12
_MISSING = "–"
_SUMMARISED = (
    *("latent_dim", "reconstruction", "baselines", "latents"),
    *("representation", "likelihood", "codes", "disentanglement", "robustness", "left_out"),
)


def card_tables(card: Card) -> list[Table]:
    """Return the tables that a card has results for."""
    tables = [_reconstruction(card)] if "reconstruction" in card else []
    if "classes" in card:
        tables.append(_classes(card["classes"]))
    if "robustness" in card:
        tables.append(_robustness(card["robustness"]))
    if "latents" in card:
        tables.append(_spread(card["latents"], card["latent_dim"]))
    if "representation" in card:
        tables += [_probes(card["representation"]), _clusters(card["representation"])]
    if "likelihood" in card:
        tables.append(_likelihood(card["likelihood"], card["latent_dim"]))
    if "codes" in card:
        tables.append(_codes(card["codes"]))
    if "disentanglement" in card:
        tables += _disentanglement(card["disentanglement"])
    if "without_duplicates" in card:
        tables.append(duplicates_table(card["without_duplicates"], _WITHOUT_DUPLICATES))
    if card.get("left_out"):
        rows = [(one["part"], one["why"]) for one in card["left_out"]]
        tables.append(Table("Left out", ("part", "why"), rows))
    return tables


MAP_FIGURES = {
    "trustworthiness": "trustworthiness",
    "continuity": "continuity",
    "auc_r_nx": "area under R_NX",
    "spearman_correlation": "Spearman correlation",
    "scale_normalised_stress": "stress",
    "knn_accuracy_map": "k-NN accuracy",
    "knn_accuracy_latents": "k-NN, latents",
}
"""Display names of the measures of a map's quality."""


def map_tables(maps: Sequence[Card]) -> list[Table]:
    """Return a table of how far each map can be trusted, or no table if there are no maps.

    Args:
        maps: the facts of each map, as stored in its JSON file.
    """
    rows = [
        (
            one["map"],
            *(_sampled(one["quality"][key]) for key in MAP_FIGURES),
            f"{one['seconds']:.1f}",
        )
        for one in maps
    ]
    header = ("", *MAP_FIGURES.values(), "seconds")
    return [Table("Maps", header, rows)] if rows else []


def _sampled(figure: Card | None) -> str:
    if figure is None:
        return _MISSING
    error = figure["standard_error"]
    return f"{figure['value']:.3f}" + (f" ± {error:.3f}" if error >= 5e-4 else "")


def card_note(card: Card) -> str:
    """Return sentences that explain the intervals of a card, and what was sampled."""
    intervals = card["intervals"]
    sampled = "".join(f" {one[0].upper()}{one[1:]}." for one in card.get("sampled", ()))
    return (
        f"Measured on {card['n_images']:,} test images. Brackets contain "
        f"{percent_text(intervals['confidence'])} intervals: {intervals['method']}, "
        f"{intervals['resamples']:,} resamples. "
        f"Protocol {card['protocol']}, seed {card['seed']}.{sampled}"
    )


def percent_text(share: float) -> str:
    """Format a share as a percentage, for use in a sentence."""
    return f"{100 * share:.0f} %"


def difference_text(figure: Mapping[str, float], digits: int) -> str:
    """Format a difference with its interval, and add a star if the interval excludes 0.

    In that case, digits are added until the rounded ends show the side of 0 that it is on.
    """
    ends = figure["low"], figure["high"]
    starred = ends[0] > 0 or ends[1] < 0
    while starred and digits < _MOST_DIGITS and 0 in (round(end, digits) for end in ends):
        digits += 1
    value, low, high = (f"{figure[key]:+.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]{' *' if starred else ''}"


def interval_text(figure: Mapping[str, float], digits: int) -> str:
    """Format a figure with its interval."""
    return f"{figure['value']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def _reconstruction(card: Card) -> Table:
    found, pca = card["reconstruction"], card["baselines"].get("pca")
    rows = [_fidelity_row(f"model, {card['latent_dim']} latents", found)]
    if "mse_from_corrupted" in found:
        rows.append(_fidelity_row("model, from corrupted input", found, "_from_corrupted"))
        rows.append(_fidelity_row("the corrupted input itself", found, "_of_corrupted"))
    if pca is not None:
        rows.append(_fidelity_row(f"PCA of {pca['n_components']}", pca))
    names = [name for key, (name, _) in _FIDELITY.items() if key in found]
    return Table("Reconstruction", ("of test images", *names), rows)


_FIDELITY = {
    "mse": ("MSE", 4),
    "psnr": ("PSNR, dB", 2),
    "ssim": ("SSIM", 3),
    "ms_ssim": ("MS-SSIM", 3),
    "spectrum": ("spectrum, dB", 2),
}
"""Figures of reconstructions, with their names and digits. Older cards lack the last two."""


def _fidelity_row(name: str, found: Card, suffix: str = "") -> Sequence[str]:
    texts = (
        interval_text(found[f"{key}{suffix}"], digits)
        for key, (_, digits) in _FIDELITY.items()
        if f"{key}{suffix}" in found
    )
    return (name, *texts)


def _classes(classes: Sequence[Card]) -> Table:
    rows = [
        (
            one["class"],
            f"{one['n_images']:,}",
            interval_text(one["mse"], 4),
            f"{one['pca_mse']['value']:.4f}" if "pca_mse" in one else _MISSING,
            f"{one['psnr']['value']:.2f}",
            f"{one['ssim']['value']:.3f}",
        )
        for one in classes
    ]
    header = ("class", "images", "MSE", "PCA's MSE", "PSNR, dB", "SSIM")
    return Table("Reconstruction by class", header, rows)


def _robustness(found: Card) -> Table:
    rows = [
        (
            ", ".join(
                f"{one['corruption']} {one['option']} {one['value']:.3g}"
                for one in point["strengths"]
            ),
            interval_text(point["mse"], 4),
            interval_text(point["mse_of_corrupted"], 4),
        )
        for point in found["points"]
    ]
    header = ("corruption", "reconstruction's MSE", "input's MSE")
    return Table(f"Robustness, {found['n_images']:,} test images", header, rows)


def _spread(found: Card, dimensions: int) -> Table:
    rows = [
        ("effective rank", f"{found['effective_rank']:.2f} of {dimensions}"),
        ("spread of directions; 1 for all directions alike", f"{found['direction_spread']:.3f}"),
        ("spread over length", f"{found['relative_spread']:.3g}"),
    ]
    if "projection_spread" in found:
        spread = f"{found['projection_spread']:.3g}"
        rows.append(("spread of projections in the loss, validation; 1 is intended", spread))
    return Table(f"Latents, {found['n_images']:,} test images", ("", "value"), rows)


def _probes(found: Card) -> Table:
    spaces = found["spaces"]
    names = {"linear": "linear", "knn": f"{found['knn']['n_neighbors']}-NN"}
    shares = [one["share"] for one in next(iter(spaces.values()))["linear"]]
    rows = [
        (
            f"{names[probe]}, {share:.0%} of labels",
            *(interval_text(space[probe][i]["accuracy"], 3) for space in spaces.values()),
        )
        for probe in names
        for i, share in enumerate(shares)
    ]
    title = f"Accuracy of probes, {found['n_train']:,} training images"
    return Table(title, ("", *map(SPACES.__getitem__, spaces)), rows)


def _clusters(found: Card) -> Table:
    spaces = found["spaces"]
    names = {"accuracy": "matched accuracy", "nmi": "NMI", "ari": "ARI"}
    rows = [
        (name, *(interval_text(space["kmeans"][key], 3) for space in spaces.values()))
        for key, name in names.items()
    ]
    title = f"k-means against the labels, {found['n_classes']} clusters"
    return Table(title, ("", *map(SPACES.__getitem__, spaces)), rows)


_WITHOUT_DUPLICATES = {
    "mse": ("MSE", 4),
    "ssim": ("SSIM", 3),
    "mse_from_corrupted": ("MSE from corrupted input", 4),
    "pca_mse": ("PCA's MSE", 4),
    "linear_accuracy": ("accuracy of the linear probe", 3),
    "knn_accuracy": ("accuracy of the k-NN probe", 3),
}


def duplicates_table(found: Card, names: Mapping[str, tuple[str, int]]) -> Table:
    """Return the figures of all test images beside those without duplicates of training images.

    Args:
        found: ``without_duplicates`` of a card.
        names: text and digits of each figure.
    """
    rows = [
        (name, *(interval_text(found["figures"][key][of], digits) for of in ("all", "without")))
        for key, (name, digits) in names.items()
        if key in found["figures"]
    ]
    count = found["n_equal"] + found["n_near"]
    title = (
        f"Without {count:,} test images that are also in training "
        f"({found['n_equal']:,} equal, {found['n_near']:,} nearly)"
    )
    return Table(title, ("", "all test images", "without them"), rows)


def _likelihood(found: Card, dimensions: int) -> Table:
    samples, images = found["importance_samples"], found["importance_images"]
    rows = [
        ("ELBO", interval_text(found["elbo"], 1)),
        ("its log p(x | z)", interval_text(found["log_likelihood_under_posterior"], 1)),
        ("its KL", interval_text(found["kl"], 1)),
        (
            f"log-likelihood, IWAE-{samples}, {images:,} images",
            interval_text(found["importance_weighted"], 1),
        ),
        ("active dimensions", f"{found['active_dimensions']} of {dimensions}"),
        (
            "KL of the aggregate posterior's Gaussian fit from the prior",
            f"{found['aggregate_posterior']['kl_of_gaussian_fit_from_prior']:.2f}",
        ),
    ]
    return Table("Likelihood", ("", "nats an image"), rows)


def _codes(found: Card) -> Table:
    rows = [
        ("codes used", f"{found['codes_used']:,} of {found['codebook_size']:,}"),
        ("dead codes", f"{found['dead_codes']:,}"),
        ("perplexity", interval_text(found["perplexity"], 1)),
        ("codes an image", f"{found['positions']:,}"),
        ("bits an image", interval_text(found["bits_an_image"], 1)),
        ("bits an image, at most", f"{found['most_bits_an_image']:.1f}"),
    ]
    return Table(f"Codes, {found['n_images']:,} test images", ("", "value"), rows)


def _disentanglement(found: Card) -> list[Table]:
    names = {
        "mig": "MIG",
        "dci_disentanglement": "DCI disentanglement",
        "dci_completeness": "DCI completeness",
        "dci_informativeness": "DCI informativeness",
        "sap": "SAP",
    }
    factors = [
        (one["factor"], f"{one['mig']:.3f}", f"{one['informativeness']:.3f}")
        for one in found["factors"]
    ]
    title = f"Disentanglement, {found['n_images']:,} test images"
    return [
        Table(title, ("", "value"), [(names[key], f"{found[key]:.3f}") for key in names]),
        Table("By factor", ("factor", "MIG", "accuracy or R²"), factors),
    ]


def card_summary(card: Card) -> dict[str, Any]:
    """Return the parts of a card that a run's summary shows."""
    return {part: card[part] for part in _SUMMARISED if part in card}


def card_rows(summary: Card) -> list[tuple[str, str]]:
    """Return the main results of a summarised card as rows of name and text."""
    rows = []
    if sentence := collapse_text(summary):
        rows.append(("Collapse", sentence))
    if "reconstruction" in summary:
        rows += _reconstruction_rows(summary)
    if "latents" in summary:
        rank = f"{summary['latents']['effective_rank']:.1f} of {summary['latent_dim']}"
        rows.append(("Effective rank", rank))
    if "representation" in summary:
        rows += _representation_rows(summary["representation"])
    if "likelihood" in summary:
        found = summary["likelihood"]
        rows.append(("Test ELBO", f"{nats_text(found['elbo'])} nats an image"))
        rows.append(
            (
                f"Test log-likelihood, IWAE-{found['importance_samples']}",
                f"{nats_text(found['importance_weighted'])} nats an image",
            )
        )
        active = f"{found['active_dimensions']} of {summary['latent_dim']}"
        rows.append(("Active dimensions", active))
    if "codes" in summary:
        rows += _code_rows(summary)
    if "disentanglement" in summary:
        found = summary["disentanglement"]
        names = {"mig": "MIG", "dci_disentanglement": "DCI", "sap": "SAP"}
        text = ", ".join(f"{name} {found[key]:.3f}" for key, name in names.items())
        rows.append(("Disentanglement", text))
    return rows


def _code_rows(summary: Card) -> list[tuple[str, str]]:
    found = summary["codes"]
    used = f"{found['codes_used']:,} of {found['codebook_size']:,} used"
    dead, perplexity = f"{found['dead_codes']:,} dead", f"{found['perplexity']['value']:.1f}"
    bits, most = f"{found['bits_an_image']['value']:.1f}", f"{found['most_bits_an_image']:.1f}"
    rows = [
        ("Codes", f"{used}, {dead}, perplexity {perplexity}"),
        ("Bits an image", f"{bits} (at most {most}; codes an image: {found['positions']:,})"),
    ]
    if sentence := dead_codes_text(summary):
        rows.append(("Dead codes", sentence))
    return rows


def _reconstruction_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    d, found, pca = (
        summary["latent_dim"],
        summary["reconstruction"],
        summary["baselines"].get("pca"),
    )
    rows = [(f"Test MSE, {d} latents", estimate_text(found["mse"]))]
    if "mse_from_corrupted" in found:
        rows.append(("Test MSE from corrupted input", estimate_text(found["mse_from_corrupted"])))
        rows.append(("Test MSE of the corrupted input", estimate_text(found["mse_of_corrupted"])))
    if pca is not None:
        rows.append((f"Test MSE, PCA of {d}", estimate_text(pca["mse"])))
    if "ssim" in found:
        own, *others = (
            f"{one['psnr']['value']:.2f} dB, {one['ssim']['value']:.3f}"
            for one in (found, pca)
            if one is not None
        )
        rows.append(("PSNR, SSIM", f"{own} (PCA {others[0]})" if others else own))
    return rows


def _representation_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return accuracies of probes (on all labels) and k-means in latents and baselines."""

    def row(name: str, figure: Callable[[Card], Mapping[str, float]]) -> tuple[str, str]:
        values = {space: figure(one)["value"] for space, one in found["spaces"].items()}
        others = ", ".join(
            f"{SPACES[space]} {value:.3f}" for space, value in values.items() if space != "latents"
        )
        own = f"{values['latents']:.3f}"
        return name, f"{own} ({others})" if others else own

    k = found["knn"]["n_neighbors"]
    return [
        row("Linear probe", lambda space: space["linear"][-1]["accuracy"]),
        row(f"{k}-NN probe", lambda space: space["knn"][-1]["accuracy"]),
        row("k-means, matched", lambda space: space["kmeans"]["accuracy"]),
    ]


def quality_line(quality: Mapping[str, Any], of: str = "latents") -> str:
    """Return the main measures of a map's quality in one line.

    Args:
        quality: the quality, as in a map's record.
        of: what the map's points are, such as latents or features.
    """
    named = [
        ("trustworthiness", quality["trustworthiness"]),
        ("continuity", quality["continuity"]),
        ("area under R_NX", quality["auc_r_nx"]),
        ("Spearman correlation", quality["spearman_correlation"]),
        ("stress", quality["scale_normalised_stress"]),
    ]
    parts = [f"{name} {_short(estimate)}" for name, estimate in named if estimate is not None]
    if quality["knn_accuracy_map"] is not None:
        parts.append(
            f"{quality['n_neighbors']}-NN accuracy {_short(quality['knn_accuracy_map'])} "
            f"({of} {_short(quality['knn_accuracy_latents'])})"
        )
    text = ", ".join(parts)
    if quality["n_anchors"] < quality["n_points"]:
        text += f"; sampled at {quality['n_anchors']:,} of {quality['n_points']:,} points"
    return text


def estimate_text(estimate: Mapping[str, float]) -> str:
    """Format a mean with its standard error."""
    return f"{estimate['value']:.4f} ± {estimate['standard_error']:.4f}"


def nats_text(estimate: Mapping[str, float]) -> str:
    """Format a mean in nats with its standard error."""
    return f"{estimate['value']:.1f} ± {estimate['standard_error']:.1f}"


def _short(estimate: Mapping[str, float]) -> str:
    error = f"{estimate['standard_error']:.3f}"
    return f"{estimate['value']:.3f}" + (f" ± {error}" if error != "0.000" else "")
