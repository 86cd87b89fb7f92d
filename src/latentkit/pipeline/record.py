"""The stage ``data``: record what the images are, so that changed images are recognised."""

from __future__ import annotations

from latentkit.pipeline.context import DATA, RunContext


def record_images(context: RunContext) -> None:
    """Commit the shape, counts, classes, licence and checksums of the images."""
    train_images, test_images = context.images("train"), context.images("test")
    split = context.split
    context.folder.commit_json(
        DATA,
        "data",
        {
            "dataset": context.config.dataset.name,
            "image_shape": list(train_images.image_shape),
            "counts": {
                "train": len(split.train),
                "validation": len(split.validation),
                "test": len(test_images),
            },
            "class_names": list(train_images.class_names),
            "labelled": train_images.labels is not None,
            "licence": train_images.licence,
            "source_sha256": {"train": train_images.checksum, "test": test_images.checksum},
            "digest": {"train": train_images.digest(), "test": test_images.digest()},
        },
    )
