"""The plugin that declares the built-in tuners."""

from collections.abc import Iterator

from latentkit.plugin import TunerSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.tuners"


@hookimpl
def latentkit_tuners() -> Iterator[TunerSpec]:
    """Offer the tuners."""
    yield TunerSpec(
        name="optuna",
        summary="Optuna: tree-structured Parzen estimator; stops unpromising trials early",
        target=f"{_HERE}.optuna_tuner:build",
        options=f"{_HERE}.options:OptunaOptions",
    )
