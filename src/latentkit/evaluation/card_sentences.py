"""Sentences about what an evaluation card found: a collapsed encoder, and the use of codes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Card = Mapping[str, Any]

_COLLAPSED_SPREAD = 0.01  # relative spread below which all latents are one point in effect
_COLLAPSED_RANK = 1.5  # effective rank below which many dimensions are one
_COLLAPSED_PROJECTIONS = 0.1  # spread below which a loss compares nothing; 1 is intended
_LEAST_DIMENSIONS = 4  # fewer may lie on a line for a reason
_FEW_CODES = 0.5  # share of the codes that evenly used ones would show


def collapse_text(card: Card) -> str:
    """Return a sentence that says that the encoder collapsed and what to change, or nothing.

    Args:
        card: an evaluation card, or the summary of one.
    """
    found = card.get("latents")
    if found is None:
        return ""
    rank, dimensions = found["effective_rank"], card["latent_dim"]
    if found["relative_spread"] < _COLLAPSED_SPREAD:
        how = f"nearly the same latents for all images (spread {found['relative_spread']:.2g})"
    elif dimensions >= _LEAST_DIMENSIONS and rank < _COLLAPSED_RANK:
        how = f"latents on a line (effective rank {rank:.2f} of {dimensions})"
    elif found.get("projection_spread", 1.0) < _COLLAPSED_PROJECTIONS:
        spread = found["projection_spread"]
        how = f"its loss nearly the same projections of all images (spread {spread:.2g}, not 1)"
    else:
        return ""
    advice = "lower training.learning_rate, or take other weights"
    if "reconstruction" not in card:
        advice = (
            "lower training.learning_rate, raise training.batch_size, or give the part of the loss "
            "that keeps images apart more weight"
        )
    return f"the encoder collapsed: it gives {how}; {advice}"


def codes_text(found: Card) -> str:
    """Return a sentence that says what quantised latents are, from a card's ``codes``."""
    return (
        f"latents are vectors of codes ({found['positions']:,} an image, out of "
        f"{found['codebook_size']:,}), so distances, and so maps, compare images code by code"
    )


def dead_codes_text(card: Card) -> str:
    """Return a sentence that says that most codes are dead and what to change, or nothing.

    Few images cannot use a large codebook, so the codes are compared with what as many draws of
    equally frequent codes would use.

    Args:
        card: an evaluation card, or the summary of one.
    """
    found = card.get("codes")
    if found is None:
        return ""
    size, used = found["codebook_size"], found["codes_used"]
    drawn = size * -math.expm1(-found["n_images"] * found["positions"] / size)
    if used >= _FEW_CODES * drawn:
        return ""
    return (
        f"most codes are dead: the test images use {used:,} of {size:,}; take a smaller codebook, "
        f"or train for longer"
    )


_GOOD_TRUST, _FAIR_TRUST = 0.95, 0.85
_TORN = 0.9  # continuity below which neighbours often lie apart
_GOOD_DISTANCES, _FAIR_DISTANCES = 0.8, 0.5  # rank correlation
_STEADY, _LOOSE = 0.1, 0.4  # movement in refits, as a share of the map's size


def reading_text(record: Card, of: str = "latents") -> str:
    """Return sentences that say what may be read from a map, and what not.

    Args:
        record: the map's record: its quality, its stability if that was measured, and facts of the
            embedding.
        of: what the map's points are, such as latents or features.
    """
    quality, stability = record["quality"], record.get("stability")
    found = [_neighbours_text(quality, of), _distances_text(quality, of)]
    if record.get("facts", {}).get("labels_used"):
        found.insert(0, f"The map was told the classes: it cannot show how the {of} separate them.")
    if stability is not None:
        found += [_movement_text(stability), _islands_text(stability, of)]
    return " ".join(one for one in found if one)


def _neighbours_text(quality: Card, of: str) -> str:
    trust, continuity = (quality[key]["value"] for key in ("trustworthiness", "continuity"))
    if trust >= _GOOD_TRUST:
        text = f"Neighbours on this map are mostly near in the {of}"
    elif trust >= _FAIR_TRUST:
        text = f"Neighbours on this map are often near in the {of}, but check single ones"
    else:
        text = f"Neighbours on this map are often far apart in the {of}: do not rely on single ones"
    torn = f"; some that are near in the {of} lie apart here" if continuity < _TORN else ""
    return f"{text}{torn}."


def _distances_text(quality: Card, of: str) -> str:
    found = quality["spearman_correlation"]
    if found is None:
        return f"Distances mean nothing here: all points of the map, or all {of}, are equal."
    if found["value"] >= _GOOD_DISTANCES:
        return f"Longer distances here are longer in the {of}, with few exceptions."
    if found["value"] >= _FAIR_DISTANCES:
        return "Only large differences between distances mean something here."
    return "Distances between islands mean nothing here."


def _movement_text(stability: Card) -> str:
    if stability["spread"] is None:
        return ""
    moved = stability["spread"]["median"]
    text = (
        f"Fitted {stability['refits']} times again, with other seeds and four fifths of the "
        f"points, a typical point moves by {100 * moved:.0f} % of the map's size"
    )
    if moved <= _STEADY:
        return f"{text}: the layout repeats."
    if moved <= _LOOSE:
        return f"{text}: small differences of place mean nothing."
    return f"{text}: where an island lies means nothing."


def _islands_text(stability: Card, of: str) -> str:
    """Say which islands of a map are one group of what it maps, and which are apart."""
    count = len(stability["islands"])
    if count < 2:
        return "The map is one island."
    groups = [[one + 1 for one in group] for group in stability["groups_in_latents"]]
    texts = [
        f"Islands {_listed(group)} are one group in the {of}." for group in groups if len(group) > 1
    ]
    pairs = [
        one for one in stability["pairs"] if one["verdict"] not in ("only on the map", "joined")
    ]
    for verdict, text in (("touching", "touch"), ("not decided", "may be one or not")):
        some = [f"{a} and {b}" for a, b in (x["pair"] for x in pairs if x["verdict"] == verdict)]
        if some:
            more = f", and {len(some) - _MOST_PAIRS} pairs more" if len(some) > _MOST_PAIRS else ""
            texts.append(f"Islands {'; '.join(some[:_MOST_PAIRS])}{more} {text} in the {of}.")
    if all(one["verdict"] == "apart" for one in stability["pairs"]):
        texts.append(f"All {count} islands are apart in the {of}, too.")
    elif any(one["verdict"] == "apart" for one in pairs):
        texts.append(f"All other pairs of the {count} islands are apart in the {of}, too.")
    return " ".join(texts)


_MOST_PAIRS = 6


def _listed(numbers: list[int]) -> str:
    return f"{', '.join(map(str, numbers[:-1]))} and {numbers[-1]}"
