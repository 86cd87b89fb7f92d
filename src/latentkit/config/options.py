"""The options of a run that do not belong to a part."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from latentkit.plugin.machine import Device
from latentkit.plugin.options import Options, SearchRange

DEFAULT_MODEL = "conv-ae"
DEFAULT_VECTOR_MODEL = "dense-ae"
DEFAULT_DATASET = "digits"
DEFAULT_TUNER = "optuna"

_MOST = 2**31 - 1  # no count is larger, and torch and NumPy hold it in every integer type


class RunOptions(Options):
    """Options of the run as a whole: the top level of the file."""

    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything random.")
    device: Device = Field(
        "auto", description="Where to compute; auto takes the first available: CUDA, MPS, CPU."
    )
    threads: int = Field(
        0, ge=0, le=1024, description="CPU threads of torch; 0 uses all available."
    )


class SplitOptions(Options):
    """How validation images are drawn from the training set."""

    validation: float = Field(
        0.2,
        gt=0,
        lt=1,
        description="Share of the training set used for validation, stratified by label.",
    )


class TrainingOptions(Options):
    """How a model is trained."""

    epochs: int | Literal["auto"] = Field(
        "auto",
        description="Passes over the training images; auto uses 10, up to 50 for small sets, and 0 "
        "for models without a loss; 0 trains nothing and keeps the initial weights.",
    )
    batch_size: int | Literal["auto"] = Field(
        "auto", description="Images per step; auto uses 256, down to 32 for small sets."
    )
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Optimiser.")
    learning_rate: Annotated[
        Annotated[float, Field(gt=0)] | Literal["auto"], SearchRange(1e-3, 3e-2, log=True)
    ] = Field(
        "auto",
        description="Peak learning rate; auto uses the model's default, less for small batches.",
    )
    beta2: float = Field(0.99, gt=0, lt=1, description="Decay of Adam's mean of squared gradients.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay (adamw only).")
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        "one-cycle", description="How the learning rate changes over all steps."
    )
    clip_norm: float = Field(
        0.0, ge=0, description="Largest norm of the gradient; 0 disables clipping."
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the moving average of weights that the model uses; 0 disables it.",
    )
    patience: int = Field(
        0,
        ge=0,
        lt=2**31,
        description="Epochs without improvement after which training stops; 0 disables early "
        "stopping.",
    )
    keep: Literal["best", "last"] = Field(
        "best",
        description="Weights to keep: of the epoch with the lowest validation loss, or the "
        "last epoch.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Floating-point type of training; evaluation is always float32."
    )
    flip: bool = Field(
        False,
        description="Mirror a random half of the training images left to right; only if that gives "
        "images of the same kind, as of most photographs.",
    )
    shift: Annotated[int, Field(ge=0, le=64)] | Literal["auto"] = Field(
        "auto",
        description="Largest random shift of training images, in pixels; the edge is repeated. "
        "auto is a twentieth of the side for fewer than 10,000 images of more than 28 pixels, "
        "else 0.",
    )
    snapshots: tuple[Annotated[int, Field(ge=0, lt=2**31)], ...] = Field(
        (), description="Epochs whose weights are also saved; 0 saves the initial weights."
    )
    checkpoint_minutes: float = Field(
        0.0,
        ge=0,
        description="Minutes after which a checkpoint is also saved within an epoch, for long "
        "epochs; 0 saves none.",
    )

    @field_validator("epochs", "batch_size")
    @classmethod
    def _enough(cls, value: int | str, info: ValidationInfo) -> int | str:
        least = 1 if info.field_name == "batch_size" else 0
        if isinstance(value, int) and value < least:
            raise ValueError(f"should be {least} or more, or 'auto'")
        if isinstance(value, int) and value > _MOST:
            raise ValueError(f"should be {_MOST} or less, or 'auto'")
        return value


class MapOptions(Options):
    """Options that every map has, in addition to the options of its embedding."""

    on: Literal["test", "train", "validation", "all"] | Annotated[int, Field(ge=2, lt=2**31)] = (
        Field("test", description="Which latents to map; a number draws that many from all.")
    )
    align_to: str = Field(
        "", description="Map to align this one to: RUN, RUN#MAP, or #MAP of the same run."
    )
    stability: int = Field(
        0,
        ge=0,
        le=200,
        description="How often to fit the map again, with other seeds and four fifths of the "
        "points, to measure how certain it is; 0 for not at all.",
    )

    @field_validator("stability")
    @classmethod
    def _more_than_one(cls, value: int) -> int:
        if value == 1:
            raise ValueError("should be 0, or 2 or more, because a refit leaves points out")
        return value


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
        lt=2**31,
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
    map_points: int = Field(2000, ge=10, lt=2**31, description="Number of test images in the maps.")
    fit_epochs: tuple[int, ...] = Field(
        (), description="In mode all, the epochs of each share, filled in when the run starts."
    )
    fit_batch_sizes: tuple[int, ...] = Field(
        (), description="In mode all, the batch size of each share, filled in when the run starts."
    )
