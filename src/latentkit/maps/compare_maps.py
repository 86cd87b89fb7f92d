"""All maps of a run side by side, and the one that answers a question best."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, get_args

from latentkit.config import MapConfig
from latentkit.errors import LatentkitError, UserError, did_you_mean
from latentkit.evaluation.card_sentences import reading_text
from latentkit.report.page import Table

Facts = Mapping[str, Any]
Question = Literal["neighbours", "clusters", "distances", "new-images"]
QUESTIONS: tuple[Question, ...] = get_args(Question)

_LIKE = 0.005  # difference of two figures that decides nothing

_ASKED: dict[Question, tuple[str, Callable[[Facts], float | None]]] = {
    "neighbours": (
        "the mean of its trustworthiness and continuity",
        lambda one: (one["trustworthiness"] + one["continuity"]) / 2,
    ),
    "clusters": (
        "the area under its R_NX (neighbourhoods of every size)",
        lambda one: one["auc_r_nx"],
    ),
    "distances": (
        "the rank correlation of its distances with true ones",
        lambda one: one["spearman_correlation"],
    ),
    "new-images": (
        "among maps that place new images, the mean of its trustworthiness and continuity",
        lambda one: (one["trustworthiness"] + one["continuity"]) / 2 if one["places"] else None,
    ),
}
_FIGURES = (
    *("trustworthiness", "continuity", "auc_r_nx", "spearman_correlation"),
    *("scale_normalised_stress", "knn_accuracy_map"),
)


def compare_maps(
    maps: Sequence[Facts], parts: Sequence[MapConfig], question: str | None, of: str
) -> dict[str, Any]:
    """Return the figures of all maps, and the map that suits each question.

    Args:
        maps: the facts of each map, as stored.
        parts: the configuration of each map.
        question: one of `QUESTIONS`; None for all.
        of: what the maps' points are, such as latents.

    Raises:
        UserError: there are no maps, or no such question.
    """
    if question is not None and question not in QUESTIONS:
        near = did_you_mean(question, QUESTIONS)
        raise UserError(
            f"there is no question {question!r}{near}; known questions: {', '.join(QUESTIONS)}"
        )
    by_label = {part.label: part for part in parts}
    rows = [_row(one, by_label.get(one["map"]), of) for one in maps]
    asked = QUESTIONS if question is None else (question,)
    found = {one: _recommended(rows, one) for one in asked}
    return {"maps": rows, "recommended": found, "note": _note(rows)}


def _row(one: Facts, part: MapConfig | None, of: str) -> dict[str, Any]:
    quality, stability = one["quality"], one.get("stability")
    figures = {key: None if quality[key] is None else quality[key]["value"] for key in _FIGURES}
    spread = stability["spread"] if stability else None
    return {
        "map": one["map"],
        "embedding": one["embedding"],
        "n_points": one["n_points"],
        "on": "test" if part is None else part.map.on,
        **figures,
        "moved": spread["median"] if spread else None,
        "neighbours_kept": stability["neighbours_kept"] if stability else None,
        "islands": len(stability["islands"]) if stability else None,
        "groups_in_latents": len(stability["groups_in_latents"]) if stability else None,
        "places": _places_new(part),
        "seconds": one["seconds"],
        "reading": reading_text(one, of),
    }


def _places_new(part: MapConfig | None) -> bool:
    """Return whether an embedding can place new points; False if it cannot be built any more."""
    if part is None:
        return False
    try:
        return hasattr(part.build(0), "transform")
    except LatentkitError:
        return False


def _recommended(rows: Sequence[Facts], question: Question) -> dict[str, Any]:
    """Return the map with the best figure; of maps that are as good, the fastest."""
    what, figure = _ASKED[question]
    known = [(value, row) for row in rows if (value := figure(row)) is not None]
    if not known:
        lacking = "can place new images" if question == "new-images" else "has that figure"
        return {"map": None, "why": f"no map of this run {lacking}"}
    best = max(value for value, _ in known)
    alike = [row for value, row in known if value >= best - _LIKE]
    chosen = min(alike, key=lambda row: row["seconds"])
    why = f"{what} is {best:.3f}"
    if len(known) == 1:
        why += "; there is no other to compare it with"
    elif len(alike) > 1:
        others = ", ".join(row["map"] for row in alike if row is not chosen)
        why += f"; {others} {'are' if len(alike) > 2 else 'is'} as good, but took longer"
    else:
        second = max(value for value, row in known if row is not chosen)
        why += f"; the next best has {second:.3f}"
    return {"map": chosen["map"], "why": why}


def _note(rows: Sequence[Facts]) -> str:
    texts = []
    if len({(row["on"], row["n_points"]) for row in rows}) > 1:
        texts.append(
            "These maps show different points, so their figures cannot be compared closely."
        )
    lacking = [row["map"] for row in rows if row["moved"] is None]
    if lacking:
        texts.append(
            f"Stability is not measured for {', '.join(lacking)}: embed with --stability 8 adds it."
        )
    return " ".join(texts)


_MISSING = "–"


def comparison_tables(found: Facts) -> list[Table]:
    """Return a comparison as tables: the figures, the recommendations, and what may be read."""
    header = (
        *("", "points", "trust", "continuity", "R_NX area", "Spearman", "k-NN accuracy"),
        *("moves", "keeps", "islands, in latents", "new images", "seconds"),
    )
    rows = [
        (
            row["map"],
            f"{row['n_points']:,}",
            *(_short(row[key]) for key in _FIGURES if key != "scale_normalised_stress"),
            _percent(row["moved"]),
            _percent(row["neighbours_kept"]),
            _islands(row),
            "yes" if row["places"] else "no",
            f"{row['seconds']:.1f}",
        )
        for row in found["maps"]
    ]
    advice = [
        (name, one["map"] or _MISSING, one["why"]) for name, one in found["recommended"].items()
    ]
    reading = [(row["map"], row["reading"]) for row in found["maps"]]
    return [
        Table("Maps", header, rows),
        Table("Which map for what", ("for", "map", "because"), advice),
        Table("What may be read", ("map", ""), reading),
    ]


def _short(value: float | None) -> str:
    return _MISSING if value is None else f"{value:.3f}"


def _percent(value: float | None) -> str:
    return _MISSING if value is None else f"{100 * value:.0f} %"


def _islands(row: Facts) -> str:
    return _MISSING if row["islands"] is None else f"{row['islands']}, {row['groups_in_latents']}"
