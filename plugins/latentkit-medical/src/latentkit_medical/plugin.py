"""Declares the data set ``medical``."""

from collections.abc import Iterator

from latentkit.plugin import DatasetSpec, hookimpl

LATENTKIT_HOOKSPEC_VERSION = 1


@hookimpl
def latentkit_datasets() -> Iterator[DatasetSpec]:
    """Offer the data set."""
    yield DatasetSpec(
        name="medical",
        summary="Your own DICOM and NIfTI files, slice by slice, divided by patient",
        target="latentkit_medical.images:load",
        options="latentkit_medical.options:MedicalOptions",
        tags=frozenset({"local"}),
    )
