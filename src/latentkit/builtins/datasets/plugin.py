"""Declares the built-in data sets."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1

_HERE = "latentkit.builtins.datasets"


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data sets."""
    yield DatasetSpec(
        name="digits",
        summary="1,797 handwritten digits, 8x8 grey, 10 classes; bundled with scikit-learn",
        target=f"{_HERE}.digits:load",
        tags=frozenset({"bundled"}),
    )
    yield DatasetSpec(
        name="fashion-mnist",
        summary="70,000 photographs of clothing, 28x28 grey, 10 classes; downloaded once (30 MB)",
        target=f"{_HERE}.fashion_mnist:load",
        options=f"{_HERE}.options:DownloadOptions",
        tags=frozenset({"download"}),
    )
