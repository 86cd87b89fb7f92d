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
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from latentkit.evaluation.bootstrap import replicated
from latentkit.evaluation.card_tables import SPACES
from latentkit.evaluation.representation import N_NEIGHBORS, SHARES
from latentkit.runs import run_files
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import as_trained
from latentkit.runs.summary import map_facts

Json = dict[str, Any]
OWN = "latents"
"""The space of features that is the encoder's own, not a baseline."""
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
    "effective_rank": Column("effective rank", 1),
}
"""Reconstruction, and the spread of the latents."""
CLUSTERS = {
    "nmi": Column("NMI", 3, "high"),
    "ari": Column("ARI", 3, "high"),
    "cluster_accuracy": Column("ACC", 3, "high"),
}
"""k-means clusters against the labels."""
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
    return {**PROBES, **QUALITY, **CLUSTERS, **COSTS}[key]


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
        space: which of the card's spaces of features it is: `OWN` unless it is a baseline.
        images: the images and their split; baselines are those of encoders with the same.
    """

    name: str
    kind: Kind
    runs: tuple[str, ...]
    seeds: tuple[int, ...]
    figures: Mapping[str, Json]
    of_images: Mapping[str, Sequence[NDArray[Any]]] = field(repr=False)
    trained: bool = False
    latent_dim: int = 0
    space: str = OWN
    images: str = ""

    def as_json(self, best: Sequence[str]) -> Json:
        """Return the row as JSON; ``best`` are the keys of the figures in which it is best."""
        return {
            "name": self.name,
            "kind": self.kind,
            "space": self.space,
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
    images: str = ""
    machine: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFiles:
    """A run's folder, its evaluation card, and its figures of each test image."""

    folder: RunFolder
    card: Json
    arrays: Mapping[str, NDArray[Any]]

    @property
    def config(self) -> Json:
        """The run's configuration, with the epochs that its weights were trained for."""
        manifest = self.folder.manifest
        return as_trained(manifest.config, manifest)

    @property
    def images(self) -> str:
        """Its images and their split, as text that is equal for runs with the same."""
        images = {
            "split": self.config.get("split"),
            "digest": self.folder.json(run_files.DATA)["digest"],
        }
        return json.dumps(images, sort_keys=True)


def encoder_rows(runs: Sequence[RunFiles], transfers: Sequence[RunFiles]) -> list[Encoder]:
    """Return a row for each encoder, and then one for each baseline of their cards.

    Args:
        runs: runs of models.
        transfers: transfers of these runs.
    """
    groups: dict[str, list[RunFiles]] = {}
    for run in runs:
        groups.setdefault(_identity(run), []).append(run)
    first = [group[0] for group in groups.values()]
    ids = [[one.folder.manifest.id for one in group] for group in groups.values()]
    names = _told_apart(_heads(first), [one.config for one in first], ids)
    rows = []
    for name, group in zip(names, groups.values(), strict=True):
        kind: Kind = "autoencoder" if "reconstruction" in group[0].card else "encoder"
        of_row = _named_transfers(group, transfers)
        rows.append(_row(name, kind, [_own(run, of_row) for run in group]))
    return [*rows, *_baselines(runs)]


def _identity(run: RunFiles) -> str:
    """Return what runs of one row have in common: configuration without seed, and images."""
    chosen = {key: value for key, value in run.config.items() if key not in _MAY_DIFFER}
    return json.dumps([chosen, run.folder.json(run_files.DATA)["digest"]], sort_keys=True)


def _heads(runs: Sequence[RunFiles]) -> list[str]:
    """Return the name of model and corruptions of each run."""
    heads = []
    for run in runs:
        corruptions = " and ".join(one["name"] for one in run.config.get("corruption", []))
        model = run.config["model"]["name"]
        heads.append(f"{model} with {corruptions}" if corruptions else model)
    return heads


def _told_apart(
    heads: Sequence[str], configs: Sequence[Mapping[str, Any]], runs: Sequence[Sequence[str]]
) -> list[str]:
    """Add to equal names the options that differ, or the runs if many options do."""
    names = list(heads)
    for head in {one for one in heads if heads.count(one) > 1}:
        places = [place for place, one in enumerate(heads) if one == head]
        options = differing([configs[place] for place in places])
        shown = [key for key in options if key not in _MAY_DIFFER]
        for number, place in enumerate(places):
            texts = [f"{key.rpartition('.')[2]}={options[key][number]}" for key in shown]
            if 0 < len(shown) <= _MOST_OPTIONS:
                names[place] = f"{head} ({', '.join(texts)})"
    return [
        name if names.count(name) == 1 else f"{name} ({_runs_text(of_row)})"
        for name, of_row in zip(names, runs, strict=True)
    ]


def _runs_text(runs: Sequence[str]) -> str:
    return runs[0] if len(runs) == 1 else f"{runs[0]} and {len(runs) - 1} more"


_MAY_DIFFER = ("seed", "device", "threads")  # within a row
_MOST_OPTIONS = 2  # in a row's name


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


def _own(run: RunFiles, transfers: Mapping[str, Sequence[RunFiles]]) -> _Measured:
    folder, card = run.folder, run.card
    figures = _of_space(card, OWN)
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
        if found := facts["quality"]["trustworthiness"]:
            figure = _by_error(found["value"], found["standard_error"])
            figures[f"{_OF_MAP}{facts['map']}"] = figure
    for key, several in transfers.items():
        own = [one.card for one in several if one.card["parent"] == folder.manifest.id]
        if own:
            figures[key] = _combined([_ends(card["after"]["accuracy"]) for card in own])
    history = folder.json(run_files.HISTORY)["epochs"]
    return _Measured(
        folder.manifest.id,
        folder.manifest.seed,
        {**figures, **_costs(folder, history)},
        of_images,
        bool(history),
        card["latent_dim"],
        run.images,
        tuple(str(run.config.get(key)) for key in ("device", "threads")),
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


def _named_transfers(
    runs: Sequence[RunFiles], transfers: Sequence[RunFiles]
) -> dict[str, list[RunFiles]]:
    """Return the transfers of the runs of a row by mode, labels, and what else they differ in."""
    images = {run.folder.manifest.id: run.folder.json(run_files.DATA)["digest"] for run in runs}
    groups: dict[tuple[str, str], list[RunFiles]] = {}
    for one in transfers:
        if (parent := one.card["parent"]) in images:
            head = f"{one.card['mode']}, {one.card['labels']['asked'].replace('%', ' %')}"
            if one.folder.json(run_files.DATA)["digest"]["test"] != images[parent]["test"]:
                head += f" of {one.config['dataset']['name']}"
            chosen = json.dumps(_of_transfer(one), sort_keys=True)
            groups.setdefault((head, chosen), []).append(one)
    names = _told_apart(
        [head for head, _ in groups],
        [_of_transfer(group[0]) for group in groups.values()],
        [[one.folder.manifest.id for one in group] for group in groups.values()],
    )
    return {f"{_OF_TRANSFER}{name}": of for name, of in zip(names, groups.values(), strict=True)}


def _of_transfer(run: RunFiles) -> Json:
    """Return the configuration of a transfer without its parent and what it has from there."""
    found = {k: v for k, v in run.config.items() if k not in (*_MAY_DIFFER, "init", "model")}
    found["transfer"] = {k: v for k, v in found["transfer"].items() if k != "parent"}
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
    depends_on: dict[tuple[str, str], Json] = {}
    for space in (space for space in SPACES if space != OWN):
        for run in runs:
            one = _baseline(run, space)
            if not one.figures:
                continue
            depends = {
                "model": run.config["model"] if space == "random_encoder" else {},
                "latent_dim": one.latent_dim,
                "split": run.config.get("split"),
                "images": run.images,
            }
            key = space, json.dumps(depends, sort_keys=True)
            depends_on[key] = depends
            known = found.setdefault(key, {}).get(one.seed)
            # A run without a decoder has no reconstructions by PCA, so another one may say more.
            if known is None or len(known.figures) < len(one.figures):
                found[key][one.seed] = one
    rows = [list(of_seeds.values()) for of_seeds in found.values()]
    heads = [_name_of_baseline(space, depends_on[space, of]) for space, of in found]
    options = [{key: of[key] for key in ("model", "split")} for of in depends_on.values()]
    names = _told_apart(heads, options, [[one.run for one in row] for row in rows])
    return [
        _row(name, "baseline", row, space)
        for name, row, (space, _) in zip(names, rows, found, strict=True)
    ]


def _name_of_baseline(space: str, depends: Json) -> str:
    if space == "random_encoder":
        return f"{depends['model']['name']} with random weights"
    return f"{SPACES[space]} of {depends['latent_dim']}" if space == "pca" else SPACES[space]


def _baseline(run: RunFiles, space: str) -> _Measured:
    """Return what a card says of a baseline; it has no figures if the card lacks it."""
    figures = _of_space(run.card, space)
    of_images = {
        probe: run.arrays[f"{space}_{probe}_hits"]
        for probe in _NAMES
        if f"{space}_{probe}_hits" in run.arrays
    }
    if space == "pca" and "pca" in run.card["baselines"]:
        figures["mse"] = _ends(run.card["baselines"]["pca"]["mse"])
        of_images["mse"] = run.arrays["pca_mse"]
    size = 0 if space == "raw_pixels" else int(run.card["latent_dim"])
    manifest = run.folder.manifest
    return _Measured(
        manifest.id, manifest.seed, figures, of_images, latent_dim=size, images=run.images
    )


def _row(name: str, kind: Kind, measured: Sequence[_Measured], space: str = OWN) -> Encoder:
    keys = dict.fromkeys(key for one in measured for key in one.figures)
    if len({one.machine for one in measured}) > 1:  # whose times and memory are no sample of one
        keys = {key: None for key in keys if key not in COSTS or key == "parameters"}
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
        space,
        measured[0].images,
    )


def _exact(value: float) -> Json:
    return {"value": float(value), "low": None, "high": None}


def _ends(figure: Mapping[str, float]) -> Json:
    return {key: figure[key] for key in ("value", "low", "high")}


def _by_error(value: float, error: float) -> Json:
    """Return a figure with the interval of a sample; without one if nothing was sampled."""
    if not error:
        return _exact(value)
    reach = _NORMAL * error
    return {"value": value, "low": value - reach, "high": value + reach}


_NORMAL = 1.959964  # 95 % of a normal distribution is within so many standard deviations


def _combined(figures: Sequence[Json]) -> Json:
    """Return the mean over runs of one figure, with the interval that the module describes."""
    over_seeds = replicated([one["value"] for one in figures])
    if all(one["low"] is None for one in figures):
        return {"value": over_seeds.value, "low": over_seeds.low, "high": over_seeds.high}
    below, above = (
        float(np.mean([abs(one["value"] - one[end]) for one in figures if one[end] is not None]))
        for end in ("low", "high")
    )
    spread = 0.0 if over_seeds.high is None else over_seeds.high - over_seeds.value
    return around(over_seeds.value, below, above, spread)


def around(value: float, below: float, above: float, spread: float = 0.0) -> Json:
    """Return a figure whose interval joins two independent spreads.

    Args:
        value: the figure.
        below: distance of the lower end by the first spread.
        above: distance of the upper end by the first spread.
        spread: half of the interval by the second one.
    """
    low, high = value - math.hypot(below, spread), value + math.hypot(above, spread)
    return {"value": value, "low": low, "high": high}
