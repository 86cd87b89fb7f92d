"""Checks of parts of every kind: a light declaration and valid options."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
import tomllib

import tomli_w

from latentkit.plugin.options import SearchChoice, search_domains
from latentkit.testing.checked_parts import Check, Subject, claim, claim_refused

HEAVY = ("torch", "sklearn", "scipy", "umap", "optuna", "matplotlib")
"""Packages that neither a declaration nor its options may import."""

_NO_OPTION = "no-such-option"


def check_declaration_is_light(subject: Subject) -> None:
    """Check in a fresh interpreter that the plugin and its options import nothing of `HEAVY`."""
    modules = [subject.part.plugin.module, subject.spec.options or ""]
    names = tuple(module.partition(":")[0] for module in modules if module)
    heavy = _heavy_imports(names)
    claim(not heavy, f"importing {' and '.join(names)} imports {', '.join(heavy)} too")


def check_target_is_found(subject: Subject) -> None:
    """Check that requirements are installed and that the target can be imported and called."""
    claim(callable(subject.part.target()), f"{subject.spec.target} cannot be called")


def check_defaults_are_valid(subject: Subject) -> None:
    """Check that the part's default options are valid."""
    subject.part.options({})


def check_options_are_described(subject: Subject) -> None:
    """Check that every option has a description, which ``plugins show`` prints."""
    fields = subject.part.options_type().model_fields
    bare = [name for name, field in fields.items() if not (field.description or "").strip()]
    claim(not bare, f"these options have no description: {', '.join(bare)}")


def check_options_leave_the_name_alone(subject: Subject) -> None:
    """Check that no option is called ``name``: in a configuration file, it names the part."""
    claim(not subject.has_option("name"), "an option is called 'name', which names the part itself")


def check_unknown_options_are_refused(subject: Subject) -> None:
    """Check that unknown options are refused, so that a misspelt option is not ignored."""
    options = subject.part.options_type()
    claim_refused(
        lambda: options.model_validate({_NO_OPTION: 1}),
        "an option that does not exist is accepted, although Options forbids it",
    )


def check_options_round_trip(subject: Subject) -> None:
    """Check that options are the same after they are written as TOML or JSON and read back."""
    options = subject.options()
    document = options.model_dump(mode="json", exclude_none=True)
    read = {
        "TOML": tomllib.loads(tomli_w.dumps(document)),
        "JSON": json.loads(json.dumps(document, allow_nan=False)),
    }
    for way, values in read.items():
        again = type(options).model_validate(values)
        claim(again == options, f"options change in {way}: from {options!r} to {again!r}")


def check_search_ranges_are_allowed(subject: Subject) -> None:
    """Check that every value which a tuner may try is valid."""
    for name, domain, _ in search_domains(subject.part.options_type()):
        ends = domain.values if isinstance(domain, SearchChoice) else (domain.low, domain.high)
        for value in ends:
            try:
                subject.options(**{name: value})
            except Exception as error:
                raise AssertionError(
                    f"the search range includes {name} = {value!r}, which is not valid: {error}"
                ) from None


@functools.cache
def _heavy_imports(modules: tuple[str, ...]) -> tuple[str, ...]:
    """Return the packages of `HEAVY` that importing ``modules`` loads in a fresh interpreter."""
    code = (
        f"import sys, {', '.join(modules)}\n"
        f"print(*(name for name in {HEAVY!r} if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        check=False,
    )
    last = (done.stderr.strip() or "no message").splitlines()[-1]
    claim(not done.returncode, f"{' and '.join(modules)} cannot be imported: {last}")
    return tuple(done.stdout.split())


DECLARATION_CHECKS: tuple[Check, ...] = (
    check_target_is_found,
    check_defaults_are_valid,
    check_options_are_described,
    check_options_leave_the_name_alone,
    check_unknown_options_are_refused,
    check_options_round_trip,
    check_search_ranges_are_allowed,
)
