"""Each check of corruptions finds the fault that it looks for."""

from __future__ import annotations

import pytest

NOISE = """
    from typing import Annotated

    import torch
    from pydantic import Field

    from latentkit.plugin import Options, strength

    class NoiseOptions(Options):
        std: Annotated[float, strength] = Field(0.3, ge=0, le=2, description="How much.")

    def build(options):
        def add(images, generator):
            noise = torch.empty_like(images).normal_(generator=generator)
            return (images + options.std * noise).clamp(0, 1)

        return add
"""
FAULTS = {
    "values beyond 1": (".clamp(0, 1)", "", "check_corrupted_images_are_images"),
    "another type": (".clamp(0, 1)", ".clamp(0, 1).double()", "check_corrupted_images_are_images"),
    "another shape": (".clamp(0, 1)", ".clamp(0, 1)[..., 1:]", "check_corrupted_images_are_images"),
    "NaN": (".clamp(0, 1)", ".clamp(0, 1).log().sqrt()", "check_corrupted_images_are_images"),
    "work in place": ("(images +", "images.add_(", "check_images_are_left_alone"),
    "the images themselves where there is nothing to do": (
        "noise = torch",
        "if not options.std: return images\n            noise = torch",
        "check_images_are_left_alone",
    ),
    "something at zero strength": (
        "options.std * noise",
        "(0.1 + options.std) * noise",
        "check_zero_strength_is_the_identity",
    ),
    "a strength without effect": ("options.std * noise", "0 * noise",
                                  "check_strength_has_an_effect"),
    "numbers of the global state": ("generator=generator", "", "check_generator_decides"),
    "draws that lead to nothing": (
        "return (images + options.std * noise)",
        "return (images + options.std)",
        "check_random_states_give_other_results",
    ),
}  # fmt: skip


def test_a_good_corruption_passes(faults_of):
    assert faults_of("corruption", NOISE, "NoiseOptions") == {}


def test_a_corruption_without_randomness_and_strength_passes(faults_of):
    code = "def build(options): return lambda images, generator: 1 - images"
    assert faults_of("corruption", code) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault, faults_of):
    old, new, check = FAULTS[fault]
    assert old in NOISE
    assert check in faults_of("corruption", NOISE.replace(old, new), "NoiseOptions")
