"""Models with a special posterior or prior: flows, VampPrior, the sphere, the Poincaré ball."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from latentkit.nn import LOG_VAR_RANGE
from latentkit_pythae.adapter import NormalPriorModel, PythaeModel

_BALL_EDGE = 4e-3
"""Margin at the edge of the ball that pythae keeps in float32, as a share of the radius."""


class LinearFlowVae(NormalPriorModel):
    """``pythae-lin-nf``: latents are the flows' output for the posterior mean."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the flows at the posterior mean.

        The decoder expects this space. The result is not the mean of the transformed posterior.
        """
        z = super().encode(images)
        for layer in self.model.net:
            z = layer(z).out
        return z


class AutoregressiveFlowVae(NormalPriorModel):
    """``pythae-iaf``: latents are the flow's output for the posterior mean."""

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the flow at the posterior mean.

        The decoder expects this space. The result is not the mean of the transformed posterior.
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
        """Project latents (B, latent_dim) to the sphere and decode them to images in [0, 1]."""
        return super().decode(functional.normalize(latents, dim=1))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n directions from the uniform prior and decode them: images (n, C, H, W)."""
        device = next(self.parameters()).device
        return self.decode(torch.randn(n, self.latent_dim, device=device, generator=generator))


class PoincareVae(PythaeModel):
    """``pythae-poincare-vae``: latents are in a ball of radius 1 / sqrt(curvature)."""

    def decode(self, latents: Tensor) -> Tensor:
        """Decode latents (B, latent_dim) to images; latents outside the ball move to its edge."""
        limit = (1 - _BALL_EDGE) / self.model.latent_manifold.c**0.5
        norm = latents.norm(dim=1, keepdim=True).clamp(min=1e-12)
        return super().decode(latents * (limit / norm).clamp(max=1))

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents from the wrapped normal prior and decode them."""
        device = next(self.parameters()).device
        tangent = torch.randn(n, self.latent_dim, device=device, generator=generator)
        # The conformal factor at the origin is 2; pythae's own sampling also divides by it.
        return self.decode(self.model.latent_manifold.expmap0(tangent / 2))


def on_sphere(features: Tensor) -> dict[str, Tensor]:
    """Interpret features (B, D + 1) as a mean direction and a raw concentration."""
    return {
        "embedding": functional.normalize(features[:, :-1], dim=1),
        "log_concentration": features[:, -1:],
    }


class InBall:
    """Interprets features (B, 2 D) as a mean in the ball and a log-variance in its tangent space.

    pythae uses the encoder's mean as a point of the ball without ensuring that it is in the ball.

    Args:
        curvature: curvature of the ball, whose radius is 1 / sqrt(curvature).
    """

    def __init__(self, curvature: float) -> None:
        self.root = curvature**0.5

    def __call__(self, features: Tensor) -> dict[str, Tensor]:
        """Return the mean (B, D) and the log-variance (B, D)."""
        vector, log_var = features.chunk(2, dim=1)
        norm = vector.norm(dim=1, keepdim=True).clamp(min=1e-12)
        radius = (self.root * norm).tanh().clamp(max=1 - _BALL_EDGE) / self.root
        return {
            "embedding": vector / norm * radius,
            "log_covariance": log_var.clamp(*LOG_VAR_RANGE),
        }
