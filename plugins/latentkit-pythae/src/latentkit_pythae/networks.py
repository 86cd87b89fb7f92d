"""latentkit's networks as pythae's encoders and decoders.

pythae's ``forward`` has one tensor for what a model sees and for what it shall give. An `Encoder`
can be told to see another one in its place, which makes a denoising model of any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from pythae.models.base.base_utils import ModelOutput  # type: ignore[import-untyped]
from pythae.models.nn import BaseDecoder, BaseEncoder  # type: ignore[import-untyped]
from torch import Tensor, nn

from latentkit.nn.gaussian import split_posterior

Read = Callable[[Tensor], dict[str, Tensor]]
"""Makes what pythae expects of an encoder out of features (B, F)."""


class Encoder(BaseEncoder):  # type: ignore[misc]
    """A network, and how its features are read.

    Args:
        network: images (B, C, H, W) to features.
        read: features, float32, to what pythae expects.
    """

    def __init__(self, network: nn.Module, read: Read) -> None:
        super().__init__()
        self.network = network
        self.read = read
        self.mixed_precision = False
        self._shown: tuple[Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> ModelOutput:
        """Return pythae's output for images (B, C, H, W), or for what stands in for them."""
        with _precision(x, self.mixed_precision):
            features = self.network(self._seen(x))
        return ModelOutput(self.read(features.float()))

    @contextmanager
    def showing(self, inputs: Tensor, data: Tensor) -> Iterator[None]:
        """See ``inputs`` wherever the very tensor ``data`` is given."""
        self._shown = (inputs, data)
        try:
            yield
        finally:
            self._shown = None

    def _seen(self, x: Tensor) -> Tensor:
        if self._shown is None or x is not self._shown[1]:
            return x
        inputs = self._shown[0]
        # Exactly the inputs, with the data's place in the graph: a gradient by the data is then
        # one by what the network saw.
        return inputs + (x - x.detach()) if x.requires_grad else inputs


class Decoder(BaseDecoder):  # type: ignore[misc]
    """A network to logits, of which the sigmoid is the reconstruction.

    Args:
        network: latents to logits (B, C, H, W).
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
    """Leave autocast to the networks: cross-entropies, kernels and flows need float32."""
    mixed = torch.is_autocast_enabled(device.type)
    encoder.mixed_precision = decoder.mixed_precision = mixed
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        encoder.mixed_precision = decoder.mixed_precision = False


def point(features: Tensor) -> dict[str, Tensor]:
    """Read features (B, D) as latents."""
    return {"embedding": features}


def gaussian(features: Tensor) -> dict[str, Tensor]:
    """Read features (B, 2 D) as mean and log-variance of a posterior."""
    mu, log_var = split_posterior(features)
    return {"embedding": mu, "log_covariance": log_var}


def _precision(x: Tensor, mixed: bool) -> Any:
    """Return a context of bfloat16 where training is in mixed precision, else of no change."""
    return torch.autocast(x.device.type, torch.bfloat16, enabled=mixed)
