"""The checks that a part must pass, by its kind and tags, and their results.

from latentkit.registry.catalogue import default_registry
from latentkit.testing.conformance import check_part

part = default_registry().get("corruption", "my-noise")
failures = [result for result in check_part(part) if result.outcome == "failed"]
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from latentkit.errors import UserError, did_you_mean
from latentkit.registry.catalogue import Part
from latentkit.registry.options import missing_requirements
from latentkit.testing.checked_parts import Check, Subject
from latentkit.testing.declarations import (
    DECLARATION_CHECKS,
    check_declaration_is_light,
    check_options_are_described,
)

Outcome = Literal["passed", "failed", "expected"]


@dataclass(frozen=True)
class Result:
    """The result of one check on one part.

    Args:
        check: name of the check's function.
        outcome: ``expected`` means that the check failed as expected.
        reason: why it failed or was expected to fail; empty if it passed.
    """

    check: str
    outcome: Outcome
    reason: str = ""


def checks_of(part: Part) -> tuple[Check, ...]:
    """Return the checks that apply to a part, by its kind and tags, in order."""
    declared = (check_declaration_is_light, *DECLARATION_CHECKS)
    if part.plugin.file:
        # A single file may import heavy modules, because it also holds what it declares. Whoever
        # uses its options wrote them, or can read the file.
        excused = (check_declaration_is_light, check_options_are_described)
        declared = tuple(check for check in declared if check not in excused)
    return (*declared, *_CHECKS_OF_KIND[part.spec.kind](part.spec.tags))


def check_part(
    part: Part,
    *,
    options: Mapping[str, Any] | None = None,
    data: Path | None = None,
    expected: Mapping[str, str] | None = None,
) -> list[Result]:
    """Run every check that applies to a part.

    Args:
        part: a part from a registry.
        options: options to check it with, if they differ from the defaults.
        data: folder of data sets, for parts that download or read them.
        expected: names of the checks that are expected to fail, each with the reason. If such a
            check passes, it is reported as failed.

    Raises:
        UserError: ``expected`` names a check that the part does not have, or gives no reason.
    """
    expected = expected or {}
    checks = checks_of(part)
    check_expectations(expected, checks)
    subject = Subject(part, options or {}, data)
    return [run_check(check, subject, expected.get(name_of(check))) for check in checks]


def run_check(check: Check, subject: Subject, expected: str | None = None) -> Result:
    """Run one check and turn any exception except KeyboardInterrupt into a `Result`.

    Args:
        check: a function that raises if the subject breaks its contract.
        subject: the part to check, with its options.
        expected: why the check is expected to fail; None if it should pass.
    """
    name = name_of(check)
    try:
        check(subject)
    except KeyboardInterrupt:
        raise
    # Catch SystemExit too, because the check runs a plugin's code.
    except BaseException as error:
        fault = Result(name, "failed", _sentence(error))
        return fault if expected is None else Result(name, "expected", expected)
    if expected is None:
        return Result(name, "passed")
    return Result(name, "failed", f"it passes, but was expected to fail: {expected}")


def why_left_out(
    part: Part, options: Mapping[str, Any] | None = None, data: Path | None = None
) -> str:
    """Return why a part cannot be checked here, or an empty string if it can.

    Args:
        part: a part from a registry.
        options: options to check it with. A data set that reads the user's files cannot be
            checked without them.
        data: folder of data sets. A data set that is downloaded cannot be checked without it.
    """
    if missing := missing_requirements(part.spec):
        return f"needs {', '.join(missing)}"
    if "local" in part.spec.tags and not options:
        return "reads files of the user: name them in its options"
    if "download" in part.spec.tags and data is None:
        return "would be downloaded: name the folder of data sets"
    return ""


def check_expectations(expected: Mapping[str, str], checks: tuple[Check, ...]) -> None:
    """Check that each expected failure names an existing check and gives a reason.

    Raises:
        UserError: a check does not exist, or a reason is missing.
    """
    known = [name_of(check) for check in checks]
    for name, reason in expected.items():
        if name not in known:
            raise UserError(
                f"there is no check {name!r}{did_you_mean(name, known)}; known checks: "
                f"{', '.join(known)}"
            )
        if not reason.strip():
            raise UserError(f"give a reason why {name} is expected to fail")


def name_of(check: Check) -> str:
    """Return a check's name, as used in results and in expected failures."""
    return str(getattr(check, "__name__", check))


def _model_checks(tags: frozenset[str]) -> tuple[Check, ...]:
    from latentkit.testing import models

    return (
        *models.MODEL_CHECKS,
        *(models.ENCODER_CHECKS if "encoder" in tags else models.DECODER_CHECKS),
        *(() if "frozen" in tags else models.LOSS_CHECKS),
        *(models.GENERATIVE_CHECKS if "generative" in tags else ()),
        *(models.VECTOR_CHECKS if "vectors" in tags else ()),
    )


def _dataset_checks(tags: frozenset[str]) -> tuple[Check, ...]:
    from latentkit.testing.datasets import DATASET_CHECKS

    return DATASET_CHECKS


def _corruption_checks(tags: frozenset[str]) -> tuple[Check, ...]:
    from latentkit.testing.corruptions import CORRUPTION_CHECKS

    return CORRUPTION_CHECKS


def _embedding_checks(tags: frozenset[str]) -> tuple[Check, ...]:
    from latentkit.testing import embeddings

    places = "transductive" not in tags
    return (
        *embeddings.EMBEDDING_CHECKS,
        *(embeddings.PLACING_CHECKS if places else ()),
        *(embeddings.INVERSE_CHECKS if "inverse" in tags else ()),
        *(embeddings.LINEAR_CHECKS if "linear" in tags and places else ()),
    )


def _tuner_checks(tags: frozenset[str]) -> tuple[Check, ...]:
    checks = import_module("latentkit.testing.tuners").TUNER_CHECKS
    return tuple(_with_storage(check) for check in checks)


def _with_storage(check: Callable[..., None]) -> Check:
    """Turn a tuner check, ``check(make, storage)``, into a check of a `Subject`."""

    def check_tuner(subject: Subject) -> None:
        with tempfile.TemporaryDirectory(prefix="latentkit-") as folder:
            # Must be picklable, because other processes make tuners too.
            make = partial(subject.part.target(), subject.options())
            check(make, f"sqlite:///{folder}/study.db")

    check_tuner.__name__ = check.__name__
    return check_tuner


def _sentence(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, AssertionError) and text:
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


_CHECKS_OF_KIND: dict[str, Callable[[frozenset[str]], tuple[Check, ...]]] = {
    "model": _model_checks,
    "dataset": _dataset_checks,
    "corruption": _corruption_checks,
    "embedding": _embedding_checks,
    "tuner": _tuner_checks,
}
