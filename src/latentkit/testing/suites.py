"""All checks of a plugin's parts as pytest test cases.

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
from latentkit.testing import conformance
from latentkit.testing.checked_parts import Check, Subject


@dataclass(frozen=True)
class Case:
    """One check of one part; pytest shows it as ``my-noise-check_generator_decides``.

    Args:
        check: the check to run.
        subject: the part to check, with its options.
        expected: why the check is expected to fail; None if it should pass.
    """

    check: Check
    subject: Subject
    expected: str | None = None

    @property
    def __name__(self) -> str:
        """The case's name in pytest."""
        return f"{self.subject.spec.name}-{conformance.name_of(self.check)}"

    def __call__(self) -> None:
        """Run the check; an expected failure ends the test as ``xfailed``.

        Raises:
            AssertionError: the check fails, or it passes although it was expected to fail.
        """
        if self.expected is None:
            self.check(self.subject)  # not through run_check, so that pytest shows the traceback
            return
        result = conformance.run_check(self.check, self.subject, self.expected)
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
    """Return a case for each check of each selected part.

    Args:
        *names: distributions, or parts as ``name`` or ``distribution:name``. Without names, all
            installed parts are checked.
        kind: only select parts of this kind.
        options: by part name, options to check the part with instead of its defaults.
        expected: by part name, the checks that are expected to fail, each with its reason.
        data: folder of data sets. Without it, data sets that are downloaded are skipped.
        registry: registry to search; by default, that of the installed plugins.

    Raises:
        UserError: a name selects nothing that can be checked, or an expected failure names an
            unknown check.
    """
    options, expected = options or {}, expected or {}
    parts = find_parts(registry or default_registry(), *names, kind=kind)
    cases = []
    for part in parts:
        name = part.spec.name
        if conformance.why_left_out(part, options.get(name), data):
            continue
        checks, reasons = conformance.checks_of(part), expected.get(name, {})
        conformance.check_expectations(reasons, checks)
        subject = Subject(part, options.get(name, {}), data)
        cases += [Case(check, subject, reasons.get(conformance.name_of(check))) for check in checks]
    _refuse_strangers({*options, *expected}, parts)
    if not cases:
        raise UserError(f"none of the parts selected by {', '.join(names) or 'all'} can be checked")
    return cases


def find_parts(registry: Registry, *names: str, kind: str | None = None) -> list[Part]:
    """Return the parts that names select: single parts, or all parts of a distribution.

    Args:
        registry: registry to search.
        *names: distributions, or parts as ``name`` or ``distribution:name``. Without names, all
            parts are returned.
        kind: only select parts of this kind.

    Raises:
        UserError: no part and no distribution has this name.
        PluginError: the name is that of a distribution whose plugins are all broken.
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
                f": 'latentkit plugins list' shows the installed parts"
            )
        found += [part for part in meant if part not in found]
    return found


def _refuse_strangers(names: set[str], parts: list[Part]) -> None:
    known = sorted({part.spec.name for part in parts})
    for name in sorted(names.difference(known)):
        raise UserError(
            f"options or expected failures are given for {name!r}, which is not checked"
            f"{did_you_mean(name, known)}; checked parts: {', '.join(known)}"
        )
