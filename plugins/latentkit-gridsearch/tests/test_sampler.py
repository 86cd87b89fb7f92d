"""Random draws: seed and trial number determine each, and they are spread over the range."""

from __future__ import annotations

import math
from collections import Counter

import pytest

pytest.importorskip(
    "latentkit_gridsearch", reason="pip install ./plugins/latentkit-gridsearch to test it"
)

from latentkit.plugin import SearchChoice, SearchRange
from latentkit_gridsearch.sampler import Sampler


def draws(domain, n=2000):
    sampler = Sampler({"x": domain}, seed=0)
    return [sampler.params(number)["x"] for number in range(n)]


def test_the_seed_and_the_number_alone_determine_a_draw():
    space = {"x": SearchRange(0.0, 1.0), "y": SearchChoice(("a", "b", "c"))}
    one, other = Sampler(space, seed=5), Sampler(space, seed=5)
    forth = [one.params(number) for number in range(20)]
    back = [other.params(number) for number in reversed(range(20))]
    assert forth == back[::-1]
    assert forth != [Sampler(space, seed=6).params(number) for number in range(20)]
    assert len({str(params) for params in forth}) == 20


@pytest.mark.parametrize(
    ("domain", "middle"),
    [
        (SearchRange(2.0, 4.0), 3.0),
        (SearchRange(1e-4, 1.0, log=True), 1e-2),
        (SearchRange(1, 9999, log=True), 100),
        (SearchRange(0, 99), 49.5),
        (SearchRange(0.0, 1.0, step=0.01), 0.505),
    ],
    ids=str,
)
def test_half_of_the_draws_are_below_the_middle(domain, middle):
    below = sum(value < middle for value in draws(domain)) / 2000
    assert abs(below - 0.5) < 5 * math.sqrt(0.25 / 2000)


@pytest.mark.parametrize(
    "domain",
    [SearchRange(0, 3), SearchRange(0, 9, step=3), SearchChoice((True, False, 1, "1"))],
    ids=str,
)
def test_every_value_is_drawn_equally_often(domain):
    counts = Counter(map(repr, draws(domain)))
    assert len(counts) == 4
    assert all(400 < count < 600 for count in counts.values())
