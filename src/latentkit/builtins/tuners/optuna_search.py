"""Optuna's samplers, pruners and distributions, with every setting given explicitly.

Optuna's defaults change between releases. Explicit settings do not.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import Decimal
from importlib.util import find_spec
from typing import Any

import optuna
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)

from latentkit.builtins.tuners.options import OptunaOptions
from latentkit.errors import BrokenEnvironmentError, UserError
from latentkit.plugin import SearchChoice, SearchDomain, SearchRange

_PLAIN = (str, int, float, bool, type(None))


def make_sampler(options: OptunaOptions, seed: int, objectives: int) -> optuna.samplers.BaseSampler:
    """Return the sampler of one trial.

    Raises:
        UserError: the sampler supports one objective only.
        BrokenEnvironmentError: the sampler's package is missing.
    """
    if options.sampler == "random":
        return optuna.samplers.RandomSampler(seed=seed)
    if options.sampler == "gp":
        return optuna.samplers.GPSampler(
            seed=seed,
            n_startup_trials=options.startup_trials,
            deterministic_objective=False,
            independent_sampler=optuna.samplers.RandomSampler(seed=seed),
            warn_independent_sampling=False,
        )
    if options.sampler == "cma-es":
        return _cma_es(options, seed, objectives)
    return optuna.samplers.TPESampler(
        seed=seed,
        n_startup_trials=options.startup_trials,
        n_ei_candidates=24,
        multivariate=True,
        group=False,
        constant_liar=True,
    )


def _cma_es(options: OptunaOptions, seed: int, objectives: int) -> optuna.samplers.BaseSampler:
    if objectives > 1:
        raise UserError("sampler cma-es supports one objective only: use tpe, gp or random")
    if find_spec("cmaes") is None:
        raise BrokenEnvironmentError("sampler cma-es needs cmaes: run 'pip install cmaes'")
    return optuna.samplers.CmaEsSampler(
        seed=seed,
        n_startup_trials=options.startup_trials,
        independent_sampler=optuna.samplers.RandomSampler(seed=seed),
        warn_independent_sampling=False,
        consider_pruned_trials=False,
        use_separable_cma=False,
        with_margin=True,
        lr_adapt=False,
    )


def make_pruner(options: OptunaOptions) -> optuna.pruners.BasePruner:
    """Return the pruner of a study with one objective."""
    match options.pruner:
        case "none":
            return optuna.pruners.NopPruner()
        case "median":
            return optuna.pruners.MedianPruner(
                n_startup_trials=options.startup_trials,
                n_warmup_steps=options.min_epochs,  # the first epoch at which trials are compared
                interval_steps=1,
                n_min_trials=3,
            )
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=options.min_epochs,
                max_resource="auto",
                reduction_factor=options.reduction_factor,
                bootstrap_count=0,
            )
    return optuna.pruners.SuccessiveHalvingPruner(
        min_resource=options.min_epochs,
        reduction_factor=options.reduction_factor,
        min_early_stopping_rate=0,
        bootstrap_count=0,
    )


def distribution(domain: SearchDomain) -> BaseDistribution:
    """Return the distribution over a domain. Choices that Optuna cannot store become JSON text."""
    if not isinstance(domain, SearchRange):
        return CategoricalDistribution(tuple(map(stored, domain.values)))
    if isinstance(domain.low, int) and isinstance(domain.high, int):
        return _of_whole_numbers(domain.low, domain.high, domain)
    low, high = float(domain.low), float(domain.high)
    if domain.step is not None:
        # Optuna expects an upper bound that whole steps reach. Decimals find it without rounding
        # errors: 0.5 + 3 * 0.4 is 1.7.
        first, step = Decimal(repr(low)), Decimal(repr(domain.step))
        high = float(first + (Decimal(repr(high)) - first) // step * step)
    return FloatDistribution(low, high, log=domain.log, step=domain.step)


def _of_whole_numbers(low: int, high: int, domain: SearchRange) -> BaseDistribution:
    step = 1 if domain.step is None else int(domain.step)
    return IntDistribution(low, low + (high - low) // step * step, log=domain.log, step=step)


def read_params(params: Mapping[str, Any], space: Mapping[str, SearchDomain]) -> dict[str, Any]:
    """Return stored parameters in the order of the space, with the original value of choices."""
    known = {name: params[name] for name in space if name in params}
    for name, value in known.items():
        domain = space[name]
        if isinstance(domain, SearchChoice):
            known[name] = {stored(choice): choice for choice in domain.values}.get(value, value)
    return known


def stored(choice: Any) -> Any:
    """Return a choice in the form that Optuna stores: as it is, or as JSON text."""
    return choice if isinstance(choice, _PLAIN) else json.dumps(choice)
