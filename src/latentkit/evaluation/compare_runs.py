"""Comparison of runs: options that differ, results, and whether differences may be chance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from numpy.typing import NDArray

from latentkit.errors import UserError, unexpected_content
from latentkit.evaluation import card_tables
from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap, Interval
from latentkit.evaluation.encoder_differences import best_row
from latentkit.evaluation.encoder_rows import (
    CLUSTERS,
    COSTS,
    PROBES,
    QUALITY,
    RunFiles,
    column_of,
    differing,
    encoder_rows,
    is_of_map,
    is_of_transfer,
)
from latentkit.evaluation.worth import was_it_worth
from latentkit.report.page import Table
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.runs.kind import KindOf, RunKind
from latentkit.runs.summary import map_facts
from latentkit.terminal import shell_command

Json = dict[str, Any]
Path_ = tuple[str, ...]

_FIGURES: dict[str, tuple[str, str, Path_, int]] = {
    # key: (display name, array with a value for each test image, path in the card, digits)
    "mse": ("MSE", "mse", ("reconstruction", "mse"), 4),
    "ssim": ("SSIM", "ssim", ("reconstruction", "ssim"), 3),
    "ms_ssim": ("MS-SSIM", "ms_ssim", ("reconstruction", "ms_ssim"), 3),
    "spectrum": ("spectrum, dB", "spectrum", ("reconstruction", "spectrum"), 2),
    "mse_from_corrupted": (
        "MSE from corrupted input",
        "mse_from_corrupted",
        ("reconstruction", "mse_from_corrupted"),
        4,
    ),
    "linear_accuracy": ("linear probe", "linear_hits", ("linear",), 3),
    "knn_accuracy": ("k-NN probe", "knn_hits", ("knn",), 3),
    "elbo": ("ELBO, nats an image", "elbo", ("likelihood", "elbo"), 1),
    "kl": ("KL, nats an image", "kl", ("likelihood", "kl"), 1),
    "codes_used": ("codes used", "", ("codes", "codes_used"), 0),
    "dead_codes": ("dead codes", "", ("codes", "dead_codes"), 0),
    "perplexity": ("perplexity of the codes", "", ("codes", "perplexity"), 1),
    "code_bits": ("bits an image", "code_bits", ("codes", "bits_an_image"), 1),
    "accuracy": ("accuracy", "hits", ("after", "accuracy"), 4),
    "balanced_accuracy": ("balanced accuracy", "", ("after", "balanced_accuracy"), 4),
    "calibration_error": (
        "expected calibration error",
        "",
        ("after", "expected_calibration_error"),
        4,
    ),
}
_MISSING = "–"
ENCODERS = "Encoders"
"""Start of the titles of the tables with a row for each encoder."""


def compare_runs(folders: Sequence[RunFolder], kind_of: KindOf) -> Json:
    """Compare runs, and return the result as JSON.

    Args:
        folders: two or more runs. Transfers are compared with each other; among other runs, each
            belongs to the run that it started from.
        kind_of: returns the kind of a run: autoencoder, transfer or trial.

    Returns:
        ``answer``: whether the best autoencoder was worth its training, as `was_it_worth`;
        ``encoders``: a row for each encoder, as `Encoder.as_json`; both are empty if all runs are
        transfers; ``runs``: names of the runs that follow, which are no transfers unless all are;
        ``transfers``: names of the others; ``config``: each key that is not the same in all, with
        its value in each run; ``figures``: by name, the value of each run with its interval, or
        None (counts, such as that of dead codes, have no interval); ``differences``: by name, the
        value of each further run minus that of the first, with its interval; ``paired``: whether
        the differences were taken image by image; ``maps``.

    Raises:
        UserError: there are fewer than two runs, a transfer's parent is not among the runs, or a
            run was evaluated with another protocol.
        IntegrityError: a file of a run was changed or has another structure.
    """
    with unexpected_content(*(folder.path for folder in folders)):
        return _compared(folders, kind_of)


def _compared(folders: Sequence[RunFolder], kind_of: KindOf) -> Json:
    if len(folders) < 2:
        raise UserError("a comparison needs at least two runs: name another one")
    opened = [_opened(folder, kind_of(folder)) for folder in folders]
    transfers = [one for one in opened if _is_transfer(one)]
    runs = [one for one in opened if not _is_transfer(one)] or transfers
    beside = [] if runs is transfers else transfers
    for one in beside:
        _check_parent(one, runs)
    paired = len({one.folder.json(run_files.DATA)["digest"]["test"] for one in runs}) == 1
    figures = {key: [_figure(one.card, key) for one in runs] for key in _FIGURES}
    found: Json = {"answer": {}, "encoders": []}
    if runs is not transfers:
        different = list({one.folder.path: one for one in runs}.values())
        rows = encoder_rows(different, beside)
        keys = dict.fromkeys(key for row in rows for key in row.figures)
        best = {key: best_row(rows, key, paired=paired) for key in keys}
        found["answer"] = was_it_worth(rows, paired=paired, n_images=runs[0].card["n_images"])
        found["encoders"] = [
            row.as_json([key for key, one in best.items() if one is row]) for row in rows
        ]
    return {
        **found,
        "runs": [one.folder.manifest.id for one in runs],
        "transfers": [one.folder.manifest.id for one in beside],
        "config": differing([one.config for one in runs]),
        "confidence": CONFIDENCE,
        "paired": paired,
        "figures": {key: found for key, found in figures.items() if any(found)},
        "differences": _differences([one.arrays for one in runs], paired),
        "maps": _maps([one.folder for one in runs]),
    }


def _opened(folder: RunFolder, kind: RunKind) -> RunFiles:
    card = folder.json(run_files.EVALUATION)
    if card["protocol"] != kind.protocol:
        raise UserError(
            f"run {folder.manifest.id} was evaluated by another version of latentkit (protocol "
            f"{card['protocol']}, not {kind.protocol}): evaluate it again with  "
            f"{shell_command('evaluate', folder.path)}"
        )
    return RunFiles(folder, card, folder.arrays(run_files.FIGURES_OF_IMAGES))


def _is_transfer(run: RunFiles) -> bool:
    return run.card.get("kind") == "transfer"


def _check_parent(transfer: RunFiles, runs: Sequence[RunFiles]) -> None:
    parent, name = transfer.card["parent"], transfer.folder.manifest.id
    if parent not in {one.folder.manifest.id for one in runs}:
        started = f"started from run {parent}" if parent else "started from no run"
        remedy = "compare that run, too, or compare" if parent else "compare"
        raise UserError(
            f"{name} is a transfer and {started}, which is not compared: {remedy} transfers only "
            f"with other transfers"
        )


def comparison_tables(found: Json) -> list[Table]:
    """Return a comparison as tables of text, with the configurations first.

    Raises:
        IntegrityError: a figure that was taken from a run's files has another structure.
    """
    with unexpected_content(*(f"run {name}" for name in found["runs"])):
        return _tables(found)


def _tables(found: Json) -> list[Table]:
    short = [f"[{number}]" for number in range(1, len(found["runs"]) + 1)]
    runs = Table("Runs", ("", "run"), list(zip(short, found["runs"], strict=True)))
    config = Table(
        "Configuration, where it differs",
        ("", *short),
        [(key, *map(_text, values)) for key, values in found["config"].items()],
    )
    figures = Table(
        "Results on the test images, with "
        f"{card_tables.percent_text(found['confidence'])} intervals",
        ("", *short),
        [
            (_FIGURES[key][0], *(_interval(one, _FIGURES[key][3]) for one in values))
            for key, values in found["figures"].items()
        ]
        + [
            (
                f"map {name}: {card_tables.MAP_FIGURES[key]}",
                *(_MISSING if v is None else f"{v:.3f}" for v in values),
            )
            for name, by_key in found["maps"].items()
            for key, values in by_key.items()
        ],
    )
    how = "image by image" if found["paired"] else "between different test images"
    differences = Table(
        f"Difference from [1], {how}; * if the interval excludes 0",
        ("", *short[1:]),
        [
            (_FIGURES[key][0], *(_difference(one, _FIGURES[key][3]) for one in values))
            for key, values in found["differences"].items()
        ],
    )
    tables = (runs, *_encoder_tables(found), config, figures, differences)
    return [table for table in tables if table.rows]


def _encoder_tables(found: Json) -> list[Table]:
    """Return the rows of encoders in tables that are narrow enough to read."""
    rows = found.get("encoders", [])
    several = any(len(row["runs"]) > 1 for row in rows)
    over = "seeds and test images" if several else "test images"
    note = f"± half of {card_tables.percent_text(found['confidence'])} intervals over {over}"
    keys = dict.fromkeys(key for row in rows for key in row["figures"])
    knn, linear = ([key for key in PROBES if key.startswith(one)] for one in ("knn", "linear"))
    of_maps = [key for key in keys if is_of_map(key)]
    groups = {  # a table has few columns, because a terminal is narrow
        f"accuracy of 10-NN by share of labels, {note}": knn,
        "accuracy of linear probes by share of labels": linear,
        "reconstruction, latents and maps": [*QUALITY, *of_maps],
        "k-means against the labels": [*CLUSTERS],
        "accuracy of transfers": [key for key in keys if is_of_transfer(key)],
        "what they take": [*COSTS],
    }
    tables = []
    for title, wanted in groups.items():
        shown = [key for key in wanted if key in keys]
        having = [row for row in rows if any(key in row["figures"] for key in shown)]
        cells = [(row["name"], *(_encoder_cell(row, key) for key in shown)) for row in having]
        starred = any(key in row["best"] for row in having for key in shown)
        header = ("", *(column_of(key).name for key in shown))
        title = f"{ENCODERS}: {title}{'; * clearly best' if starred else ''}"
        tables.append(Table(title, header, cells))
    return tables


def _encoder_cell(row: Json, key: str) -> str:
    figure, digits = row["figures"].get(key), column_of(key).digits
    if figure is None:
        return _MISSING
    star = " *" if key in row["best"] else ""
    text = f"{figure['value']:,.{digits}f}"
    if figure["low"] is None or figure["low"] == figure["high"]:
        return text + star
    return f"{text} ± {(figure['high'] - figure['low']) / 2:,.{digits}f}{star}"


def _figure(card: Json, key: str) -> Json | None:
    where = _FIGURES[key][2]
    if len(where) == 1:
        spaces = card.get("representation", {}).get("spaces")
        return spaces["latents"][where[0]][-1]["accuracy"] if spaces else None
    figure: Json | int | None = card.get(where[0], {}).get(where[1])
    return {"value": figure} if isinstance(figure, int) else figure


def _differences(arrays: Sequence[Mapping[str, NDArray[Any]]], paired: bool) -> Json:
    found: Json = {}
    for key, (_, name, _, _) in _FIGURES.items():
        first, others = arrays[0].get(name), [one.get(name) for one in arrays[1:]]
        if first is None or all(other is None for other in others):
            continue
        found[key] = [
            None if other is None else asdict(_less(other, first, paired)) for other in others
        ]
    return found


def _less(values: NDArray[Any], others: NDArray[Any], paired: bool) -> Interval:
    """Return the mean of ``values`` minus the mean of ``others``, with its interval."""
    if paired:
        return Bootstrap(len(values), 0).of_mean(values - others)
    error = math.hypot(*(float(one.std(ddof=1)) / math.sqrt(len(one)) for one in (values, others)))
    difference = float(values.mean() - others.mean())
    reach = 1.959964 * error  # 95 % of a normal distribution is within 1.96 standard deviations
    return Interval(difference, error, difference - reach, difference + reach)


def _maps(folders: Sequence[RunFolder]) -> Json:
    quality = [{one["map"]: one["quality"] for one in map_facts(folder)} for folder in folders]
    names = dict.fromkeys(name for of_run in quality for name in of_run)
    shown = ("trustworthiness", "continuity", "auc_r_nx", "knn_accuracy_map")

    def value(of_run: Json, name: str, key: str) -> float | None:
        figure = of_run.get(name, {}).get(key)
        return None if figure is None else figure["value"]

    return {
        name: {key: [value(of_run, name, key) for of_run in quality] for key in shown}
        for name in names
    }


def _text(value: Any) -> str:
    return _MISSING if value is None else str(value)


def _interval(figure: Json | None, digits: int) -> str:
    if figure is None:
        return _MISSING
    if "low" not in figure:  # a count
        return f"{figure['value']:,}"
    return card_tables.interval_text(figure, digits)


def _difference(figure: Json | None, digits: int) -> str:
    return _MISSING if figure is None else card_tables.difference_text(figure, digits)
