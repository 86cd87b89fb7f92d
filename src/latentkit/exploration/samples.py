"""New images: from the model's prior, or from a density that is fitted to latents."""

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
    """Images that are in no data set.

    Args:
        source: what they were drawn from, in words.
        images: (N, C, H, W), decoded, in [0, 1].
        latents: (N, D); None where the model draws them itself and does not tell.
        log_density: (N,), of the latents, in nats; None where it is not known.
    """

    source: str
    images: Floats
    latents: Floats | None = None
    log_density: NDArray[np.float64] | None = None


def mixture_samples(
    decode: Decode, latents: Floats, count: int, *, components: int = 10, seed: int = 0
) -> Samples:
    """Fit a Gaussian mixture to latents, draw from it, and decode.

    Covariances are full up to 64 dimensions, and diagonal above.

    An autoencoder without a prior is given one after training by this (P. Ghosh et al., ICLR 2020).

    Args:
        decode: makes images of latents.
        latents: (N, D), of training images.
        count: images to draw.
        components: of the mixture.
        seed: of fit and draws.

    Raises:
        UserError: there are fewer latents than components, or nothing is to be drawn.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    if count < 1 or not 1 <= components <= len(latents):
        raise UserError(
            f"a mixture of {components} components for {len(latents):,} latents and {count} "
            f"samples cannot be made: ask for 1 to {len(latents):,} components, and 1 sample "
            f"or more"
        )
    values = np.asarray(latents, np.float64)
    # The floor of a component's variance follows the scale of the latents; float32 knows no less.
    rounding = float(np.finfo(np.float32).eps) * max(1.0, float(np.abs(values).max()))
    floor = max(1e-6 * float(values.var(axis=0).mean()), rounding**2)
    shape = "full" if values.shape[1] <= _FULL else "diag"
    mixture = GaussianMixture(components, covariance_type=shape, reg_covar=floor, random_state=seed)
    with warnings.catch_warnings():
        # Duplicates, or a fit that stops early: still a density to draw from.
        warnings.simplefilter("ignore", ConvergenceWarning)
        mixture.fit(values)
    drawn, component = mixture.sample(count)
    # sample() gives one component after the other.
    drawn = drawn[np.random.default_rng([seed, 1]).permutation(len(component))]
    return Samples(
        source=f"Gaussian mixture of {components} components on {len(values):,} training latents",
        images=decode(drawn.astype(np.float32)),
        latents=drawn.astype(np.float32),
        log_density=mixture.score_samples(drawn),
    )
