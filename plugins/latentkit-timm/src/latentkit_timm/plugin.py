"""Declares the model ``timm`` without importing it."""

from collections.abc import Iterator

from latentkit.plugin import ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the model."""
    yield ModelSpec(
        name="timm",
        summary="Any image network of timm as a fixed encoder, with weights trained elsewhere",
        target="latentkit_timm.backbone:build",
        options="latentkit_timm.options:TimmOptions",
        tags=frozenset({"encoder", "frozen"}),
        requires=("timm>=1.0", "huggingface_hub>=0.30"),
    )
