"""Declares the data set and the model ``torchvision``."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, ModelSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data set."""
    yield DatasetSpec(
        name="torchvision",
        summary="30 image classification sets of torchvision, such as CIFAR100; downloaded once",
        target="latentkit_torchvision.images:load",
        options="latentkit_torchvision.options:TorchvisionOptions",
        tags=frozenset({"download"}),
    )


@hookimpl
def latentkit_models() -> Iterator[ModelSpec]:
    """Offer the model."""
    yield ModelSpec(
        name="torchvision",
        summary="A classifier of torchvision as a fixed encoder, with weights trained elsewhere",
        target="latentkit_torchvision.backbone:build",
        options="latentkit_torchvision.options:ClassifierOptions",
        tags=frozenset({"encoder", "frozen"}),
    )
