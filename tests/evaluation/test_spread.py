"""Effective rank and spread of latents, and the sentence about a collapsed encoder."""

import numpy as np
import pytest

from latentkit.evaluation.card_sentences import collapse_text
from latentkit.evaluation.spread import spread_of

RNG = np.random.default_rng(0)


def latents(n=500, d=8, rank=None):
    rank = d if rank is None else rank
    return (RNG.normal(size=(n, rank)) @ np.eye(rank, d)).astype(np.float32)


def said(values, **more):
    return collapse_text({"latents": spread_of(values), "latent_dim": values.shape[1], **more})


@pytest.mark.parametrize("rank", [1, 2, 5, 8])
def test_the_effective_rank_of_equal_directions_is_their_number(rank):
    assert spread_of(latents(rank=rank))["effective_rank"] == pytest.approx(rank, rel=0.02)


def test_the_effective_rank_agrees_with_its_definition_on_singular_values():
    values = latents() * np.array([1, 0.5, 0.2, 0.1, 0.1, 0.05, 0.01, 0.001], np.float32) + 3
    singular = np.linalg.svd(values - values.mean(0, dtype=np.float64), compute_uv=False)
    shares = singular / singular.sum()
    expected = np.exp(-(shares * np.log(shares)).sum())
    assert spread_of(values)["effective_rank"] == pytest.approx(expected, rel=1e-6)


def test_directions_that_are_all_alike_have_spread_1_and_one_direction_has_0():
    assert spread_of(latents(5000))["direction_spread"] == pytest.approx(1, abs=0.02)
    assert spread_of(latents() * 1e-3 + 1)["direction_spread"] < 2e-3


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6])
def test_latents_that_are_all_equal_have_rank_and_spread_0(value):
    found = spread_of(np.full((100, 4), value, np.float32))
    assert found == {"effective_rank": 0.0, "direction_spread": 0.0, "relative_spread": 0.0}


def test_a_point_and_a_line_are_collapses_and_other_latents_are_not():
    assert "nearly the same latents for all images" in said(latents() * 1e-4 + 1)
    assert "latents on a line (effective rank 1.00 of 8)" in said(latents(rank=1))
    assert said(latents()) == ""
    assert said(latents(d=2, rank=1)) == ""


def test_the_advice_depends_on_the_decoder():
    assert "raise training.batch_size" in said(latents(rank=1))
    assert "take other weights" in said(latents(rank=1), reconstruction={})


def test_a_card_of_an_earlier_version_has_no_sentence():
    assert collapse_text({"latent_dim": 3}) == ""
