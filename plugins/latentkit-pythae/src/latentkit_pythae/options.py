"""Options of the models; they have pythae's names, except those in ``PYTHAE_NAMES``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from latentkit.plugin import SearchRange, search_all
from latentkit_pythae.base_options import LikelihoodOptions, PythaeOptions, VectorOptions

Kernel = Literal["rbf", "imq"]
Samples = Annotated[int, SearchRange(2, 20)]
Weight = Annotated[float, SearchRange(1.0, 20.0, log=True)]


class AeOptions(VectorOptions):
    """Options of ``pythae-ae``."""


class VaeOptions(LikelihoodOptions):
    """Options of ``pythae-vae``."""


class BetaVaeOptions(LikelihoodOptions):
    """Options of ``pythae-beta-vae``."""

    beta: Annotated[float, SearchRange(0.01, 10.0, log=True)] = Field(
        4.0, ge=0, le=1e4, description="Weight of the KL."
    )


class BetaTcVaeOptions(LikelihoodOptions):
    """Options of ``pythae-beta-tc-vae``."""

    PYTHAE_NAMES: ClassVar = {"mutual_information": "alpha", "dimension_kl": "gamma"}

    mutual_information: float = Field(
        1.0, ge=0, le=1e4, description="Weight of the index-code mutual information."
    )
    beta: Weight = Field(4.0, ge=0, le=1e4, description="Weight of the total correlation.")
    dimension_kl: float = Field(1.0, ge=0, le=1e4, description="Weight of the dimension-wise KL.")
    use_mss: bool = Field(
        True, description="Use minibatch stratified sampling; if false, weighted sampling."
    )
    dataset_size: int = Field(
        0, ge=0, description="Training images, to estimate q(z); 0 means as many as in the batch."
    )


class DisentangledBetaVaeOptions(LikelihoodOptions):
    """Options of ``pythae-disentangled-beta-vae``."""

    PYTHAE_NAMES: ClassVar = {"capacity": "C", "warm_up": "warmup_epoch"}

    beta: Weight = Field(
        10.0, ge=0, le=1e4, description="Weight of the distance between KL and capacity."
    )
    capacity: Annotated[float, SearchRange(5.0, 50.0)] = Field(
        25.0, ge=0, le=1e4, description="Target of the KL in nats."
    )
    warm_up: int = Field(
        0, ge=0, description="Optimiser steps over which the capacity rises from 0."
    )


class FactorVaeOptions(LikelihoodOptions):
    """Options of ``pythae-factor-vae``."""

    gamma: Weight = Field(2.0, ge=0, le=1e4, description="Weight of the total correlation.")


class InfoVaeOptions(LikelihoodOptions):
    """Options of ``pythae-info-vae``; the weight of the MMD is alpha + mmd_weight - 1."""

    PYTHAE_NAMES: ClassVar = {"mmd_weight": "lbd"}

    alpha: Annotated[float, SearchRange(0.0, 1.0)] = Field(
        0.5, ge=0, le=1, description="Share of the KL that is left out."
    )
    mmd_weight: Annotated[float, SearchRange(1.0, 1000.0, log=True)] = Field(
        10.0, ge=0, le=1e6, description="The paper's lambda; the MMD's weight is alpha+lambda-1."
    )
    kernel_choice: Annotated[Kernel, search_all] = Field("imq", description="Kernel of the MMD.")
    kernel_bandwidth: float = Field(1.0, gt=0, le=1e3, description="Bandwidth of the kernel.")

    @model_validator(mode="after")
    def _mmd_is_not_rewarded(self) -> Self:
        if self.alpha + self.mmd_weight < 1:
            raise ValueError("alpha + mmd_weight must be 1 or more, or else the MMD is maximised")
        return self


class IwaeOptions(LikelihoodOptions):
    """Options of ``pythae-iwae``."""

    number_samples: Samples = Field(5, ge=1, le=1000, description="Samples per image.")


class CiwaeOptions(IwaeOptions):
    """Options of ``pythae-ciwae``."""

    beta: Annotated[float, SearchRange(0.0, 1.0)] = Field(
        0.5, ge=0, le=1, description="Weight of the VAE's bound; the rest is the IWAE's bound."
    )


class MiwaeOptions(LikelihoodOptions):
    """Options of ``pythae-miwae``."""

    number_gradient_estimates: int = Field(
        4, ge=1, le=1000, description="First axis of samples; pythae 0.1.2 weights along it."
    )
    number_samples: int = Field(
        2, ge=1, le=1000, description="Second axis of samples; pythae 0.1.2 averages along it."
    )


class HvaeOptions(VectorOptions):
    """Options of ``pythae-hvae``; its likelihood is Gaussian."""

    PYTHAE_NAMES: ClassVar = {"leapfrog_steps": "n_lf", "step_size": "eps_lf"}

    leapfrog_steps: int = Field(2, ge=1, le=50, description="Leapfrog steps per sample.")
    step_size: Annotated[float, SearchRange(1e-4, 1e-2, log=True)] = Field(
        1e-3, gt=0, le=1, description="Size of a leapfrog step."
    )
    beta_zero: float = Field(0.3, gt=0, le=1, description="Tempering at the first step.")
    learn_eps_lf: bool = Field(False, description="Train the step size.")
    learn_beta_zero: bool = Field(False, description="Train the tempering.")


class MsssimVaeOptions(VectorOptions):
    """Options of ``pythae-msssim-vae``."""

    beta: Annotated[float, SearchRange(1e-4, 1.0, log=True)] = Field(
        1e-3, ge=0, le=1e4, description="Weight of the KL; the other term, 1 - MS-SSIM, is <= 1."
    )
    window_size: Literal[3, 5, 7, 9, 11] = Field(
        11, description="Side of the MS-SSIM window in pixels."
    )


class VampOptions(LikelihoodOptions):
    """Options of ``pythae-vamp``."""

    PYTHAE_NAMES: ClassVar = {"warm_up": "linear_scheduling_steps"}

    number_components: Annotated[int, SearchRange(10, 500, log=True)] = Field(
        50, ge=1, le=10_000, description="Number of learned pseudo-inputs of the prior."
    )
    warm_up: int = Field(
        0, ge=0, description="Optimiser steps over which the KL's weight rises to 1."
    )


class LinNfOptions(LikelihoodOptions):
    """Options of ``pythae-lin-nf``."""

    flows: tuple[Literal["Planar", "Radial"], ...] = Field(
        ("Planar", "Planar"), min_length=1, max_length=64, description="The flows, in order."
    )


class IafOptions(LikelihoodOptions):
    """Options of ``pythae-iaf``."""

    latent_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        16, ge=2, le=4096, description="Number of latent dimensions."
    )
    n_made_blocks: int = Field(2, ge=1, le=32, description="Number of autoregressive networks.")
    n_hidden_in_made: int = Field(
        2, ge=1, le=32, description="Hidden layers of each autoregressive network."
    )
    hidden_size: int = Field(
        128, ge=2, le=65536, description="Width of the autoregressive networks' hidden layers."
    )


class SvaeOptions(LikelihoodOptions):
    """Options of ``pythae-svae``."""

    # With more than 48 dimensions, the Bessel function in the KL underflows in float32.
    latent_dim: Annotated[int, SearchRange(3, 40, log=True)] = Field(
        16, ge=2, le=48, description="Number of dimensions of the space around the sphere."
    )


class PoincareVaeOptions(LikelihoodOptions):
    """Options of ``pythae-poincare-vae``; prior and posterior are wrapped normals."""

    curvature: Annotated[float, SearchRange(0.1, 2.0, log=True)] = Field(
        1.0, gt=0, le=10, description="The ball's radius is 1 / sqrt(curvature)."
    )


class WaeMmdOptions(VectorOptions):
    """Options of ``pythae-wae-mmd``."""

    kernel_choice: Annotated[Kernel, search_all] = Field("imq", description="Kernel of the MMD.")
    reg_weight: Annotated[float, SearchRange(1e-2, 1e3, log=True)] = Field(
        3e-2, ge=0, le=1e6, description="Weight of the MMD."
    )
    kernel_bandwidth: float = Field(1.0, gt=0, le=1e3, description="Bandwidth of the kernel.")
    reconstruction_loss_scale: float = Field(
        1.0, gt=0, le=1e4, description="Weight of the squared error."
    )


class AaeOptions(LikelihoodOptions):
    """Options of ``pythae-aae``."""

    adversarial_loss_scale: Annotated[float, SearchRange(0.1, 1.0)] = Field(
        0.5, ge=0, le=1, description="Weight of the adversarial loss of the latents."
    )
    reconstruction_loss_scale: float = Field(
        1.0, gt=0, le=1e4, description="Weight of the reconstruction."
    )
    deterministic_posterior: bool = Field(
        False, description="Train on posterior means instead of samples."
    )


class RaeL2Options(VectorOptions):
    """Options of ``pythae-rae-l2``."""

    embedding_weight: Annotated[float, SearchRange(1e-5, 1e-1, log=True)] = Field(
        1e-4, ge=0, le=1e4, description="Weight of half the squared norm of latents."
    )


class RaeGpOptions(RaeL2Options):
    """Options of ``pythae-rae-gp``."""

    reg_weight: Annotated[float, SearchRange(1e-8, 1e-3, log=True)] = Field(
        1e-7, ge=0, le=1e4, description="Weight of the squared gradient of reconstructions."
    )


class VqVaeOptions(PythaeOptions):
    """Options of ``pythae-vqvae``; each place of the map has ``embedding_dim`` latents."""

    channels: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (64,),
        min_length=1,
        max_length=8,
        description="Feature maps after each halving; the map of codes has the size of the last.",
    )
    embedding_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        4, ge=1, le=4096, description="Dimensions of a code."
    )
    num_embeddings: Annotated[int, SearchRange(32, 1024, log=True)] = Field(
        512, ge=2, le=65536, description="Number of codes in the codebook."
    )
    commitment_loss_factor: Annotated[float, SearchRange(0.1, 2.0, log=True)] = Field(
        0.25, ge=0, le=1e4, description="Weight of the loss that pulls latents to their codes."
    )
    quantization_loss_factor: float = Field(
        1.0,
        ge=0,
        le=1e4,
        description="Weight of the loss that pulls codes to latents; not used with use_ema.",
    )
    use_ema: bool = Field(
        False, description="Update codes by a moving average instead of a gradient."
    )
    decay: float = Field(0.99, ge=0, lt=1, description="Decay of the moving average.")
