"""Deprecated: import these names from `latentkit.nn`."""

from warnings import warn

from latentkit.nn.layers import KERNEL, STRIDE, OddSizes, halved, halving_padding, size_pyramid

__all__ = [
    "KERNEL",
    "STRIDE",
    "OddSizes",
    "halved",
    "halving_padding",
    "size_pyramid",
]

warn(f"{__name__} is deprecated: import from latentkit.nn", DeprecationWarning, stacklevel=2)
