"""New images, from the model's prior or from a density that is fitted to latents."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from latentkit.errors import UserError
from latentkit.exploration.common import Decode, Floats

_FULL = 64  # dimensions; with more, a full covariance has too many entries to fit


@dataclass(frozen=True)
class Samples:
    """Generated images, which are in no data set.

    Args:
        source: what they were drawn from, as text.
        images: (N, C, H, W), decoded, in [0, 1].
        latents: (N, D); None if the model draws them internally and does not return them.
        log_density: (N,), log density of the latents in nats; None if it is not known.
    """

    source: str
    images: Floats
    latents: Floats | None = None
    log_density: NDArray[np.float64] | None = None


def mixture_samples(
    decode: Decode, latents: Floats, count: int, *, components: int = 10, seed: int = 0
) -> Samples:
    """Fit a Gaussian mixture to latents, draw from it, and decode.

    Covariances are full up to 64 dimensions, and diagonal above. The mixture serves as a prior for
    an autoencoder that was trained without one (P. Ghosh et al., ICLR 2020).

    Args:
        decode: function from latents to images.
        latents: (N, D), of training images.
        count: number of images to draw.
        components: number of components of the mixture.
        seed: seed of the fit and the draws.

    Raises:
        UserError: there are fewer latents than components, or a number is below 1.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if count < 1 or not 1 <= components <= len(latents):
        raise UserError(
            f"cannot draw {count} samples from a mixture of {components} components on "
            f"{len(latents):,} latents: ask for 1 sample or more, and 1 to {len(latents):,} "
            f"components"
        )
    values = np.asarray(latents, np.float64)
    # The smallest variance of a component scales with the latents, and is not below the rounding
    # error of float32.
    rounding = float(np.finfo(np.float32).eps) * max(1.0, float(np.abs(values).max()))
    floor = max(1e-6 * float(values.var(axis=0).mean()), rounding**2)
    shape = "full" if values.shape[1] <= _FULL else "diag"
    mixture = GaussianMixture(components, covariance_type=shape, reg_covar=floor, random_state=seed)
    with warnings.catch_warnings():
        # With duplicates, or if the fit stops early, the mixture is still a density to draw from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values)
    drawn, component = mixture.sample(count)
    # sample() returns one component after the other, so the draws are shuffled.
    drawn = drawn[np.random.default_rng([seed, 1]).permutation(len(component))]
    return Samples(
        source=f"Gaussian mixture of {components} components on {len(values):,} training latents",
        images=decode(drawn.astype(np.float32)),
        latents=drawn.astype(np.float32),
        log_density=mixture.score_samples(drawn),
    )
