"""How conformance checks are chosen, run and reported."""

from __future__ import annotations

import pytest

from latentkit.errors import UserError
from latentkit.registry.catalogue import default_registry
from latentkit.testing.conformance import check_part, checks_of, name_of, why_left_out

BLANK = "def build(options): return lambda images, generator: images"
LEFT = "check_images_are_left_alone"


def get(kind, name):
    return default_registry().get(kind, name)


def names(part):
    return {name_of(check) for check in checks_of(part)}


def test_the_tags_of_a_part_choose_its_checks():
    assert "check_encode_is_the_posterior_mean" in names(get("model", "conv-vae"))
    assert "check_encode_is_the_posterior_mean" not in names(get("model", "conv-ae"))
    assert {"check_inverse_gives_vectors", "check_map_is_linear"} <= names(get("embedding", "pca"))
    assert "check_map_is_linear" not in names(get("embedding", "isomap"))


def test_no_kind_has_two_checks_of_one_name():
    for part in default_registry().parts():
        if part.spec.kind != "tuner":
            assert len(names(part)) == len(checks_of(part))


def test_a_part_that_raises_is_reported_with_what_it_raised(made_part):
    part = made_part("corruption", "def build(options): raise SystemExit('enough')")
    results = {result.check: result for result in check_part(part)}
    assert results[LEFT].outcome == "failed"
    assert results[LEFT].reason == "SystemExit: enough"
    assert results["check_target_is_found"].outcome == "passed"


def test_an_interrupt_is_not_reported_as_a_fault(made_part):
    part = made_part("corruption", "def build(options): raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        check_part(part)


def test_an_expected_failure_is_reported_with_its_reason(made_part):
    part = made_part("corruption", BLANK)
    results = {r.check: r for r in check_part(part, expected={LEFT: "it does nothing"})}
    assert results[LEFT].outcome == "expected"
    assert results[LEFT].reason == "it does nothing"


def test_a_check_that_passes_despite_an_expected_failure_is_reported(made_part):
    part = made_part("corruption", BLANK)
    results = {r.check: r for r in check_part(part, expected={"check_generator_decides": "why"})}
    found = results["check_generator_decides"]
    assert found.outcome == "failed"
    assert found.reason == "it passes, but was expected to fail: why"


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        ({LEFT: " "}, f"give a reason why {LEFT} is expected to fail"),
        ({"check_generator_decide": "x"}, "did you mean 'check_generator_decides'"),
    ],
)
def test_an_expectation_needs_a_check_and_a_reason(expected, message, made_part):
    with pytest.raises(UserError, match=message):
        check_part(made_part("corruption", BLANK), expected=expected)


def test_parts_that_cannot_be_checked_here_are_left_out_with_the_reason(tmp_path):
    assert why_left_out(get("dataset", "fashion-mnist")).startswith("would be downloaded")
    assert why_left_out(get("dataset", "fashion-mnist"), data=tmp_path) == ""
    assert why_left_out(get("dataset", "npz"), data=tmp_path).startswith("reads files of the user")
    assert why_left_out(get("dataset", "npz"), {"path": "images.npz"}) == ""
    assert why_left_out(get("model", "conv-ae")) == ""
