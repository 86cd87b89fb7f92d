"""Deprecated: import these names from `latentkit.nn`."""

from warnings import warn

from latentkit.nn.layers import *  # noqa: F403

warn(f"{__name__} is deprecated: import from latentkit.nn", DeprecationWarning, stacklevel=2)
