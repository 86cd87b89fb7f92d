"""The options of a transfer, and of weights that a network starts from."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from latentkit.plugin.options import Options

Mode = Literal["probe", "finetune", "scratch", "all"]
MODES: tuple[Mode, ...] = ("probe", "finetune", "scratch", "all")
FITS: tuple[Mode, ...] = ("probe", "finetune", "scratch")
"""The modes that train one classifier; ``all`` is these over shares and seeds."""


def read_labels(value: Any) -> Any:
    """Read how many labels are given: ``10%`` or ``0.1`` is a share, ``500`` a number.

    Raises:
        ValueError: it is neither, is 0, or a share above 100 %.
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

    path: str = Field("", description="A run, a .safetensors file, or a checkpoint of torch.")
    sha256: str = Field("", description="Of the file, filled in when the run begins.")


class TransferOptions(Options):
    """A classifier on an encoder."""

    parent: str = Field("", description="The run whose encoder it is, filled in by its name.")
    mode: Mode = Field(
        "finetune",
        description="probe holds the encoder, finetune trains all, scratch starts at random; all: "
        "the three over shares of labels and seeds.",
    )
    labels: Annotated[tuple[LabelCount, ...], BeforeValidator(_listed)] = Field(
        (1.0,), min_length=1, description="Share of the training labels, or how many; all: several."
    )
    seeds: int = Field(3, ge=1, le=100, description="Seeds of mode all, from the run's own on.")
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1, le=65536)], ...], BeforeValidator(_listed)
    ] = Field((256,), description="Widths of the head's hidden layers; none: a linear head.")
    dropout: float = Field(
        0.1,
        ge=0,
        lt=1,
        description="Share of the inputs of the head's layers that a step leaves out.",
    )
    encoder_rate: float = Field(
        1.0, gt=0, le=1, description="Learning rate of the encoder in finetune, times the head's."
    )
    unfreeze_every: int = Field(
        0,
        ge=0,
        description="Epochs after which one more layer of the encoder learns in finetune, the last "
        "first; 0: all at once.",
    )
    new_head: bool = Field(
        False, description="Start from another classifier's encoder, and leave its head."
    )
    shift: int = Field(0, ge=0, le=16, description="Most pixels that training images are moved.")
    flip: bool = Field(False, description="Mirror half of the training images.")
    map_points: int = Field(2000, ge=10, description="Test images that are mapped.")
    fit_epochs: tuple[int, ...] = Field(
        (), description="Of mode all, the epochs of each share, filled in when the run begins."
    )
    fit_batch_sizes: tuple[int, ...] = Field((), description="The same for the batch size.")
