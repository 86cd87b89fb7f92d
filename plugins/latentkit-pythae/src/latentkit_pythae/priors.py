"""Models with a prior of their own: flows, VampPrior, the sphere and the Poincaré ball."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.nn.gaussian import LOG_VAR_RANGE
from latentkit_pythae.adapter import NormalPriorModel, PythaeModel

_BALL_EDGE = 4e-3
"""Share of the ball's radius that pythae leaves free at its edge in float32."""


class LinearFlowVae(NormalPriorModel):
    """``pythae-lin-nf``: latents are what the flows make of the posterior's mean."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the flows at the posterior's mean.

        That is where the decoder expects them; it is not the mean of the flown posterior.
        """
        z = super().encode(images)
        for layer in self.model.net:
            z = layer(z).out
        return z


class AutoregressiveFlowVae(NormalPriorModel):
    """``pythae-iaf``: latents are what the flow makes of the posterior's mean."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the flow at the posterior's mean.

        That is where the decoder expects them; it is not the mean of the flown posterior.
        """
        return self.model.iaf_flow.inverse(super().encode(images)).out  # type: ignore[no-any-return]


class VampVae(PythaeModel):
    """``pythae-vamp``: the prior is a mixture of the posteriors of learned images."""

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents from the mixture and decode them: images (n, C, H, W)."""
        model = self.model
        device = next(self.parameters()).device
        chosen = torch.randint(model.number_components, (n,), device=device, generator=generator)
        learned = model.pseudo_inputs(model.idle_input.to(device)[chosen])
        posterior = model.encoder(learned.reshape(n, *model.model_config.input_dim))
        noise = torch.randn(n, self.latent_dim, device=device, generator=generator)
        deviation = torch.exp(0.5 * posterior.log_covariance)
        return self.decode(posterior.embedding + deviation * noise)


class SphericalVae(PythaeModel):
    """``pythae-svae``: latents are mean directions on the unit sphere."""

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim), taken to the sphere first, to images in [0, 1]."""
        return super().decode(functional.normalize(latents, dim=1))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n directions from the uniform prior and decode them: images (n, C, H, W)."""
        device = next(self.parameters()).device
        return self.decode(torch.randn(n, self.latent_dim, device=device, generator=generator))


class PoincareVae(PythaeModel):
    """``pythae-poincare-vae``: latents lie in a ball of radius 1 / sqrt(curvature)."""

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim), those beyond the ball from its edge, to images."""
        limit = (1 - _BALL_EDGE) / self.model.latent_manifold.c**0.5
        norm = latents.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return super().decode(latents * (limit / norm).clamp(max=1))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents from the wrapped normal prior and decode them."""
        device = next(self.parameters()).device
        tangent = torch.randn(n, self.latent_dim, device=device, generator=generator)
        # At the origin the conformal factor is 2, as in the library's own draws.
        return self.decode(self.model.latent_manifold.expmap0(tangent / 2))


def on_sphere(features: Tensor) -> dict[str, Tensor]:
    """Read features (B, D + 1) as a mean direction and what its concentration is made of."""
    return {
        "embedding": functional.normalize(features[:, :-1], dim=1),
        "log_concentration": features[:, -1:],
    }


class InBall:
    """Reads features (B, 2 D) as a mean in the ball and a log-variance in its tangent space.

    pythae takes the encoder's mean as a point of the ball and does not see to it that it is one.

    Args:
        curvature: the ball's radius is 1 over the root of it.
    """

    def __init__(self, curvature: float) -> None:
        self.root = curvature**0.5

    def __call__(self, features: Tensor) -> dict[str, Tensor]:
        """Return mean and log-variance."""
        vector, log_var = features.chunk(2, dim=1)
        norm = vector.norm(dim=1, keepdim=True).clamp(min=1e-12)
        radius = (self.root * norm).tanh().clamp(max=1 - _BALL_EDGE) / self.root
        return {
            "embedding": vector / norm * radius,
            "log_covariance": log_var.clamp(*LOG_VAR_RANGE),
        }
