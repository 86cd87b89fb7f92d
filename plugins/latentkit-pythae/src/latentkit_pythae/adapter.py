"""`PythaeModel`, which gives a pythae model latentkit's methods; most models need nothing else."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from latentkit_pythae.networks import float32_losses


class PythaeModel(nn.Module):
    """An autoencoder of pythae with latentkit's methods.

    Args:
        model: pythae model with networks of `latentkit_pythae.networks`.
        options: options of the model.
    """

    _DOUBLES = ("encoder_loss", "decoder_loss")
    """pythae's duplicates of the loss for separate optimisers."""

    _LEAST_IMAGES = 2
    """Least batch size. Smaller batches are repeated, because terms over pairs of images, such as
    MMD, have no value for one image."""

    def __init__(self, model: Any, options: Any) -> None:
        super().__init__()
        self.model = model
        self.latent_dim: int = model.latent_dim
        self.warm_up_steps: int = getattr(options, "warm_up", 0)
        self._extra: dict[str, Any] = {}
        if getattr(options, "dataset_size", 0):
            self._extra["dataset_size"] = options.dataset_size

    def encode(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to latents (B, latent_dim): the code or the posterior mean."""
        return self.model.encoder(images).embedding  # type: ignore[no-any-return]

    def features(self, images: Tensor) -> Tensor:
        """Map images (B, C, H, W) to the inputs (B, F) of the encoder's last layer."""
        return self.model.encoder.network.hidden(images)  # type: ignore[no-any-return]

    def decode(self, latents: Tensor) -> Tensor:
        """Map latents (B, latent_dim) to images (B, C, H, W) in [0, 1]."""
        return self.model.decoder(latents).reconstruction  # type: ignore[no-any-return]

    def forward(self, images: Tensor) -> Tensor:
        """Reconstruct images (B, C, H, W) from their latents."""
        return self.decode(self.encode(images))

    def loss(self, inputs: Tensor, targets: Tensor, *, step: int) -> dict[str, Tensor]:
        """Return pythae's loss for reconstructing ``targets`` from ``inputs``.

        Returns:
            ``loss``; pythae's terms under its names, summed over pixels and latents and averaged
            over the batch; ``mse``, the mean squared error per pixel.
        """
        if len(inputs) < self._LEAST_IMAGES:
            times = (-(-self._LEAST_IMAGES // len(inputs)), 1, 1, 1)
            inputs, targets = inputs.repeat(times), targets.repeat(times)
        data = targets.detach()  # a separate tensor, because pythae may take gradients by its data
        self.model.device = data.device
        encoder, decoder = self.model.encoder, self.model.decoder
        with (
            float32_losses(encoder, decoder, data.device),
            encoder.showing(inputs, data),
            warnings.catch_warnings(),
        ):
            warnings.filterwarnings("ignore", module=r"pythae\.")
            output = self._output(inputs, data, step)
        return self._terms(output, data)

    def _output(self, inputs: Tensor, data: Tensor, step: int) -> Mapping[str, Any]:
        # Pass the step as pythae's epoch, so that a warm-up is gradual within an epoch.
        return self.model({"data": data}, epoch=step + 1, **self._extra)  # type: ignore[no-any-return]

    def _terms(self, output: Mapping[str, Any], data: Tensor) -> dict[str, Tensor]:
        terms = {"loss": output["loss"]}
        for name, value in output.items():
            if name.endswith("_loss") and name not in self._DOUBLES:
                terms[name] = value.detach().mean()
        chosen = data[output["recon_x_indices"]] if "recon_x_indices" in output else data
        terms["mse"] = functional.mse_loss(output["recon_x"].detach(), chosen)
        return terms


class GradientModel(PythaeModel):
    """A model whose loss computes gradients itself, so it needs them in validation too."""

    def _output(self, inputs: Tensor, data: Tensor, step: int) -> Mapping[str, Any]:
        wanted = torch.is_grad_enabled()
        with torch.enable_grad():
            output = super()._output(inputs, data, step)
        if not wanted:
            output["loss"] = output["loss"].detach()  # type: ignore[index]
        return output


class NormalPriorModel(PythaeModel):
    """A model whose samples start from a standard normal prior."""

    @torch.no_grad()
    def sample(self, n: int, generator: torch.Generator | None = None) -> Tensor:
        """Draw n latents from the prior and decode them: images (n, C, H, W)."""
        device = next(self.parameters()).device
        return self.decode(torch.randn(n, self.latent_dim, device=device, generator=generator))
