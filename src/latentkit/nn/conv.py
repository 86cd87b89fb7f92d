"""Deprecated: import these names from `latentkit.nn`."""

from warnings import warn

from latentkit.nn.networks import (
    ConvDecoder,
    ConvEncoder,
    fold,
    folded_shape,
    latents_to_pixels,
    pixels_to_features,
)

__all__ = [
    "ConvDecoder",
    "ConvEncoder",
    "fold",
    "folded_shape",
    "latents_to_pixels",
    "pixels_to_features",
]

warn(f"{__name__} is deprecated: import from latentkit.nn", DeprecationWarning, stacklevel=2)
