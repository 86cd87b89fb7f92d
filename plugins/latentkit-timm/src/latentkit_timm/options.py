"""Options of the model ``timm``."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field

from latentkit.errors import UserError
from latentkit.plugin import Options, with_sha256


class TimmOptions(Options):
    """Options of ``timm``."""

    added: ClassVar[frozenset[str]] = frozenset({"weights_sha256"})

    backbone: str = Field(
        "resnet18", description="Name of the network as timm has it, such as resnet18.a1_in1k."
    )
    weights: str = Field(
        "none",
        description="A .safetensors file of the network's weights, hub for those that timm"
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
