"""Options of the model ``timm``."""

from __future__ import annotations

from pydantic import Field

from latentkit.plugin import Options


class TimmOptions(Options):
    """Options of ``timm``."""

    backbone: str = Field(
        "resnet18", description="Name of the network as timm has it, such as resnet18.a1_in1k."
    )
    weights: str = Field(
        "none",
        description="A .safetensors file of the network's weights, hub for those that timm"
        " publishes (downloaded once), or none for random ones.",
    )
    size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Height and width in pixels to which images are resized; by default those that"
        " the network was trained with. Smaller images take less time.",
    )
