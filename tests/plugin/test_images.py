"""ImageData is valid or cannot be created."""

import numpy as np
import pytest

from latentkit.plugin import ImageData

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)
LABELS = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, "uint8"),
        ({"images": IMAGES[:, 0]}, r"\(N, C, H, W\)"),
        ({"images": IMAGES[:0]}, "no images"),
        ({"images": np.zeros((4, 2, 8, 8), np.uint8)}, "1 or 3 channels"),
        ({"images": IMAGES, "labels": LABELS, "class_names": ("a",)}, r"0\.\.0"),
        ({"images": IMAGES, "labels": LABELS - 1, "class_names": ("a", "b")}, r"0\.\.1"),
        ({"images": IMAGES, "labels": LABELS[:3], "class_names": ("a", "b")}, r"int64 \(4,\)"),
        ({"images": IMAGES, "labels": LABELS.astype(float)}, "int64"),
        ({"images": IMAGES, "factors": np.zeros((4, 2))}, "factors"),
    ],
)
def test_arrays_of_the_wrong_shape_type_or_range_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        ImageData(**fields)


def test_a_subset_keeps_names_and_takes_the_rows_of_every_array():
    data = ImageData(
        images=np.arange(4, dtype=np.uint8)[:, None, None, None] + IMAGES,
        labels=LABELS,
        class_names=("cat", "dog"),
        factors=np.arange(8.0).reshape(4, 2),
        factor_names=("x", "y"),
        licence="MIT",
    )
    part = data.subset(np.array([3, 1]))
    assert part.images[:, 0, 0, 0].tolist() == [3, 1]
    assert part.labels.tolist() == [0, 1]
    assert part.factors.tolist() == [[6, 7], [2, 3]]
    assert (part.class_names, part.licence) == (("cat", "dog"), "MIT")


def test_the_digest_depends_on_content_shape_and_labels():
    whole = ImageData(images=IMAGES, labels=LABELS, class_names=("a", "b"))
    digests = {
        whole.digest(),
        ImageData(images=IMAGES).digest(),
        ImageData(images=IMAGES.reshape(4, 1, 4, 16)).digest(),
        ImageData(images=IMAGES + 1).digest(),
    }
    assert len(digests) == 4
    assert whole.subset(np.arange(4)).digest() == whole.digest()


def test_labels_without_class_names_are_refused_by_their_name():
    with pytest.raises(ValueError, match="labels need class_names"):
        ImageData(IMAGES, LABELS)
