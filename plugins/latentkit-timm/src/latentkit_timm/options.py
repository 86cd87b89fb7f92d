"""Options of the model ``timm``."""

from pydantic import Field

from latentkit.plugin import BackboneOptions


class TimmOptions(BackboneOptions):
    """Options of ``timm``."""

    backbone: str = Field(
        "resnet18", description="Name of the network as timm has it, such as resnet18.a1_in1k."
    )
