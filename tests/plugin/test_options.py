"""Options are strict, and their fields carry search ranges."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from latentkit.plugin import Options, SearchChoice, SearchRange, search_all
from latentkit.plugin.options import search_domains


class Net(Options):
    """Options of a test."""

    width: Annotated[int, SearchRange(8, 64, log=True)] = Field(16, ge=1)
    activation: Annotated[Literal["relu", "silu"], search_all] = "relu"
    depth: Annotated[int, SearchChoice((1, 2, 3))] = 2
    name_of_loss: str = "mse"


def test_an_unknown_key_and_nan_are_refused():
    with pytest.raises(ValidationError, match="widht"):
        Net(widht=3)

    class Rate(Options):
        rate: float = 0.1

    with pytest.raises(ValidationError, match="finite"):
        Rate(rate=float("nan"))


class Kinds(Options):
    """One option of each kind that could be given ``True``."""

    whole: int = 1
    real: float = 1.0
    either: int | Literal["auto"] = "auto"
    flag: bool = False
    perhaps: bool | None = None
    choice: Literal[True, "auto"] = "auto"


@pytest.mark.parametrize("field", ["whole", "real", "either"])
def test_true_is_not_taken_for_the_number_one(field):
    with pytest.raises(ValidationError, match="should not be true or false"):
        Kinds(**{field: True})


@pytest.mark.parametrize("field", ["flag", "perhaps", "choice"])
def test_true_is_accepted_by_options_that_allow_it(field):
    assert getattr(Kinds(**{field: True}), field) is True


def test_a_default_of_the_wrong_type_is_refused():
    class Wrong(Options):
        width: int = "wide"

    with pytest.raises(ValidationError, match="width"):
        Wrong()


def test_options_are_immutable():
    with pytest.raises(ValidationError, match="frozen"):
        Net().width = 3


def test_only_marked_options_have_search_domains():
    found = {name: domain for name, domain, _ in search_domains(Net)}
    assert found == {
        "width": SearchRange(8, 64, log=True),
        "activation": SearchChoice(("relu", "silu")),
        "depth": SearchChoice((1, 2, 3)),
    }


@pytest.mark.parametrize("arguments", [(2, 1), (1, 1), (0, 1, True), (1, 2, True, 0.5)], ids=str)
def test_an_empty_or_contradictory_range_is_refused(arguments):
    with pytest.raises(ValueError, match="range"):
        SearchRange(*arguments)


def test_a_search_mark_on_an_option_without_choices_is_ignored():
    class Plain(Options):
        depth: Annotated[int, search_all] = 1
        width: int = Field(1, ge=1)

    assert list(search_domains(Plain)) == []


def test_domains_are_inherited_and_can_be_replaced():
    class Deep(Net):
        width: int = 16
        rate: Annotated[float, SearchRange(0, 1, step=0.1)] = 0.5

    assert {name for name, _, _ in search_domains(Deep)} == {"activation", "depth", "rate"}


def test_a_choice_needs_two_values():
    with pytest.raises(ValueError, match="two values"):
        SearchChoice(("relu",))
