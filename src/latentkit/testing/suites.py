"""All checks of a plugin's parts as test cases of pytest, in three lines.

import pytest
from latentkit.testing.suites import part_cases

@pytest.mark.parametrize("case", part_cases("my-distribution"))
def test_the_contract(case):
    case()
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentkit.errors import PluginError, UserError, did_you_mean
from latentkit.registry.catalogue import Part, Registry, default_registry
from latentkit.testing.conformance import (
    check_expectations,
    checks_of,
    name_of,
    run_check,
    why_left_out,
)
from latentkit.testing.subject import Check, Subject


@dataclass(frozen=True)
class Case:
    """One check of one part; pytest shows it as ``my-noise-check_generator_decides``.

    Args:
        check: the check.
        subject: what is checked.
        expected: why the check is expected to fail; None where it is not.
    """

    check: Check
    subject: Subject
    expected: str | None = None

    @property
    def __name__(self) -> str:
        """What pytest calls the case."""
        return f"{self.subject.spec.name}-{name_of(self.check)}"

    def __call__(self) -> None:
        """Run the check; an expected failure ends the test as ``xfailed``.

        Raises:
            AssertionError: the check fails, or passes although it was expected to fail.
        """
        if self.expected is None:
            self.check(self.subject)  # pytest shows the traceback
            return
        result = run_check(self.check, self.subject, self.expected)
        if result.outcome == "failed":
            raise AssertionError(result.reason)
        import pytest

        pytest.xfail(result.reason)


def part_cases(
    *names: str,
    kind: str | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
    expected: Mapping[str, Mapping[str, str]] | None = None,
    data: Path | None = None,
    registry: Registry | None = None,
) -> list[Case]:
    """Return a case for each check of each part that is meant.

    Args:
        *names: distributions, or parts as ``name`` or ``distribution:name``; none for all that
            is installed.
        kind: only parts of this kind.
        options: by the part's name, options to check it with instead of its defaults.
        expected: by the part's name, checks that are expected to fail, each with its reason.
        data: the folder of data sets; those that are downloaded are left out where there is none.
        registry: where parts are looked up; the installed plugins unless given.

    Raises:
        UserError: a name means nothing that can be checked, or an expectation no check.
    """
    options, expected = options or {}, expected or {}
    parts = find_parts(registry or default_registry(), *names, kind=kind)
    cases = []
    for part in parts:
        name = part.spec.name
        if why_left_out(part, options.get(name), data):
            continue
        checks, reasons = checks_of(part), expected.get(name, {})
        check_expectations(reasons, checks)
        subject = Subject(part, options.get(name, {}), data)
        cases += [Case(check, subject, reasons.get(name_of(check))) for check in checks]
    _refuse_strangers({*options, *expected}, parts)
    if not cases:
        raise UserError(f"none of the parts that {', '.join(names) or 'all'} means can be checked")
    return cases


def find_parts(registry: Registry, *names: str, kind: str | None = None) -> list[Part]:
    """Return the parts that names mean: parts, or all parts of distributions.

    Args:
        registry: where they are looked up.
        *names: distributions, or parts as ``name`` or ``distribution:name``; none for all.
        kind: only parts of this kind.

    Raises:
        UserError: a name means nothing.
        PluginError: a name is a distribution's, and all that it offers was left out as broken.
    """
    parts = registry.parts(kind)
    if not names:
        return parts
    found = []
    for name in names:
        meant = [p for p in parts if name in (p.spec.name, p.qualified_name, p.plugin.distribution)]
        for problem in registry.problems if not meant else ():
            if problem.plugin.distribution == name:
                raise PluginError(str(problem))
        if not meant:
            known = {word for p in parts for word in (p.spec.name, p.plugin.distribution)}
            raise UserError(
                f"there is no part and no distribution {name!r}{did_you_mean(name, sorted(known))}"
                f": 'latentkit plugins list' shows what is installed"
            )
        found += [part for part in meant if part not in found]
    return found


def _refuse_strangers(names: set[str], parts: list[Part]) -> None:
    known = sorted({part.spec.name for part in parts})
    for name in sorted(names.difference(known)):
        raise UserError(
            f"options or expectations of {name!r}, which is not checked"
            f"{did_you_mean(name, known)}; checked are {', '.join(known)}"
        )
