"""Deprecated: import these names from `latentkit.nn`."""

from warnings import warn

from latentkit.nn.networks import DenseDecoder, DenseEncoder, all_but_last, dense_layers

__all__ = [
    "DenseDecoder",
    "DenseEncoder",
    "all_but_last",
    "dense_layers",
]

warn(f"{__name__} is deprecated: import from latentkit.nn", DeprecationWarning, stacklevel=2)
