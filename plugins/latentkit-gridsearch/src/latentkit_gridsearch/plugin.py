"""Declares the tuners ``grid`` and ``random``."""

from collections.abc import Iterator

from latentkit.plugin import TunerSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_REQUIRES = ("scikit-learn>=1.6", "scipy>=1.13", "psutil>=5.9")


@hookimpl
def latentkit_tuners() -> Iterator[TunerSpec]:
    """Offer the tuners."""
    yield TunerSpec(
        name="grid",
        summary="Every combination of a grid, once; no trial is pruned",
        target="latentkit_gridsearch.tuner:build_grid",
        options="latentkit_gridsearch.options:GridOptions",
        requires=_REQUIRES,
    )
    yield TunerSpec(
        name="random",
        summary="Independent random draws from the space; no trial is pruned",
        target="latentkit_gridsearch.tuner:build_random",
        options="latentkit_gridsearch.options:RandomOptions",
        requires=_REQUIRES,
    )
