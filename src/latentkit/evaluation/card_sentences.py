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
