"""ImageData is valid or cannot be created."""

import numpy as np
import pytest

from latentkit.plugin import ImageData, as_floats

IMAGES = np.zeros((4, 1, 8, 8), np.uint8)
LABELS = np.array([0, 1, 1, 0])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"images": IMAGES.astype(np.float32)}, "uint8"),
        ({"images": IMAGES[:, 0]}, r"\(N, C, H, W\)"),
        ({"images": IMAGES[:0]}, "no images"),
        ({"images": np.zeros((4, 65, 8, 8), np.uint8)}, "1 to 64 channels"),
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


def test_sixteen_bits_and_many_channels_are_images():
    images = ImageData(np.full((2, 5, 4, 4), 1000, ">u2"), display_channels=(4, 0, 1))
    assert images.images.dtype == np.uint16  # in the machine's order of bytes
    assert images.images[0, 0, 0, 0] == 1000
    assert images.image_shape == (5, 4, 4)
    assert as_floats(images.images)[0, 0, 0, 0] == np.float32(1000) / np.float32(65_535)


@pytest.mark.parametrize("chosen", [(5,), (0, 1), (-1,)])
def test_channels_for_pictures_must_exist(chosen):
    with pytest.raises(ValueError, match="from 0 to 4"):
        ImageData(np.zeros((2, 5, 4, 4), np.uint8), display_channels=chosen)


@pytest.mark.parametrize("rows", [[], [0, 0], [4], [-1], [0, 1, 2, 3], [[0]], [0.5]])
def test_validation_rows_must_leave_some_images_for_training(rows):
    with pytest.raises(ValueError, match="validation must be rows"):
        ImageData(IMAGES, validation=np.array(rows))


def test_a_subset_keeps_its_validation_rows():
    images = ImageData(IMAGES, validation=np.array([3, 1]))
    assert images.subset(np.array([3, 2, 0])).validation.tolist() == [0]
    assert images.subset(np.array([0, 2])).validation is None


def test_a_known_hash_stands_for_the_pixels():
    one, other = np.zeros((4, 1, 8, 8), np.uint8), np.ones((4, 1, 8, 8), np.uint8)
    known = ImageData(one, images_sha256="a")
    assert known.digest() == ImageData(other, images_sha256="a").digest()
    assert known.digest() != ImageData(one, images_sha256="b").digest()
    parts = [known.subset(np.array(rows)).digest() for rows in ([0, 1], [1, 2])]
    assert parts[0] != parts[1]


def test_rows_that_follow_each_other_stay_on_disk(tmp_path):
    stored = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (6, 1, 8, 8))
    part = ImageData(stored).subset(np.arange(2, 5))
    assert isinstance(part.images, np.memmap)
    assert np.shares_memory(part.images, stored)
