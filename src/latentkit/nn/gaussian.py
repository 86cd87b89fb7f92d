"""Deprecated: import these names from `latentkit.nn`."""

from warnings import warn

from latentkit.nn.likelihoods import (
    LOG_VAR_RANGE,
    kl_to_standard_normal,
    log_normal,
    reparameterise,
    split_posterior,
)

__all__ = [
    "LOG_VAR_RANGE",
    "kl_to_standard_normal",
    "log_normal",
    "reparameterise",
    "split_posterior",
]

warn(f"{__name__} is deprecated: import from latentkit.nn", DeprecationWarning, stacklevel=2)
