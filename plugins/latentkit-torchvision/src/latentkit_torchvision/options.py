"""Options of the data set and of the model ``torchvision``."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field

from latentkit.errors import UserError
from latentkit.plugin import Options, with_sha256


class TorchvisionOptions(Options):
    """Options of the data set."""

    dataset: str = Field("", description="Name of the set as torchvision has it, such as CIFAR100.")
    root: str = Field(
        "",
        description="Folder that already has the set's files, as for torchvision's own root; by"
        " default a folder of the set's own in the folder of data sets.",
    )
    size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Height and width of the images in pixels; by default their own where all have"
        " one size, else 64.",
    )
    fit: Literal["crop", "pad", "stretch"] = Field(
        "crop",
        description="How an image gets this shape: crop the longer side, pad the shorter side with"
        " black, or stretch.",
    )
    channels: Literal["auto", "grey", "rgb"] = Field(
        "auto", description="auto is one channel if all are equal, else three."
    )


class BackboneOptions(Options):
    """Options of the model."""

    added: ClassVar[frozenset[str]] = frozenset({"weights_sha256"})

    backbone: str = Field(
        "resnet18", description="Name of the network as torchvision has it, such as resnet18."
    )
    weights: str = Field(
        "none",
        description="A .safetensors file of the network's weights, hub for those that torchvision"
        " publishes (downloaded once), or none for random ones.",
    )
    weights_sha256: str = Field(
        "", description="SHA-256 of the file in weights, filled in when the run starts."
    )
    size: int | None = Field(
        None,
        ge=8,
        le=4096,
        description="Height and width in pixels to which images are resized; by default those that"
        " the network was trained with. Smaller images take less time.",
    )

    def for_images(self, image_shape: tuple[int, int, int]) -> Self:
        """Return these options with the absolute path and the SHA-256 of a file of weights.

        Raises:
            UserError: a SHA-256 is given, but no file.
            DataError: the file cannot be read.
            IntegrityError: a run that exists already does not say which SHA-256 it has.
        """
        if self.weights in ("hub", "none"):
            if self.weights_sha256:
                raise UserError(
                    f"weights_sha256 is for a file of weights only, and weights is {self.weights}: "
                    f"leave it out"
                )
            return self
        path, sha256 = with_sha256(self.weights, self.weights_sha256)
        return self.model_copy(update={"weights": path, "weights_sha256": sha256})
