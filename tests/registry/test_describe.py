"""Options are described in the form in which a user types them."""

from typing import Annotated, Literal

import pytest
from pydantic import Field, model_validator

from latentkit.errors import PluginError
from latentkit.plugin import Options, SearchChoice, SearchRange, search_all
from latentkit.registry.options import describe_options


class Everything(Options):
    """One option of each form."""

    width: Annotated[int, SearchRange(8, 64, log=True)] = Field(
        16, ge=1, le=64, description="Width."
    )
    rate: Annotated[float, SearchRange(0, 1, step=0.25)] = Field(0.5, gt=0, lt=1)
    share: Annotated[float, SearchRange(0.1, 0.9)] = 0.5
    mode: Annotated[Literal["fast", "slow"], search_all] = "fast"
    depth: Annotated[int, SearchChoice((1, 2, 4))] = 2
    count: int | Literal["auto"] = "auto"
    limit: float | None = None
    label: str = ""
    exact: bool = False
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32)


FACTS = {fact["name"]: fact for fact in describe_options(Everything)}


@pytest.mark.parametrize(
    ("name", "default", "values", "search"),
    [
        ("width", 16, "int, at least 1, at most 64", "8..64 log"),
        ("rate", 0.5, "float, above 0, below 1", "0..1 step 0.25"),
        ("share", 0.5, "float", "0.1..0.9"),
        ("mode", "fast", "fast | slow", "fast, slow"),
        ("depth", 2, "int", "1, 2, 4"),
        ("count", "auto", "int | auto", ""),
        ("limit", None, "float", ""),
        ("label", "", "text", ""),
        ("exact", False, "bool", ""),
        ("channels", [16, 32], "list of int", ""),
    ],
)
def test_type_bounds_default_and_search_range_are_described(name, default, values, search):
    fact = FACTS[name]
    assert (fact["default"], fact["values"], fact["search"]) == (default, values, search)


def test_options_are_listed_in_the_order_of_their_declaration():
    assert list(FACTS) == list(Everything.model_fields)
    assert FACTS["width"]["description"] == "Width."
    assert FACTS["label"]["description"] == ""


def test_invalid_default_options_are_a_plugin_error():
    class NoDefault(Options):
        path: str

    class Wrong(Options):
        width: int = Field(0, ge=1)

    class Contradicting(Options):
        @model_validator(mode="after")
        def _never(self):
            raise ValueError("low is above high")

    for options, reason in (
        (NoDefault, "path: Field required"),
        (Wrong, "width: should be"),
        (Contradicting, "low is above high"),
    ):
        with pytest.raises(PluginError, match=f"{options.__name__} is not valid with .*{reason}"):
            describe_options(options)
