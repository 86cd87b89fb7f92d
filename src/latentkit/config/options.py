"""The options of a run that belong to no part: seed and device, training, split, maps."""

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
    """What belongs to the run as a whole: the top of the file."""

    seed: int = Field(0, ge=0, lt=2**31, description="Everything random follows from it.")
    device: Device = Field("auto", description="Where to compute; auto takes CUDA, MPS, CPU.")
    threads: int = Field(0, ge=0, description="CPU threads of torch; 0 for all that may be used.")


class SplitOptions(Options):
    """How validation images are taken out of the training set."""

    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of the training set, stratified by label."
    )


class TrainingOptions(Options):
    """How a model is trained."""

    epochs: int | Literal["auto"] = Field(
        "auto",
        description="Passes over the training images; auto makes 10, up to 50 for small sets; 0 "
        "trains nothing and keeps the weights of the start.",
    )
    batch_size: int | Literal["auto"] = Field(
        "auto", description="Images a step; auto makes 256, down to 32 for small sets."
    )
    optimizer: Literal["adam", "adamw"] = Field("adamw", description="Optimiser.")
    learning_rate: Annotated[
        Annotated[float, Field(gt=0)] | Literal["auto"], SearchRange(1e-3, 3e-2, log=True)
    ] = Field(
        "auto",
        description="Peak learning rate; auto takes what suits the model, less for small batches.",
    )
    beta2: float = Field(0.99, gt=0, lt=1, description="Decay of Adam's mean of squared gradients.")
    weight_decay: float = Field(0.01, ge=0, description="Decoupled weight decay (adamw only).")
    schedule: Literal["constant", "cosine", "one-cycle"] = Field(
        "one-cycle", description="How the learning rate moves over all steps."
    )
    clip_norm: float = Field(
        0.0, ge=0, description="Greatest norm of the gradient; 0 does not clip."
    )
    ema_decay: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="Decay of the average of weights that is used; 0 averages none.",
    )
    patience: int = Field(
        0, ge=0, description="Epochs without a better one after which training stops; 0: never."
    )
    keep: Literal["best", "last"] = Field(
        "best", description="Weights of the epoch of least validation loss, or of the last."
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="Arithmetic of training; evaluation is always float32."
    )
    snapshots: tuple[Annotated[int, Field(ge=0)], ...] = Field(
        (), description="Epochs whose weights are kept besides; 0: before the first."
    )

    @field_validator("epochs", "batch_size")
    @classmethod
    def _enough(cls, value: int | str, info: ValidationInfo) -> int | str:
        least = 1 if info.field_name == "batch_size" else 0
        if isinstance(value, int) and value < least:
            raise ValueError(f"should be {least} or more, or 'auto'")
        return value


class MapOptions(Options):
    """What the core lets be said of every map, beside the options of its embedding."""

    on: Literal["test", "train", "validation", "all"] | Annotated[int, Field(ge=2)] = Field(
        "test", description="Which latents are mapped; a number draws so many of all."
    )
    align_to: str = Field(
        "", description="Map that this one is laid over: RUN, RUN#MAP, or #MAP of the same run."
    )
