"""Builds a model from its options: networks, pythae's configuration and class, and the adapter."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import cache
from typing import Any

from pythae import models as pythae  # type: ignore[import-untyped]

from latentkit.errors import UserError
from latentkit.nn import ConvDecoder, ConvEncoder
from latentkit_pythae import options as o
from latentkit_pythae.adapter import GradientModel, NormalPriorModel, PythaeModel
from latentkit_pythae.adversarial import AdversarialAutoencoder, FactorVae
from latentkit_pythae.base_options import PythaeOptions, VectorOptions
from latentkit_pythae.gaussian import GaussianVae, HamiltonianVae
from latentkit_pythae.networks import Decoder, Encoder, gaussian, point
from latentkit_pythae.priors import (
    AutoregressiveFlowVae,
    InBall,
    LinearFlowVae,
    PoincareVae,
    SphericalVae,
    VampVae,
    on_sphere,
)
from latentkit_pythae.quantised import QuantisedAutoencoder
from latentkit_pythae.spatial import MapDecoder, MapEncoder

ImageShape = tuple[int, int, int]


@dataclass(frozen=True)
class Recipe:
    """The classes that make a model.

    Args:
        model: pythae's model class.
        config: its configuration class, a pydantic dataclass.
        adapter: class that gives the model latentkit's methods.
    """

    model: Any
    config: Any
    adapter: type[PythaeModel]


@cache
def recipes() -> dict[type[PythaeOptions], Recipe]:
    """Return the recipe for each options class."""
    p = pythae
    return {
        o.AeOptions: Recipe(p.AE, p.AEConfig, PythaeModel),
        o.VaeOptions: Recipe(p.VAE, p.VAEConfig, GaussianVae),
        o.BetaVaeOptions: Recipe(p.BetaVAE, p.BetaVAEConfig, GaussianVae),
        o.BetaTcVaeOptions: Recipe(p.BetaTCVAE, p.BetaTCVAEConfig, GaussianVae),
        o.DisentangledBetaVaeOptions: Recipe(
            p.DisentangledBetaVAE, p.DisentangledBetaVAEConfig, GaussianVae
        ),
        o.FactorVaeOptions: Recipe(p.FactorVAE, p.FactorVAEConfig, FactorVae),
        o.InfoVaeOptions: Recipe(p.INFOVAE_MMD, p.INFOVAE_MMD_Config, GaussianVae),
        o.IwaeOptions: Recipe(p.IWAE, p.IWAEConfig, GaussianVae),
        o.CiwaeOptions: Recipe(p.CIWAE, p.CIWAEConfig, GaussianVae),
        o.MiwaeOptions: Recipe(p.MIWAE, p.MIWAEConfig, GaussianVae),
        o.HvaeOptions: Recipe(p.HVAE, p.HVAEConfig, HamiltonianVae),
        o.MsssimVaeOptions: Recipe(p.MSSSIM_VAE, p.MSSSIM_VAEConfig, NormalPriorModel),
        o.VampOptions: Recipe(p.VAMP, p.VAMPConfig, VampVae),
        o.LinNfOptions: Recipe(p.VAE_LinNF, p.VAE_LinNF_Config, LinearFlowVae),
        o.IafOptions: Recipe(p.VAE_IAF, p.VAE_IAF_Config, AutoregressiveFlowVae),
        o.SvaeOptions: Recipe(p.SVAE, p.SVAEConfig, SphericalVae),
        o.PoincareVaeOptions: Recipe(p.PoincareVAE, p.PoincareVAEConfig, PoincareVae),
        o.WaeMmdOptions: Recipe(p.WAE_MMD, p.WAE_MMD_Config, NormalPriorModel),
        o.AaeOptions: Recipe(p.Adversarial_AE, p.Adversarial_AE_Config, AdversarialAutoencoder),
        o.RaeL2Options: Recipe(p.RAE_L2, p.RAE_L2_Config, PythaeModel),
        o.RaeGpOptions: Recipe(p.RAE_GP, p.RAE_GP_Config, GradientModel),
        o.VqVaeOptions: Recipe(p.VQVAE, p.VQVAEConfig, QuantisedAutoencoder),
    }


def build(options: PythaeOptions, image_shape: ImageShape) -> PythaeModel:
    """Build the model of the given options.

    Raises:
        UserError: the images are too small for the requested network.
    """
    recipe = recipes()[type(options)]
    known = {field.name for field in dataclasses.fields(recipe.config)}
    values = {k: v for k, v in options.for_pythae().items() if k in known}
    config = recipe.config(input_dim=image_shape, **values)
    try:
        encoder, decoder = _networks(options, image_shape)
    except ValueError as error:
        raise UserError(f"model pythae: {error}") from error
    # VQ-VAE calls its encoder on noise to find the map's depth. In eval mode, this does not change
    # the statistics of batch normalisation.
    model = recipe.model(config, encoder.eval(), decoder)
    encoder.train()
    if isinstance(options, o.VqVaeOptions):
        depth, height, width = encoder.network.shape
        model.latent_dim = depth * height * width
    return recipe.adapter(model, options)


def _networks(options: PythaeOptions, shape: ImageShape) -> tuple[Encoder, Decoder]:
    if isinstance(options, o.VqVaeOptions):
        depth = options.embedding_dim
        return (
            Encoder(MapEncoder(options, shape, depth), point),
            Decoder(MapDecoder(options, shape, depth)),
        )
    assert isinstance(options, VectorOptions)  # noqa: S101
    size = options.latent_dim
    if isinstance(options, o.SvaeOptions):
        features, read = size + 1, on_sphere
    elif isinstance(options, o.PoincareVaeOptions):
        features, read = 2 * size, InBall(options.curvature)
    elif isinstance(options, o.AeOptions | o.WaeMmdOptions | o.RaeL2Options):
        features, read = size, point
    else:
        features, read = 2 * size, gaussian
    shared: dict[str, Any] = {
        "image_shape": shape,
        "channels": options.channels,
        "hidden": options.hidden,
        "act": options.activation,
        "norm": options.norm,
        "patch": options.patch,
    }
    encoder = Encoder(ConvEncoder(features=features, **shared), read)
    return encoder, Decoder(ConvDecoder(latent_dim=size, **shared))
