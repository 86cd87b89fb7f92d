"""The contract: everything that a plugin author imports.

A plugin is a module named in the entry-point group ``latentkit.plugins`` that implements hooks
(`latentkit.plugin.hookspecs`). Each hook returns specs (`latentkit.plugin.specs`), and a spec
names the import path of the part. In a single file, decorators make parts of functions
(`latentkit.plugin.decorators`). `latentkit.plugin.protocols` says what each part must provide;
for tuners, `latentkit.plugin.studies` does. `latentkit.nn` offers building blocks for networks,
`latentkit.neighbors` exact nearest neighbours, and `latentkit.errors` errors that the user sees as
one line. Everything else in latentkit may change without notice.
"""

from typing import TYPE_CHECKING

from latentkit._lazy import lazy_attributes

if TYPE_CHECKING:  # for type checkers, which do not see lazy attributes
    from latentkit.plugin.array_files import *
    from latentkit.plugin.database_urls import *
    from latentkit.plugin.decorators import *
    from latentkit.plugin.downloads import *
    from latentkit.plugin.events import *
    from latentkit.plugin.hookspecs import *
    from latentkit.plugin.image_cache import *
    from latentkit.plugin.image_files import *
    from latentkit.plugin.image_formats import *
    from latentkit.plugin.image_sets import *
    from latentkit.plugin.images import *
    from latentkit.plugin.machine import *
    from latentkit.plugin.options import *
    from latentkit.plugin.picture_store import *
    from latentkit.plugin.protocols import *
    from latentkit.plugin.row_store import *
    from latentkit.plugin.seeds import *
    from latentkit.plugin.specs import *
    from latentkit.plugin.stored_images import *
    from latentkit.plugin.studies import *
    from latentkit.plugin.vectors import *

__all__ = [
    "BLAMELESS",
    "HOOKSPEC_VERSION",
    "MOST_CHANNELS",
    "ArrayFile",
    "Autoencoder",
    "BackboneOptions",
    "Budget",
    "Corruption",
    "CorruptionSpec",
    "DatasetSpec",
    "DecodedImage",
    "Direction",
    "Embedding",
    "EmbeddingSpec",
    "Encoder",
    "EpochFinished",
    "Event",
    "FilePlan",
    "Generative",
    "HasAfterStep",
    "HasCodes",
    "HasDecoder",
    "HasFacts",
    "HasFeatures",
    "HasImportances",
    "HasLoss",
    "ImageData",
    "ImageFile",
    "ImageReading",
    "ImagesRead",
    "ModelSpec",
    "NoOptions",
    "Objective",
    "Options",
    "Picture",
    "Pixels",
    "Progress",
    "ReadsLabels",
    "ReportsProgress",
    "ResourceEstimate",
    "RunInfo",
    "SearchChoice",
    "SearchDomain",
    "SearchRange",
    "Split",
    "StartsFromImages",
    "StoredImages",
    "StudyInfo",
    "StudyResult",
    "StudyStopped",
    "StudyTask",
    "Trial",
    "TrialInfo",
    "TrialPruned",
    "TrialRecord",
    "TrialState",
    "Tuner",
    "TunerSpec",
    "VerifiedFiles",
    "as_floats",
    "check_downloads_allowed",
    "check_float_images",
    "check_map_size",
    "check_memory",
    "check_sqlite_files",
    "checked_new_vectors",
    "checked_vectors",
    "class_codes",
    "common_form",
    "corruption",
    "dataset",
    "draw_rows",
    "embedding",
    "finite_vectors",
    "flat_figures",
    "flat_options",
    "hookimpl",
    "how_to_read",
    "in_range_of",
    "is_hidden",
    "left_out_note",
    "model",
    "needs_own_weights",
    "plain_array",
    "public_url",
    "read_bytes",
    "read_images",
    "read_weights",
    "readable_endings",
    "reading_notes",
    "search_all",
    "short_stream_seed",
    "stored_pictures",
    "stored_rows",
    "strength",
    "strength_option",
    "to_uint8",
    "torchvision_datasets",
    "with_sha256",
    "without_secrets",
]

# Imported on first use: a module that only declares a plugin loads neither numpy nor pydantic.
_HOMES = {
    "hookspecs": (
        "HOOKSPEC_VERSION",
        "hookimpl",
    ),
    "specs": (
        "CorruptionSpec",
        "DatasetSpec",
        "EmbeddingSpec",
        "ModelSpec",
        "TunerSpec",
    ),
    "decorators": (
        "corruption",
        "dataset",
        "embedding",
        "model",
    ),
    "options": (
        "BackboneOptions",
        "NoOptions",
        "Options",
        "SearchChoice",
        "SearchDomain",
        "SearchRange",
        "search_all",
        "strength",
        "strength_option",
    ),
    "array_files": ("ArrayFile", "read_weights"),
    "machine": ("check_memory",),
    "image_cache": ("StoredImages",),
    "stored_images": ("ImagesRead", "read_images"),
    "picture_store": ("stored_pictures",),
    "row_store": ("stored_rows",),
    "image_files": (
        "DecodedImage",
        "ImageFile",
        "ImageReading",
    ),
    "image_formats": (
        "Picture",
        "how_to_read",
        "is_hidden",
        "left_out_note",
        "readable_endings",
    ),
    "image_sets": (
        "FilePlan",
        "common_form",
        "in_range_of",
        "reading_notes",
    ),
    "images": (
        "MOST_CHANNELS",
        "ImageData",
        "Pixels",
        "as_floats",
        "check_float_images",
        "class_codes",
        "plain_array",
        "to_uint8",
    ),
    "database_urls": (
        "check_sqlite_files",
        "public_url",
        "without_secrets",
    ),
    "downloads": (
        "VerifiedFiles",
        "check_downloads_allowed",
        "needs_own_weights",
        "read_bytes",
        "torchvision_datasets",
        "with_sha256",
    ),
    "events": (
        "EpochFinished",
        "Event",
        "RunInfo",
        "StudyInfo",
        "TrialInfo",
        "flat_figures",
        "flat_options",
    ),
    "protocols": (
        "Autoencoder",
        "Corruption",
        "Embedding",
        "Encoder",
        "Generative",
        "HasAfterStep",
        "HasCodes",
        "HasDecoder",
        "HasFacts",
        "HasFeatures",
        "HasLoss",
        "StartsFromImages",
        "Progress",
        "ReadsLabels",
        "ReportsProgress",
        "ResourceEstimate",
        "Split",
    ),
    "seeds": (
        "draw_rows",
        "short_stream_seed",
    ),
    "studies": (
        "BLAMELESS",
        "Budget",
        "Direction",
        "HasImportances",
        "Objective",
        "StudyResult",
        "StudyStopped",
        "StudyTask",
        "Trial",
        "TrialPruned",
        "TrialRecord",
        "TrialState",
        "Tuner",
    ),
    "vectors": (
        "check_map_size",
        "checked_new_vectors",
        "checked_vectors",
        "finite_vectors",
    ),
}
__getattr__, __dir__ = lazy_attributes(
    __name__,
    {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names},
)
