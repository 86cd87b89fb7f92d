"""Declares the data set ``huggingface``."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data set."""
    yield DatasetSpec(
        name="huggingface",
        summary="Images of Parquet, Arrow or image folders as datasets saves them, or of its hub",
        target="latentkit_huggingface.images:load",
        options="latentkit_huggingface.options:HuggingfaceOptions",
        tags=frozenset({"local"}),
    )
