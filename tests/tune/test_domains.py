import numpy as np
import pytest

from latentkit.plugin.options import SearchChoice, SearchRange
from latentkit.tune.parameter_figures import parameter_name, shares, spread_choices, ticks_of


@pytest.mark.parametrize(
    ("domain", "values", "places"),
    [
        (SearchRange(2, 32, log=True), [2, 8, 32], [0, 0.5, 1]),
        (SearchRange(-1.0, 1.0), [-1, 0.5, None], [0, 0.75, np.nan]),
        (SearchChoice(("a", "b")), ["b", "a"], [0.75, 0.25]),
    ],
)
def test_a_value_is_placed_between_the_ends_of_its_domain(domain, values, places):
    assert shares(domain, values) == pytest.approx(places, nan_ok=True)


def test_choices_are_numbered_and_equal_ones_are_spread_around_their_number():
    domain = SearchChoice(("a", "b"))
    places = spread_choices(domain, ["b", "a", "b", "c"])
    assert places[[1, 0, 2]] == pytest.approx([0, 0.75, 1.25])
    assert np.isnan(places[3])


@pytest.mark.parametrize(
    ("domain", "texts"),
    [
        (SearchRange(2, 64, log=True), ["2", "5", "10", "20", "50"]),
        (SearchRange(1e-4, 1e-2, log=True), ["0.0001", "0.0003", "0.001", "0.003", "0.01"]),
        (SearchRange(1e-8, 1e2, log=True), ["1e-08", "1e-05", "0.01", "10"]),
        (SearchRange(3.1, 3.9, log=True), ["3.1", "3.9"]),
        (SearchRange(1, 4), ["1", "2", "3", "4"]),
        (SearchRange(0.0, 1.0), ["0", "0.25", "0.5", "0.75", "1"]),
        (SearchRange(0.020071, 0.020074), ["0.0200712", "0.020072", "0.0200728", "0.0200736"]),
        (SearchChoice((True, False)), ["True", "False"]),
        (SearchChoice(((256,), (352, 128))), ["[256]", "[352,128]"]),
    ],
)
def test_ticks_are_few_and_round(domain, texts):
    assert [text for _, text in ticks_of(domain)] == texts


def test_a_long_name_is_shortened_in_both_of_its_lines():
    name = parameter_name("a_plugin_of_a_long_name.an_option_of_a_long_name")
    assert [len(line) for line in name.split("\n")] == [16, 15]
