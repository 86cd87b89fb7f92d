"""Declares the data set ``torchvision``."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, hookimpl

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
