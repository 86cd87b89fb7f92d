"""Summary of a run in a few lines, read from its committed files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from latentkit.pipeline.card_tables import SPACES
from latentkit.pipeline.context import DATA, EVALUATION, HISTORY, OBJECTIVE, REPORT
from latentkit.pipeline.transfers.tables import is_transfer, transfer_rows
from latentkit.runs.folder import RunFolder

Row = tuple[str, str]
_ALWAYS = ("latent_dim", "reconstruction", "baselines")
_FURTHER = ("representation", "likelihood", "disentanglement", "robustness", "left_out")


def summarise(folder: RunFolder) -> dict[str, Any]:
    """Return the figures of a run as a JSON object, without those that are not committed yet."""
    manifest = folder.manifest
    config = manifest.config
    summary: dict[str, Any] = {
        "run": manifest.id,
        "path": str(folder.path),
        "status": manifest.status,
        "model": config["model"]["name"],
        "dataset": config["dataset"]["name"],
        "corruptions": [part["name"] for part in config.get("corruption", [])],
        "device": config["device"],
        "seconds": {name: round(stage.seconds, 3) for name, stage in manifest.stages.items()},
    }
    there = manifest.artefacts
    if DATA in there:
        summary["counts"] = folder.json(DATA)["counts"]
    if HISTORY in there:
        history = folder.json(HISTORY)
        summary["epochs"] = len(history["epochs"])
        summary["weights_epoch"] = history["weights_epoch"]
        # A stage's seconds count from its last start, but training may have been resumed.
        trained = round(sum(epoch["seconds"] for epoch in history["epochs"]), 3)
        summary["seconds"]["train"] = max(summary["seconds"].get("train", 0.0), trained)
        if history["epochs"]:
            summary["validation"] = history["epochs"][history["weights_epoch"] - 1]["validation"]
    if OBJECTIVE in there:
        summary["objective"] = folder.json(OBJECTIVE)["values"]
    if EVALUATION in there:
        card = folder.json(EVALUATION)
        if is_transfer(card):
            summary["transfer"] = card
        else:
            summary |= {part: card[part] for part in (*_ALWAYS, *_FURTHER) if part in card}
    summary["maps"] = {
        facts["map"]: {
            "n_points": facts["n_points"],
            "seconds": facts["seconds"],
            **facts["quality"],
        }
        for facts in map_facts(folder)
    }
    if REPORT in there:
        summary["report"] = str(folder.path / REPORT)
    return summary


def map_facts(folder: RunFolder) -> list[Mapping[str, Any]]:
    """Return the facts of every committed map, sorted by name."""
    paths = (path for path in folder.manifest.artefacts if path.startswith("embeddings/"))
    facts = (folder.json(path) for path in paths if path.endswith(".json"))
    return sorted(facts, key=lambda one: str(one["map"]))


def summary_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return the summary as rows of (name, text), for a terminal or a page."""
    rows = []
    if "transfer" in summary:
        rows += transfer_rows(summary["transfer"])
    if "reconstruction" in summary:
        rows += _reconstruction_rows(summary)
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
    if "disentanglement" in summary:
        found = summary["disentanglement"]
        names = {"mig": "MIG", "dci_disentanglement": "DCI", "sap": "SAP"}
        text = ", ".join(f"{name} {found[key]:.3f}" for key, name in names.items())
        rows.append(("Disentanglement", text))
    of = "features" if "transfer" in summary else "latents"
    for name, quality in summary["maps"].items():
        rows.append((f"Map {name}", quality_line(quality, of)))
    for one in summary.get("left_out", ()):
        rows.append(("Left out", f"{one['part']}: {one['why']}"))
    if "train" in summary["seconds"]:
        total = sum(summary["seconds"].values())
        training = summary["seconds"].get("train", 0.0)
        rows.append(("Time", f"{total:.1f} s, including training {training:.1f} s"))
    return rows


def _reconstruction_rows(summary: Mapping[str, Any]) -> list[tuple[str, str]]:
    d, found, pca = summary["latent_dim"], summary["reconstruction"], summary["baselines"]["pca"]
    rows = [(f"Test MSE, {d} latents", estimate_text(found["mse"]))]
    if "mse_from_corrupted" in found:
        rows.append(("Test MSE from corrupted input", estimate_text(found["mse_from_corrupted"])))
        rows.append(("Test MSE of the corrupted input", estimate_text(found["mse_of_corrupted"])))
    rows.append((f"Test MSE, PCA of {d}", estimate_text(pca["mse"])))
    if "ssim" in found:
        own, other = (
            f"{one['psnr']['value']:.2f} dB, {one['ssim']['value']:.3f}" for one in (found, pca)
        )
        rows.append(("PSNR, SSIM", f"{own} (PCA {other})"))
    return rows


def _representation_rows(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return accuracies of probes (on all labels) and k-means in latents and baselines."""

    def row(name: str, figure: Callable[[Mapping[str, Any]], Mapping[str, float]]) -> Row:
        values = {space: figure(one)["value"] for space, one in found["spaces"].items()}
        others = ", ".join(
            f"{SPACES[space]} {value:.3f}" for space, value in values.items() if space != "latents"
        )
        return name, f"{values['latents']:.3f} ({others})"

    k = found["knn"]["n_neighbors"]
    return [
        row("Linear probe", lambda space: space["linear"][-1]["accuracy"]),
        row(f"{k}-NN probe", lambda space: space["knn"][-1]["accuracy"]),
        row("k-means, matched", lambda space: space["kmeans"]["accuracy"]),
    ]


def quality_line(quality: Mapping[str, Any], of: str = "latents") -> str:
    """Return the main figures of a map's quality in one line.

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
