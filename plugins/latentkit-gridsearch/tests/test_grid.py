"""The values of the grid, their order, and the end of the study."""

from __future__ import annotations

import random

import pytest

pytest.importorskip(
    "latentkit_gridsearch", reason="pip install ./plugins/latentkit-gridsearch to test it"
)

from latentkit.errors import UserError
from latentkit.plugin import Budget, SearchChoice, SearchRange, StudyTask
from latentkit_gridsearch.grid import Grid, grid_values, shuffled
from latentkit_gridsearch.options import GridOptions
from latentkit_gridsearch.tuner import build_grid

SPACE = {"b": SearchChoice(("x", "y")), "a": SearchRange(1, 3)}


def points(grid):
    return [grid.params(number) for number in range(grid.size)]


@pytest.mark.parametrize(
    ("domain", "values"),
    [
        (SearchRange(0.0, 3.0), [0.0, 1.0, 2.0, 3.0]),
        (SearchRange(1e-4, 1e-1, log=True), pytest.approx([1e-4, 1e-3, 1e-2, 1e-1])),
        (SearchRange(1, 1000, log=True), [1, 10, 100, 1000]),
        (SearchRange(1, 3), [1, 2, 3]),
        (SearchRange(1, 2, log=True), [1, 2]),
        (SearchRange(16, 128, step=16), [16, 48, 96, 128]),
        (SearchRange(0.0, 1.0, step=0.5), [0.0, 0.5, 1.0]),
        (SearchRange(0, 10, step=4), [0, 4, 8]),
        (SearchChoice(((256,), (512, 128))), [(256,), (512, 128)]),
    ],
    ids=str,
)
def test_a_range_is_divided_evenly_without_repeated_values(domain, values):
    found = grid_values(domain, 4)
    assert found == values
    if isinstance(domain, SearchRange):
        assert {type(value) for value in found} == {type(domain.low)}


def test_both_ends_are_exact_on_a_logarithmic_scale_too():
    values = grid_values(SearchRange(1e-5, 0.3, log=True), 7)
    assert (values[0], values[-1], len(values)) == (1e-5, 0.3, 7)


def test_the_last_name_varies_fastest():
    expected = [{"a": a, "b": b} for a in (1, 2, 3) for b in ("x", "y")]
    assert points(Grid(SPACE, GridOptions(), seed=0)) == expected


def test_a_shuffled_grid_has_the_same_points_in_an_order_set_by_the_seed():
    options = GridOptions(shuffle=True)
    one, again, other = (points(Grid(SPACE, options, seed)) for seed in (1, 1, 2))
    plain = points(Grid(SPACE, GridOptions(), seed=1))
    assert one == again
    assert one != other
    assert one != plain
    assert sorted(one, key=str) == sorted(plain, key=str)


@pytest.mark.parametrize("size", [0, 1, 2, 7, 100])
def test_a_shuffle_is_a_permutation(size):
    assert sorted(shuffled(size, random.Random(3))) == list(range(size))


def test_every_order_is_equally_likely():
    generator = random.Random(0)
    orders = [tuple(shuffled(3, generator)) for _ in range(6000)]
    assert all(850 < orders.count(order) < 1150 for order in set(orders))
    assert len(set(orders)) == 6


def test_the_cost_of_shuffling_a_vast_grid_depends_only_on_the_points_used():
    space = {str(number): SearchRange(0.0, 1.0) for number in range(30)}
    grid = Grid(space, GridOptions(shuffle=True), seed=0)
    assert grid.size == 4**30
    assert len({tuple(grid.params(number).values()) for number in range(100)}) == 100


def test_a_grid_with_too_many_points_is_refused():
    space = {str(number): SearchRange(0.0, 1.0) for number in range(40)}
    with pytest.raises(UserError, match=r"1\.2e\+24 points: lower grid\.points from 4"):
        Grid(space, GridOptions(), seed=0)


def test_the_study_ends_when_the_grid_is_exhausted(tmp_path):
    task = StudyTask("s", f"sqlite:///{tmp_path}/s.db", SPACE, ("minimize",), seed=0)
    for _ in range(2):
        result = build_grid(GridOptions()).optimize(
            lambda trial: (trial.params["a"],), task, Budget(trials=100)
        )
        assert [trial.number for trial in result.trials] == list(range(6))
    assert result.best.params == {"a": 1, "b": "x"}
