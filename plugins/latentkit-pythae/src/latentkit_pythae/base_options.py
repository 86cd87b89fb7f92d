"""What all models can be told: the networks, and the reconstruction's likelihood."""

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
    """Take one width as a list of one."""
    return [value] if isinstance(value, int) and not isinstance(value, bool) else value


class PythaeOptions(Options):
    """What every network can be told.

    ``PYTHAE_NAMES`` says what pythae's configuration calls an option, where its name differs.
    """

    PYTHAE_NAMES: ClassVar[dict[str, str]] = {}

    activation: Annotated[Activation, search_all] = Field(
        "gelu", description="Activation of every hidden layer."
    )
    norm: Norm = Field("batch", description="Normalisation before every activation.")
    patch: Literal[1, 2, 4] = Field(
        2, description="Pixels a side that are folded into channels first; 1: none."
    )
    channels: tuple[Annotated[int, Field(ge=1, le=2048)], ...] = Field(
        (48,),
        min_length=1,
        max_length=8,
        description="Feature maps after each 3x3 convolution of stride 2.",
    )

    def for_pythae(self) -> dict[str, Any]:
        """Return the options under the names of pythae's configuration."""
        return {self.PYTHAE_NAMES.get(k, k): v for k, v in self.model_dump().items()}


class VectorOptions(PythaeOptions):
    """Models whose latents are a vector."""

    latent_dim: Annotated[int, SearchRange(2, 64, log=True)] = Field(
        16, ge=1, le=4096, description="Number of latent dimensions."
    )
    hidden: Widths = Field(
        (352, 128), description="Widths of the dense layers between convolutions and latents."
    )


class LikelihoodOptions(VectorOptions):
    """Models with a likelihood of pixels."""

    reconstruction_loss: Literal["mse", "bce"] = Field(
        "mse", description="mse: half the squared error (Gaussian, sigma 1); bce: cross-entropy."
    )
