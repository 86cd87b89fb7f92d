"""Declares the models without importing them."""

from collections.abc import Iterator

from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_REQUIRES = ("pythae>=0.1.2,<0.2",)
_RATE = 3e-3

# Name, options class, summary, and whether the evaluation card can measure an ELBO.
_MODELS = (
    ("ae", "AeOptions", "Plain autoencoder", False),
    ("vae", "VaeOptions", "VAE with a unit-variance Gaussian or Bernoulli likelihood", True),
    ("beta-vae", "BetaVaeOptions", "Beta-VAE: the KL has the weight beta", True),
    ("beta-tc-vae", "BetaTcVaeOptions", "Beta-TC-VAE: weights the total correlation", True),
    (
        "disentangled-beta-vae",
        "DisentangledBetaVaeOptions",
        "Beta-VAE that keeps the KL at a capacity",
        True,
    ),
    ("factor-vae", "FactorVaeOptions", "FactorVAE: a discriminator finds correlations", True),
    ("info-vae", "InfoVaeOptions", "InfoVAE: MMD replaces part of the KL", True),
    ("iwae", "IwaeOptions", "IWAE: a tighter bound from several samples", True),
    ("ciwae", "CiwaeOptions", "CIWAE: a mixture of the bounds of VAE and IWAE", True),
    ("miwae", "MiwaeOptions", "MIWAE: the mean of several importance-weighted bounds", True),
    ("hvae", "HvaeOptions", "Hamiltonian VAE: leapfrog steps refine each sample", True),
    ("msssim-vae", "MsssimVaeOptions", "VAE with MS-SSIM as reconstruction loss", False),
    ("vamp", "VampOptions", "VampPrior: the prior mixes posteriors of learned inputs", False),
    ("lin-nf", "LinNfOptions", "VAE with planar or radial flows after its posterior", False),
    ("iaf", "IafOptions", "VAE with inverse autoregressive flows after its posterior", False),
    ("svae", "SvaeOptions", "Hyperspherical VAE: latents on the unit sphere", False),
    ("poincare-vae", "PoincareVaeOptions", "VAE with latents in the Poincaré ball", False),
    ("wae-mmd", "WaeMmdOptions", "Wasserstein autoencoder: MMD to a normal prior", False),
    ("aae", "AaeOptions", "Adversarial autoencoder: a discriminator of latents", False),
    ("rae-l2", "RaeL2Options", "Regularised autoencoder: L2 penalty on latents", False),
    ("rae-gp", "RaeGpOptions", "Regularised autoencoder with a gradient penalty", False),
    ("vqvae", "VqVaeOptions", "VQ-VAE: a map of codes, flattened", False),
)


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the models, each as ``pythae-NAME``."""
    for name, options, summary, generative in _MODELS:
        yield ModelSpec(
            name=f"pythae-{name}",
            summary=f"{summary} (pythae)",
            target="latentkit_pythae.build:build",
            options=f"latentkit_pythae.options:{options}",
            tags=frozenset({"generative"} if generative else ()),
            requires=_REQUIRES,
            learning_rate=_RATE,
        )
