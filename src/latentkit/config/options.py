"""The options of a run that do not belong to a part: seed, device, training, split, maps."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from latentkit.plugin.options import Options, SearchRange

DEFAULT_MODEL = "conv-ae"
DEFAULT_VECTOR_MODEL = "dense-ae"
DEFAULT_DATASET = "digits"
DEFAULT_TUNER = "optuna"

Device = Literal["auto", "cpu", "cuda", "mps"]
DEVICES: tuple[Device, ...] = ("auto", "cpu", "cuda", "mps")


class RunOptions(Options):
    """Options of the run as a whole: the top level of the file."""

    seed: int = Field(0, ge=0, lt=2**31, description="Seed of everything random.")
    device: Device = Field(
        "auto", description="Where to compute; auto takes the first available: CUDA, MPS, CPU."
    )
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 uses all available.")


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
        description="Passes over the training images; auto uses 10, up to 50 for small sets; 0 "
        "trains nothing and keeps the initial weights.",
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
    snapshots: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Epochs whose weights are also saved; 0 saves the initial weights."
    )

    @field_validator("epochs", "batch_size")
    @classmethod
    def _enough(cls, value: int | str, info: ValidationInfo) -> int | str:
        least = 1 if info.field_name == "batch_size" else 0
        if isinstance(value, int) and value < least:
            raise ValueError(f"should be {least} or more, or 'auto'")
        return value


class MapOptions(Options):
    """Options that every map has, in addition to the options of its embedding."""

    on: Literal["test", "train", "validation", "all"] | Annotated[int, Field(ge=2)] = Field(
        "test", description="Which latents to map; a number draws that many from all."
    )
    align_to: str = Field(
        "", description="Map to align this one to: RUN, RUN#MAP, or #MAP of the same run."
    )
