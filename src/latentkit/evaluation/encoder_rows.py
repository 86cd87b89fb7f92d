"""Encoders side by side: a row for each, with figures, intervals and what they cost.

Runs that differ only in their seed are one row. An interval contains two spreads: over test images,
from the cards of the runs, and over seeds, Student's t. They are independent, so that the distances
of an end from the mean are added as the root of their squares.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from latentkit.evaluation.bootstrap import CONFIDENCE, Bootstrap, replicated
from latentkit.evaluation.card_tables import SPACES
from latentkit.evaluation.representation import N_NEIGHBORS, SHARES
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.runs.summary import map_facts

Json = dict[str, Any]
Kind = Literal["autoencoder", "encoder", "baseline"]


@dataclass(frozen=True)
class Column:
    """A figure of encoders.

    Args:
        name: its heading.
        digits: digits after the point.
        better: ``high`` or ``low`` if one is better, else empty.
        of_images: name of its values for each test image; empty if there are none.
    """

    name: str
    digits: int
    better: Literal["high", "low", ""] = ""
    of_images: str = ""


_NAMES = {"knn": f"{N_NEIGHBORS}-NN", "linear": "linear"}

PROBES = {
    f"{probe} {share:.0%}": Column(
        f"{name}, {100 * share:g} %", 3, "high", probe if share == 1.0 else ""
    )
    for probe, name in _NAMES.items()
    for share in SHARES
}
"""Accuracies of probes by share of labels."""
QUALITY = {
    "mse": Column("test MSE", 4, "low", "mse"),
    "nmi": Column("NMI", 3, "high"),
    "ari": Column("ARI", 3, "high"),
    "cluster_accuracy": Column("ACC", 3, "high"),
    "effective_rank": Column("effective rank", 1),
}
"""Reconstruction, k-means clusters against the labels, and the spread of the latents."""
COSTS = {
    "training_seconds": Column("training, s", 1, "low"),
    "memory_mb": Column("memory, MB", 0, "low"),
    "device_memory_mb": Column("GPU memory, MB", 0, "low"),
    "encoding_us": Column("µs to encode an image", 1, "low"),
    "parameters": Column("weights", 0),
}
"""What an encoder takes: 1 MB has 10^6 bytes."""
_OF_MAP, _OF_TRANSFER = "trust ", "transfer "


def column_of(key: str) -> Column:
    """Return the column of a figure; maps and transfers have columns of their own."""
    if key.startswith(_OF_MAP):
        return Column(f"trust, {key.removeprefix(_OF_MAP)}", 3, "high")
    if key.startswith(_OF_TRANSFER):
        return Column(key.removeprefix(_OF_TRANSFER), 3, "high")
    return {**PROBES, **QUALITY, **COSTS}[key]


def is_of_map(key: str) -> bool:
    """Return whether a figure is the trustworthiness of a map."""
    return key.startswith(_OF_MAP)


def is_of_transfer(key: str) -> bool:
    """Return whether a figure is the accuracy of a kind of transfer."""
    return key.startswith(_OF_TRANSFER)


@dataclass(frozen=True)
class Encoder:
    """An encoder, or a baseline, and what was measured of it in each of its runs.

    Args:
        name: the model's name, and what else tells it from the other rows.
        kind: ``autoencoder`` if it has a decoder, ``encoder`` if not, or ``baseline``.
        runs: ids of the runs; those of a baseline are one for each seed, whose cards have it.
        seeds: seed of each run.
        figures: by key, with ``value``, ``low`` and ``high``; the ends are None if unknown.
        of_images: by name, an array (N,) for each run, with a value for each test image.
        trained: whether any of its runs was trained.
        latent_dim: number of latent dimensions; 0 for raw pixels.
    """

    name: str
    kind: Kind
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: Mapping[str, Json]
    of_images: Mapping[str, Sequence[NDArray[Any]]] = field(repr=False)
    trained: bool = False
    latent_dim: int = 0

    def as_json(self, best: Sequence[str]) -> Json:
        """Return the row as JSON; ``best`` are the keys of the figures in which it is best."""
        return {
            "name": self.name,
            "kind": self.kind,
            "runs": list(self.runs),
            "seeds": list(self.seeds),
            "figures": dict(self.figures),
            "best": list(best),
        }


@dataclass(frozen=True)
class _Measured:
    """What one run says of one encoder."""

    run: str
    seed: int
    figures: Mapping[str, Json]
    of_images: Mapping[str, NDArray[Any]]
    trained: bool = False
    latent_dim: int = 0


@dataclass(frozen=True)
class RunFiles:
    """A run's folder, its evaluation card, and its figures of each test image."""

    folder: RunFolder
    card: Json
    arrays: Mapping[str, NDArray[Any]]

    @property
    def config(self) -> Json:
        """The run's configuration."""
        return self.folder.manifest.config


def encoder_rows(runs: Sequence[RunFiles], transfers: Sequence[RunFiles]) -> list[Encoder]:
    """Return a row for each encoder, and then one for each baseline of their cards.

    Args:
        runs: runs of models.
        transfers: transfers of these runs.
    """
    groups: dict[str, list[RunFiles]] = {}
    for run in runs:
        groups.setdefault(_identity(run), []).append(run)
    names = _names([group[0] for group in groups.values()])
    rows = []
    for name, group in zip(names, groups.values(), strict=True):
        kind: Kind = "autoencoder" if "reconstruction" in group[0].card else "encoder"
        rows.append(_row(name, kind, [_own(run, transfers) for run in group]))
    return [*rows, *_baselines(runs)]


def _identity(run: RunFiles) -> str:
    """Return what runs of one row have in common: configuration without seed, and images."""
    chosen = {k: v for k, v in run.config.items() if k not in ("seed", "device", "threads")}
    return json.dumps([chosen, run.folder.json(run_files.DATA)["digest"]], sort_keys=True)


def _names(runs: Sequence[RunFiles]) -> list[str]:
    """Return a name for each row: model, corruptions, and options if they differ."""
    heads = [
        ", ".join(
            [run.config["model"]["name"], *(c["name"] for c in run.config.get("corruption", []))]
        )
        for run in runs
    ]
    names = list(heads)
    for head in {one for one in heads if heads.count(one) > 1}:
        places = [place for place, one in enumerate(heads) if one == head]
        options = differing([runs[place].config for place in places])
        shown = [key for key in options if key != "seed"][:_MOST_OPTIONS]
        for number, place in enumerate(places):
            texts = [f"{key.rpartition('.')[2]}={options[key][number]}" for key in shown]
            names[place] = ", ".join([head, *texts])
    return [
        name if names.count(name) == 1 else f"{name}, {run.folder.manifest.id}"
        for name, run in zip(names, runs, strict=True)
    ]


_MOST_OPTIONS = 3  # in a row's name


def differing(configs: Sequence[Mapping[str, Any]]) -> dict[str, list[Any]]:
    """Return each key that is not the same in all configurations, with the value in each."""
    flat = [dict(_flattened(config)) for config in configs]
    keys = sorted({key for config in flat for key in config})
    values = {key: [config.get(key) for config in flat] for key in keys}
    return {key: found for key, found in values.items() if any(v != found[0] for v in found)}


def _flattened(value: Any, key: str = "") -> list[tuple[str, Any]]:
    if isinstance(value, Mapping):
        items = [(f"{key}.{name}" if key else str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        items = [(f"{key}[{number}]", inner) for number, inner in enumerate(value)]
    else:
        return [(key, value)]
    return [pair for name, inner in items for pair in _flattened(inner, name)]


def _own(run: RunFiles, transfers: Sequence[RunFiles]) -> _Measured:
    folder, card = run.folder, run.card
    figures = _of_space(card, "latents")
    of_images = {
        name: run.arrays[array]
        for name, array in (("mse", "mse"), ("knn", "knn_hits"), ("linear", "linear_hits"))
        if array in run.arrays
    }
    if "reconstruction" in card:
        figures["mse"] = _ends(card["reconstruction"]["mse"])
    if "latents" in card:
        figures["effective_rank"] = _exact(card["latents"]["effective_rank"])
    for facts in map_facts(folder):
        found = facts["quality"]["trustworthiness"]
        figures[f"{_OF_MAP}{facts['map']}"] = _by_error(found["value"], found["standard_error"])
    own = [one for one in transfers if one.card["parent"] == folder.manifest.id]
    for key, several in _of_transfers(own, run).items():
        figures[key] = _combined(several)
    history = folder.json(run_files.HISTORY)["epochs"]
    return _Measured(
        folder.manifest.id,
        folder.manifest.seed,
        {**figures, **_costs(folder, history)},
        of_images,
        bool(history),
        card["latent_dim"],
    )


def _costs(folder: RunFolder, history: Sequence[Json]) -> Json:
    """Return what training and encoding took, without what an earlier version did not record."""
    found = {"training_seconds": _exact(sum(epoch["seconds"] for epoch in history))}
    for key, name in (("memory_bytes", "memory_mb"), ("device_memory_bytes", "device_memory_mb")):
        if most := max((epoch.get(key, 0) for epoch in history), default=0):
            found[name] = _exact(most / 1e6)
    if run_files.ENCODING in folder.manifest.artefacts:
        record = folder.json(run_files.ENCODING)
        found["encoding_us"] = _exact(1e6 * record["seconds_per_image"])
        found["parameters"] = _exact(record["parameters"])
    return found


def _of_transfers(transfers: Sequence[RunFiles], parent: RunFiles) -> dict[str, list[Json]]:
    """Return the accuracies of transfers by mode, labels and, if it is another, data set."""
    found: dict[str, list[Json]] = {}
    images = parent.folder.json(run_files.DATA)["digest"]["test"]
    for one in transfers:
        asked = one.card["labels"]["asked"].replace("%", " %")
        key = f"{_OF_TRANSFER}{one.card['mode']}, {asked}"
        if one.folder.json(run_files.DATA)["digest"]["test"] != images:
            key += f" of {one.config['dataset']['name']}"
        found.setdefault(key, []).append(_ends(one.card["after"]["accuracy"]))
    return found


def _of_space(card: Json, space: str) -> dict[str, Json]:
    """Return the figures of probes and clusters in a space of features, if the card has them."""
    found = card.get("representation", {}).get("spaces", {}).get(space)
    if found is None:
        return {}
    figures = {
        f"{probe} {one['share']:.0%}": _ends(one["accuracy"])
        for probe in _NAMES
        for one in found[probe]
        if one["share"] in SHARES
    }
    kmeans = found["kmeans"]
    names = {"nmi": "nmi", "ari": "ari", "cluster_accuracy": "accuracy"}
    return figures | {key: _ends(kmeans[name]) for key, name in names.items()}


def _baselines(runs: Sequence[RunFiles]) -> list[Encoder]:
    """Return the rows of PCA, random encoders and raw pixels, each measured once for a seed."""
    found: dict[tuple[str, str], dict[int, _Measured]] = {}
    for run in runs:
        names = {
            "pca": f"{SPACES['pca']} of {run.card['latent_dim']}",
            "random_encoder": f"{run.config['model']['name']}, random weights",
            "raw_pixels": SPACES["raw_pixels"],
        }
        images = run.folder.json(run_files.DATA)["digest"]
        for space, name in names.items():
            figures = _of_space(run.card, space)
            if space == "pca" and "pca" in run.card["baselines"]:
                figures["mse"] = _ends(run.card["baselines"]["pca"]["mse"])
            if not figures:
                continue
            network = run.config["model"] if space == "random_encoder" else ""
            key = json.dumps(
                [space, name, network, images, run.config.get("split")], sort_keys=True
            )
            of_images = {
                probe: run.arrays[f"{space}_{probe}_hits"]
                for probe in ("knn", "linear")
                if f"{space}_{probe}_hits" in run.arrays
            }
            if space == "pca" and "pca_mse" in run.arrays:
                of_images["mse"] = run.arrays["pca_mse"]
            manifest = run.folder.manifest
            size = 0 if space == "raw_pixels" else run.card["latent_dim"]
            one = _Measured(manifest.id, manifest.seed, figures, of_images, latent_dim=size)
            known = found.setdefault((key, name), {}).get(manifest.seed)
            # A run without a decoder has no reconstructions by PCA, so another one may say more.
            if known is None or len(known.figures) < len(figures):
                found[key, name][manifest.seed] = one
    order = {key: place for place, key in enumerate(SPACES)}
    sorted_ = sorted(found.items(), key=lambda one: order[json.loads(one[0][0])[0]])
    return [_row(name, "baseline", list(of.values())) for (_, name), of in sorted_]


def _row(name: str, kind: Kind, measured: Sequence[_Measured]) -> Encoder:
    keys = dict.fromkeys(key for one in measured for key in one.figures)
    arrays = dict.fromkeys(key for one in measured for key in one.of_images)
    return Encoder(
        name,
        kind,
        tuple(one.run for one in measured),
        tuple(one.seed for one in measured),
        {k: _combined([one.figures[k] for one in measured if k in one.figures]) for k in keys},
        {
            key: [one.of_images[key] for one in measured]
            for key in arrays
            if all(key in one.of_images for one in measured)
        },
        any(one.trained for one in measured),
        measured[0].latent_dim,
    )


def _exact(value: float) -> Json:
    return {"value": float(value), "low": None, "high": None}


def _ends(figure: Mapping[str, float]) -> Json:
    return {key: figure[key] for key in ("value", "low", "high")}


def _by_error(value: float, error: float) -> Json:
    reach = _NORMAL * error
    return {"value": value, "low": value - reach, "high": value + reach}


_NORMAL = 1.959964  # 95 % of a normal distribution is within so many standard deviations


def _combined(figures: Sequence[Json]) -> Json:
    """Return the mean over runs of one figure, with the interval that the module describes."""
    over_seeds = replicated([one["value"] for one in figures])
    if all(one["low"] is None for one in figures):
        return {"value": over_seeds.value, "low": over_seeds.low, "high": over_seeds.high}
    below, above = (
        float(np.mean([abs(one["value"] - one[end]) for one in figures])) for end in ("low", "high")
    )
    spread = 0.0 if over_seeds.high is None else over_seeds.high - over_seeds.value
    return _around(over_seeds.value, below, above, spread)


def _around(value: float, below: float, above: float, spread: float) -> Json:
    low, high = value - math.hypot(below, spread), value + math.hypot(above, spread)
    return {"value": value, "low": low, "high": high}


def difference(one: Encoder, other: Encoder, key: str, *, paired: bool) -> Json | None:
    """Return the figure of one row minus that of another, with its 95 % interval.

    Args:
        one: a row that has the figure.
        other: another one that has it.
        key: the figure.
        paired: whether both were measured on the same test images. If both rows also have a value
            for each image, the difference is taken image by image. Its spread over seeds is taken
            seed by seed if both have the same seeds.

    Returns:
        ``value``, ``low`` and ``high``; None if a row has no interval of this figure.
    """
    figures = one.figures[key], other.figures[key]
    value = figures[0]["value"] - figures[1]["value"]
    arrays = [row.of_images.get(column_of(key).of_images, ()) for row in (one, other)]
    lengths = {len(array) for of_row in arrays for array in of_row}
    if not (paired and all(arrays) and len(lengths) == 1):
        if any(figure["low"] is None for figure in figures):
            return None
        below = math.hypot(value_to(figures[0], "low"), value_to(figures[1], "high"))
        above = math.hypot(value_to(figures[0], "high"), value_to(figures[1], "low"))
        return _around(value, below, above, 0.0)
    means = [np.mean(np.asarray(of_row, np.float64), 0) for of_row in arrays]
    found = _draws(lengths.pop()).of_mean(means[0] - means[1])
    of_runs = [np.array([array.mean(dtype=np.float64) for array in of_row]) for of_row in arrays]
    spread = _spread(of_runs[0], of_runs[1], one.seeds, other.seeds)
    return _around(found.value, found.value - found.low, found.high - found.value, spread)


def value_to(figure: Json, end: str) -> float:
    """Return the distance of a figure from an end of its interval."""
    return abs(float(figure["value"]) - float(figure[end]))


@lru_cache(maxsize=2)
def _draws(n: int) -> Bootstrap:
    return Bootstrap(n, 0)


def _spread(
    one: NDArray[np.float64],
    other: NDArray[np.float64],
    seeds: Sequence[int],
    other_seeds: Sequence[int],
) -> float:
    """Return half of the interval of a difference of means over seeds; 0 if none has several.

    Equal seeds are paired. If not, it is Welch's interval; a row of a single run adds nothing.
    """
    if len(one) > 1 and sorted(seeds) == sorted(other_seeds) and len(set(seeds)) == len(seeds):
        pairs = one[np.argsort(seeds)] - other[np.argsort(other_seeds)]
        found = replicated(pairs)
        return 0.0 if found.high is None else found.high - found.value
    parts = [(float(of.var(ddof=1)) / len(of), len(of)) for of in (one, other) if len(of) > 1]
    total = sum(part for part, _ in parts)
    if not total:
        return 0.0
    freedom = total**2 / sum(part**2 / (n - 1) for part, n in parts)
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * math.sqrt(total)


def best_row(rows: Sequence[Encoder], key: str, *, paired: bool) -> Encoder | None:
    """Return the best row of a column if its interval excludes that any other is as good.

    Args:
        rows: all rows of the table.
        key: the figure.
        paired: as in `difference`; without it, there is no best row.
    """
    better, having = column_of(key).better, [row for row in rows if key in row.figures]
    if not paired or not better or len(having) < 2:
        return None
    sign = 1 if better == "high" else -1
    best = max(having, key=lambda row: sign * row.figures[key]["value"])
    for other in having:
        if other is best:
            continue
        found = difference(best, other, key, paired=paired)
        if found is None or min(sign * found["low"], sign * found["high"]) <= 0:
            return None
    return best
