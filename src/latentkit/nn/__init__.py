"""Building blocks of models: encoders and decoders that infer the shapes of their layers.

Import every name from here: the modules below this package may move.
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes

if TYPE_CHECKING:  # for type checkers, which do not see lazy attributes
    from latentkit.nn.fast_conv import *
    from latentkit.nn.image_losses import *
    from latentkit.nn.layers import *
    from latentkit.nn.likelihoods import *
    from latentkit.nn.linear_path import *
    from latentkit.nn.networks import *
    from latentkit.nn.quantisers import *

__all__ = [
    "KERNEL",
    "LOG_VAR_RANGE",
    "STRIDE",
    "Activation",
    "BackboneInput",
    "Bernoulli",
    "ContinuousBernoulli",
    "ConvDecoder",
    "ConvEncoder",
    "DenseDecoder",
    "DenseEncoder",
    "Doubling",
    "FastConvolution",
    "FastTransposed",
    "FlattenMaps",
    "Gaussian",
    "ImageLoss",
    "Likelihood",
    "LikelihoodName",
    "LinearDecoder",
    "LinearEncoder",
    "LinearPath",
    "Norm",
    "OddSizes",
    "Quantised",
    "ResidualBlock",
    "ScalarQuantiser",
    "UnflattenMaps",
    "Upsampling",
    "VectorQuantiser",
    "activation",
    "all_but_last",
    "at_least_float32",
    "clamp_to_images",
    "code_shares",
    "dense_layers",
    "focal_frequency",
    "fold",
    "folded_shape",
    "gradient_difference",
    "halved",
    "halving_padding",
    "image_loss",
    "kl_to_standard_normal",
    "latents_to_pixels",
    "log_constant",
    "log_normal",
    "make_likelihood",
    "ms_ssim",
    "nearest_codes",
    "norm_1d",
    "norm_2d",
    "perplexity",
    "pixels_to_features",
    "reparameterise",
    "size_pyramid",
    "spectral_distance",
    "split_posterior",
    "ssim",
    "whole_batch",
]

_HOMES = {
    "fast_conv": (
        "FastConvolution",
        "FastTransposed",
    ),
    "image_losses": (
        "ImageLoss",
        "focal_frequency",
        "gradient_difference",
        "image_loss",
        "ms_ssim",
        "spectral_distance",
        "ssim",
    ),
    "layers": (
        "Activation",
        "BackboneInput",
        "Doubling",
        "FlattenMaps",
        "KERNEL",
        "Norm",
        "OddSizes",
        "ResidualBlock",
        "STRIDE",
        "UnflattenMaps",
        "Upsampling",
        "activation",
        "at_least_float32",
        "halved",
        "halving_padding",
        "norm_1d",
        "norm_2d",
        "size_pyramid",
        "whole_batch",
    ),
    "likelihoods": (
        "Bernoulli",
        "ContinuousBernoulli",
        "Gaussian",
        "LOG_VAR_RANGE",
        "Likelihood",
        "LikelihoodName",
        "kl_to_standard_normal",
        "log_constant",
        "log_normal",
        "make_likelihood",
        "reparameterise",
        "split_posterior",
    ),
    "linear_path": (
        "LinearDecoder",
        "LinearEncoder",
        "LinearPath",
        "clamp_to_images",
    ),
    "networks": (
        "ConvDecoder",
        "ConvEncoder",
        "DenseDecoder",
        "DenseEncoder",
        "all_but_last",
        "dense_layers",
        "fold",
        "folded_shape",
        "latents_to_pixels",
        "pixels_to_features",
    ),
    "quantisers": (
        "Quantised",
        "ScalarQuantiser",
        "VectorQuantiser",
        "code_shares",
        "nearest_codes",
        "perplexity",
    ),
}
__getattr__, __dir__ = lazy_attributes(
    __name__,
    {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names},
)
