"""latentkit's networks as pythae's encoders and decoders.

pythae's ``forward`` takes one tensor both as input and as target. `Encoder.showing` makes the
encoder see another tensor instead, so that any model can be trained for denoising.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pythae.models.base.base_utils import ModelOutput  # type: ignore[import-untyped]
from pythae.models.nn import BaseDecoder, BaseEncoder  # type: ignore[import-untyped]
from torch import Tensor, nn

from latentkit.nn import split_posterior

Read = Callable[[Tensor], dict[str, Tensor]]
"""Function that converts features (B, F) to the outputs that pythae expects of an encoder."""


class Encoder(BaseEncoder):  # type: ignore[misc]
    """A pythae encoder made from a network.

    Args:
        network: maps images (B, C, H, W) to features.
        read: converts float32 features to the outputs that pythae expects.
    """

    def __init__(self, network: nn.Module, read: Read) -> None:
        super().__init__()
        self.network = network
        self.read = read
        self.mixed_precision = False
        self._shown: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> ModelOutput:
        """Return pythae's output for images (B, C, H, W), or for their replacement."""
        with _precision(x, self.mixed_precision):
            features = self.network(self._seen(x))
        return ModelOutput(self.read(features.float()))

    @contextmanager
    def showing(self, inputs: Tensor, data: Tensor) -> Iterator[None]:
        """Replace ``data``, compared by identity, by ``inputs`` in calls within the block."""
        self._shown = (inputs, data)
        try:
            yield
        finally:
            self._shown = None

    def _seen(self, x: Tensor) -> Tensor:
        if self._shown is None or x is not self._shown[1]:
            return x
        inputs = self._shown[0]
        # The values are exactly the inputs, but gradients flow to ``x``. A gradient by the data is
        # then the gradient by the tensor that the network saw.
        return inputs + (x - x.detach()) if x.requires_grad else inputs


class Decoder(BaseDecoder):  # type: ignore[misc]
    """A pythae decoder: the sigmoid of a network's logits is the reconstruction.

    Args:
        network: maps latents to logits (B, C, H, W).
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.mixed_precision = False

    def forward(self, z: Tensor) -> ModelOutput:
        """Return the reconstruction, in [0, 1] and float32."""
        with _precision(z, self.mixed_precision):
            logits = self.network(z)
        return ModelOutput(reconstruction=logits.float().sigmoid())


@contextmanager
def float32_losses(encoder: Encoder, decoder: Decoder, device: torch.device) -> Iterator[None]:
    """Restrict autocast to the networks: cross-entropies, kernels and flows need float32."""
    mixed = torch.is_autocast_enabled(device.type)
    encoder.mixed_precision = decoder.mixed_precision = mixed
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        encoder.mixed_precision = decoder.mixed_precision = False


def point(features: Tensor) -> dict[str, Tensor]:
    """Interpret features (B, D) as latents."""
    return {"embedding": features}


def gaussian(features: Tensor) -> dict[str, Tensor]:
    """Interpret features (B, 2 D) as mean and log-variance of a posterior."""
    mu, log_var = split_posterior(features)
    return {"embedding": mu, "log_covariance": log_var}


def _precision(x: Tensor, mixed: bool) -> Any:
    """Return a bfloat16 autocast context, enabled only if training is in mixed precision."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=mixed)
