"""The options of a transfer and of initial weights."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from latentkit.plugin.options import Options

Mode = Literal["probe", "finetune", "scratch", "all"]
MODES: tuple[Mode, ...] = ("probe", "finetune", "scratch", "all")
FITS: tuple[Mode, ...] = ("probe", "finetune", "scratch")
"""The modes that train one classifier; ``all`` repeats them over label shares and seeds."""


def read_labels(value: Any) -> Any:
    """Parse how many labels to use: ``10%`` or ``0.1`` is a share, ``500`` is a number.

    Raises:
        ValueError: the value is neither, is not above 0, or is a share above 100 %.
    """
    if isinstance(value, str):
        text = value.strip()
        try:
            if text.endswith("%"):
                value = float(text[:-1]) / 100
            else:
                value = int(text) if text.isdigit() else float(text)
        except ValueError:
            pass
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not value > 0 or (isinstance(value, float) and value > 1):
        raise ValueError("should be a share such as 10% or 0.1, or a number of labels such as 500")
    return value


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, int | float | str) else value


LabelCount = Annotated[float | int, BeforeValidator(read_labels)]


class InitOptions(Options):
    """Saved weights that a network starts from."""

    path: str = Field("", description="A run, a .safetensors file, or a torch checkpoint.")
    sha256: str = Field("", description="SHA-256 of the file, filled in when the run starts.")


class TransferOptions(Options):
    """A classifier on top of an encoder."""

    parent: str = Field(
        "", description="Name of the run that the encoder comes from, filled in automatically."
    )
    mode: Mode = Field(
        "finetune",
        description="probe freezes the encoder, finetune trains everything, scratch starts from "
        "random weights; all runs the three for several label shares and seeds.",
    )
    labels: Annotated[tuple[LabelCount, ...], BeforeValidator(_listed)] = Field(
        (1.0,),
        min_length=1,
        description="Share or number of training labels; mode all takes several.",
    )
    seeds: int = Field(
        3, ge=1, le=100, description="Number of seeds in mode all, starting from the run's seed."
    )
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], BeforeValidator(_listed)
    ] = Field((256,), description="Widths of the head's hidden layers; empty for a linear head.")
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Dropout rate at the inputs of the head's layers.",
    )
    encoder_rate: float = Field(
        1.0,
        gt=0,
        le=1,
        description="Learning rate of the encoder in finetune, as a factor of the head's.",
    )
    unfreeze_every: int = Field(
        0,
        ge=0,
        description="In finetune, unfreeze one more encoder layer every so many epochs, the last "
        "layer first; 0 unfreezes all at once.",
    )
    new_head: bool = Field(
        False, description="Start from another classifier's encoder, with a new head."
    )
    shift: int = Field(
        0, ge=0, le=16, description="Largest random shift of training images, in pixels."
    )
    flip: bool = Field(False, description="Mirror a random half of the training images.")
    map_points: int = Field(2000, ge=10, description="Number of test images in the maps.")
    fit_epochs: tuple[int, ...] = Field(
        (), description="In mode all, the epochs of each share, filled in when the run starts."
    )
    fit_batch_sizes: tuple[int, ...] = Field(
        (), description="In mode all, the batch size of each share, filled in when the run starts."
    )
