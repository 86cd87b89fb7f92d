"""Each check of declarations and options finds the fault that it looks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from latentkit.registry.catalogue import default_registry
from latentkit.testing.conformance import check_part

INVERT = """
    from typing import Annotated, Literal

    from pydantic import ConfigDict, Field, field_serializer

    from latentkit.plugin import Options, SearchChoice, SearchRange

    class InvertOptions(Options):
        HERE = 0
        amount: Annotated[float, SearchRange(0.1, 0.9)] = Field(
            1.0, ge=0, le=1, description="How much."
        )
        how: Annotated[Literal["all", "half"], SearchChoice(("all", "half"))] = Field(
            "all", description="Which pixels."
        )

    def build(options):
        return lambda images, generator: 1 - images
"""
FAULTS = {
    "an option without a description": (', description="Which pixels."', "",
                                        "check_options_are_described"),
    "a default that is not valid": ("1.0, ge=0", "2.0, ge=0", "check_defaults_are_valid"),
    "an option called name": ("how:", "name:", "check_options_leave_the_name_alone"),
    "unknown options that are let in": ("HERE = 0", "model_config = ConfigDict(extra='allow')",
                                        "check_unknown_options_are_refused"),
    "options that are written otherwise": (
        "HERE = 0",
        "_w = field_serializer('how')(lambda self, value: 'half')",
        "check_options_round_trip",
    ),
    "a range beyond what is allowed": ("0.9)", "1.1)", "check_search_ranges_are_allowed"),
    "a choice that is not allowed": ('(("all", "half"))', '(("all", "third"))',
                                     "check_search_ranges_are_allowed"),
    "a target that is not there": ("def build", "def make", "check_target_is_found"),
}  # fmt: skip


def test_good_options_pass(faults_of):
    code = INVERT.replace("HERE = 0\n", "\n")
    assert faults_of("corruption", code, "InvertOptions") == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault, faults_of):
    old, new, check = FAULTS[fault]
    assert old in INVERT
    code = INVERT.replace(old, new).replace("HERE = 0\n", "\n")
    assert check in faults_of("corruption", code, "InvertOptions")


@pytest.mark.parametrize(
    ("module", "line", "reason"),
    [
        ("heavy_one", "import json, torch", "importing heavy_one imports torch too"),
        ("lost_one", "import no_such_one", "lost_one cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_declaration_with_heavy_imports_is_found_in_a_new_interpreter(
    module, line, reason, install_plugin
):
    install_plugin(module, line)
    part = default_registry().get("corruption", "blur")
    part = replace(part, plugin=replace(part.plugin, module=module))
    part = replace(part, spec=replace(part.spec, options=None))
    (light, *_) = check_part(part)
    assert light.check == "check_declaration_is_light"
    assert light.reason.startswith(reason)
