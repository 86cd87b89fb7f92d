"""Summary of a run in a few lines, read from its committed files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from latentkit.errors import IntegrityError, unexpected_content
from latentkit.evaluation.card_sentences import reading_text
from latentkit.evaluation.card_tables import quality_line
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import RunKind
from latentkit.runs.manifest import NAME, LeftOut
from latentkit.runs.packed import SUFFIX, is_unpacked
from latentkit.runs.stages import UNENDED, again_command
from latentkit.terminal import shell_command


def summarise(folder: RunFolder, kind: RunKind) -> dict[str, Any]:
    """Return the results of a run as a JSON object, without those that are not committed yet.

    Raises:
        IntegrityError: the manifest's configuration is incomplete, or a committed file was changed
            or has another structure.
    """
    with unexpected_content(folder.path):
        return _summarised(folder, kind)


def _summarised(folder: RunFolder, kind: RunKind) -> dict[str, Any]:
    manifest = folder.manifest
    summary: dict[str, Any] = {
        "run": manifest.id,
        "path": str(folder.path),
        "status": manifest.status,
        **_chosen(folder),
        "seconds": {name: round(stage.seconds, 3) for name, stage in manifest.stages.items()},
    }
    there = [path for path in manifest.artefacts if not folder.outdated_by(path)]
    if run_files.DATA in there:
        summary["counts"] = folder.json(run_files.DATA)["counts"]
    if run_files.HISTORY in there:
        history = folder.json(run_files.HISTORY)
        summary["epochs"] = len(history["epochs"])
        summary["weights_epoch"] = history["weights_epoch"]
        # A stage's seconds count from its last start, but training may have been resumed.
        trained = round(sum(epoch["seconds"] for epoch in history["epochs"]), 3)
        summary["seconds"]["train"] = max(summary["seconds"].get("train", 0.0), trained)
        if "weights" in history:
            summary["weights"] = history["weights"]
        if history["epochs"]:
            summary["validation"] = history["epochs"][history["weights_epoch"] - 1]["validation"]
    if run_files.OBJECTIVE in there:
        summary["objective"] = folder.json(run_files.OBJECTIVE)["values"]
    if run_files.EVALUATION in there:
        summary |= kind.summary(folder.json(run_files.EVALUATION))
    summary["maps"] = {
        facts["map"]: {
            "n_points": facts["n_points"],
            "seconds": facts["seconds"],
            **facts["quality"],
            "reading": reading_text(facts, kind.points),
        }
        for facts in map_facts(folder)
    }
    summary["left_out"] = [*summary.get("left_out", ()), *_left_out(folder)]
    if run_files.REPORT in there:
        summary["report"] = str(folder.path / run_files.REPORT)
    if run_files.EXPLORER in there:
        summary["explorer"] = str(folder.path / run_files.EXPLORER)
    return summary


def _chosen(folder: RunFolder) -> dict[str, Any]:
    config = folder.manifest.config
    try:
        return {
            "model": config["model"]["name"],
            "dataset": config["dataset"]["name"],
            "corruptions": [part["name"] for part in config.get("corruption", [])],
            "device": config["device"],
        }
    except (KeyError, TypeError) as error:
        raise IntegrityError(f"{folder.path / NAME} is damaged: config is incomplete") from error


def _left_out(folder: RunFolder) -> list[dict[str, str]]:
    """Return part, reason and command of each optional part that could not be made."""
    manifest = folder.manifest
    return [
        {"part": one.part, "why": one.why, "again": _again(folder, one)}
        for one in manifest.left_out.values()
        if manifest.status != "running" or one.why != UNENDED  # it may be executed now
    ]


def _again(folder: RunFolder, one: LeftOut) -> str:
    """Return the command that makes a part, for a packed run after it was unpacked."""
    if not is_unpacked(folder.path) or not one.again:
        return again_command(folder, one)
    name = folder.path.name
    command, *words = one.again
    unpack, make = shell_command("unpack", f"{name}{SUFFIX}"), shell_command(command, name, *words)
    return f"{unpack} && {make}"


def map_facts(folder: RunFolder) -> list[Mapping[str, Any]]:
    """Return the facts of every committed map, sorted by name."""
    made = (path for path in folder.manifest.artefacts if path.startswith("embeddings/"))
    paths = (path for path in made if not folder.outdated_by(path))
    facts = (folder.json(path) for path in paths if path.endswith(".json"))
    return sorted(facts, key=lambda one: str(one["map"]))


def status_text(summary: Mapping[str, Any]) -> str:
    """Return a run's status, with what a finished run lacks: ``finished, with 1 map left out``."""
    lacking = [one["part"] for one in summary["left_out"] if "again" in one]
    if summary["status"] != "finished" or not lacking:
        return str(summary["status"])
    maps = sum(part.startswith("map ") for part in lacking)
    said = [f"{maps} map{'s' if maps > 1 else ''}"] if maps else []
    said += [f"the {part}" for part in lacking if not part.startswith("map ")]
    return f"finished, with {' and '.join(said)} left out"


def summary_rows(summary: Mapping[str, Any], kind: RunKind) -> list[tuple[str, str]]:
    """Return the summary as rows of name and text, for a terminal or a page.

    Raises:
        IntegrityError: a committed file has another structure than the rows need.
    """
    with unexpected_content(summary["path"]):
        return _rows(summary, kind)


def _rows(summary: Mapping[str, Any], kind: RunKind) -> list[tuple[str, str]]:
    rows = [("Weights", summary["weights"])] if summary.get("weights") else []
    rows += kind.rows(summary)
    for name, quality in summary["maps"].items():
        rows.append((f"Map {name}", quality_line(quality, kind.points)))
        rows.append(("", quality["reading"]))
    for one in summary.get("left_out", ()):
        again = f"; {one['again']} tries again" if one.get("again") else ""
        rows.append(("Left out", f"{one['part']}: {one['why']}{again}"))
    if "train" in summary["seconds"]:
        total = sum(summary["seconds"].values())
        training = summary["seconds"].get("train", 0.0)
        rows.append(("Time", f"{total:.1f} s, of which training {training:.1f} s"))
    return rows
