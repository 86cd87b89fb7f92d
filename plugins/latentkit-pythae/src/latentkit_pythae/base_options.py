"""Options of all models: the networks, and the likelihood of the reconstruction."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field

from latentkit.plugin import Options, SearchRange, search_all

Activation = Literal["relu", "leaky-relu", "gelu", "silu", "tanh"]
Norm = Literal["none", "batch", "group"]
Widths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=65536)], ...],
    BeforeValidator(lambda value: _listed(value)),
]


def _listed(value: Any) -> Any:
    """Convert a single width to a list."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class PythaeOptions(Options):
    """Options of every model's networks.

    ``PYTHAE_NAMES`` maps options to their names in pythae's configuration, if they differ.
    """

    PYTHAE_NAMES: ClassVar[dict[str, str]] = {}

    activation: Annotated[Activation, search_all] = Field(
        "gelu", description="Activation of every hidden layer."
    )
    norm: Norm = Field("batch", description="Normalisation before every activation.")
    patch: Literal[1, 2, 4] = Field(
        2, description="Side of the pixel blocks that are first folded into channels; 1: none."
    )
    channels: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (48,),
        min_length=1,
        max_length=8,
        description="Feature maps after each 3x3 convolution of stride 2.",
    )

    def for_pythae(self) -> dict[str, Any]:
        """Return the options by their names in pythae's configuration."""
        return {self.PYTHAE_NAMES.get(k, k): v for k, v in self.model_dump().items()}


class VectorOptions(PythaeOptions):
    """Options of models whose latents are a vector."""

    latent_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        16, ge=1, le=4096, description="Number of latent dimensions."
    )
    hidden: Widths = Field(
        (352, 128), description="Widths of dense layers between convolutions and latents."
    )


class LikelihoodOptions(VectorOptions):
    """Options of models with a likelihood of pixels."""

    reconstruction_loss: Literal["mse", "bce"] = Field(
        "mse", description="mse: half the squared error (Gaussian, sigma 1); bce: cross-entropy."
    )
