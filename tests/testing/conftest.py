"""Fixtures that make parts for one test: correct ones, and ones that break one rule."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent

import pytest

from latentkit.plugin.specs import SPEC_TYPES
from latentkit.registry.catalogue import Part
from latentkit.registry.discovery import FoundPlugin
from latentkit.testing.conformance import check_part


@pytest.fixture
def made_part(install_plugin) -> Callable[..., Part]:
    """Return a function that makes a part from the source code of a module."""

    def make(kind: str, code: str, options: str | None = None, tags: tuple[str, ...] = ()) -> Part:
        install_plugin("made", dedent(code))
        target = options and f"made:{options}"
        spec = SPEC_TYPES[kind](
            name="made", summary="Made", target="made:build", options=target, tags=frozenset(tags)
        )
        return Part(spec, FoundPlugin("made", "made", "json", "1.0"))

    return make


def faults(part: Part) -> dict[str, str]:
    """Return the checks that a part fails, with reasons; the check for light imports is skipped."""
    results = check_part(part)
    failed = {result.check: result.reason for result in results if result.outcome == "failed"}
    failed.pop("check_declaration_is_light", None)
    return failed


@pytest.fixture
def faults_of(made_part) -> Callable[..., dict[str, str]]:
    """Return a function that makes a part and returns the checks that it fails."""

    def find(*arguments, **keywords) -> dict[str, str]:
        return faults(made_part(*arguments, **keywords))

    return find
