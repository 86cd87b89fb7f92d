"""Arrays of any numbers become images by stated rules."""

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import DataError

BYTES = np.arange(6 * 8 * 9, dtype=np.uint8).reshape(6, 8, 9)
NEARLY = "so images are nearly black: range=data makes them brighter"
DEEP = BYTES.astype(np.uint16) * 250


def load(tmp_path, arrays, split="train", **options):
    if isinstance(arrays, dict):
        np.savez(tmp_path / "a.npz", **arrays)
        return lk.dataset("npz", split, path=str(tmp_path / "a.npz"), **options)
    np.save(tmp_path / "a.npy", arrays)
    return lk.dataset("npz", split, path=str(tmp_path / "a.npy"), **options)


def of_test_set(tmp_path, images, **options):
    """Return all images as they are read, as the test set of a file."""
    given = {"x_train": images, "x_test": images}
    return load(tmp_path, given, "test", **options)


@pytest.mark.parametrize(
    ("values", "options", "expected"),
    [
        (DEEP, {}, DEEP),
        (DEEP, {"depth": 8}, np.rint(DEEP / 257).astype(np.uint8)),
        (BYTES, {"depth": 16}, BYTES.astype(np.uint16) * 257),
        (BYTES.astype(bool), {}, BYTES.astype(bool).astype(np.uint8) * 255),
        (BYTES.astype(np.int8), {}, BYTES ^ np.uint8(128)),
        ((BYTES / 255).astype(np.float32), {}, BYTES),
        ((BYTES / 255).astype(np.float16), {}, BYTES),
        ((DEEP / 65_535).astype(np.float32), {}, DEEP),
        (BYTES.astype(np.int64), {"range": "0..255", "depth": 8}, BYTES),
        (BYTES * 4.0 - 9, {"range": "-9..1011", "depth": 8}, BYTES),
        (BYTES.astype(np.int32), {"range": "data"}, np.rint(BYTES * 257.0).astype(np.uint16)),
    ],
)
def test_numbers_become_shades(tmp_path, values, options, expected):
    found = of_test_set(tmp_path, values, **options)
    assert found.images.dtype == expected.dtype
    assert (found.images[:, 0] == expected).all()


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((3, 8, 9), (3, 8, 9)),
        ((8, 9, 3), (3, 8, 9)),
        ((8, 9, 1), (1, 8, 9)),
        ((6, 8, 9), (6, 8, 9)),
        ((8, 9, 6), (6, 8, 9)),
        ((2, 64, 64), (2, 64, 64)),
        ((9, 9, 4), (4, 9, 9)),
    ],
)
def test_the_shorter_axis_has_the_channels(tmp_path, shape, expected):
    assert of_test_set(tmp_path, np.zeros((3, *shape), np.uint8)).image_shape == expected


@pytest.mark.parametrize(
    ("values", "options", "reason"),
    [
        (np.zeros((6, 8, 9, 8), np.uint8), {}, "whose channels may come first or last"),
        (np.zeros((6, 70, 90, 80), np.uint8), {}, "70 channels: keep 64 or fewer"),
        (BYTES.astype(np.int32), {}, r"int32, expected uint8.*-o npz\.range=LOW\.\.HIGH"),
        (BYTES.astype(np.int16), {}, "int16, expected uint8"),
        (BYTES * np.nan, {"range": "0..1"}, "image 0 holds NaN or infinity"),
        (np.zeros((6, 8, 9)), {"range": "data"}, "every number is 0, so range=data has no range"),
        (
            np.zeros((6, 2, 8, 9), np.uint8),
            {"channels": "grey"},
            "2 channels, so channels=grey does not fit: .*channels=all",
        ),
        (
            np.zeros((6, 2, 8, 9), np.uint8),
            {"channels": "0,5"},
            "2 channels, so choose from channels 0 to 1, not 5",
        ),
        (BYTES[:2], {}, "2 images cannot be divided: 3 or more are needed"),
    ],
)
def test_what_does_not_say_what_it_is_is_refused(tmp_path, values, options, reason):
    with pytest.raises(DataError, match=reason):
        load(tmp_path, values, **options)


def test_channels_are_chosen_and_shown(tmp_path):
    values = (
        np.arange(6, dtype=np.uint8)[None, :, None, None].repeat(4, 0).repeat(8, 2).repeat(9, 3)
    )
    found = of_test_set(tmp_path, values, channels="5,0,3", display_channels="1")
    assert found.images[0, :, 0, 0].tolist() == [5, 0, 3]
    assert found.display_channels == (1,)
    with pytest.raises(
        DataError, match="display_channels must be one or three numbers from 0 to 5"
    ):
        of_test_set(tmp_path, values, display_channels="9")


def test_range_and_clipping_are_said(tmp_path):
    notes = of_test_set(tmp_path, DEEP, range="0..1000").notes
    assert notes == (
        "values: 0 is black and 1,000 is white (range=0..1000)",
        "6 of 6 images have values out of this range, which were clipped",
    )
    assert of_test_set(tmp_path, DEEP // 16).notes == (
        "values (uint16): black and white are the full range of the type",
        f"the brightest pixel is 3,984 of 65,535, {NEARLY}",
    )


@pytest.mark.parametrize(
    ("brightest", "said"),
    [
        (0, ("every pixel is 0",)),
        (1, (f"the brightest pixel is 1 of 255, {NEARLY}",)),
        (31, (f"the brightest pixel is 31 of 255, {NEARLY}",)),
        (32, ()),
    ],
)
def test_images_that_are_nearly_black_are_said(tmp_path, brightest, said):
    assert of_test_set(tmp_path, np.minimum(BYTES, np.uint8(brightest))).notes == said


def test_splits_share_range_and_depth(tmp_path):
    arrays = {"x_train": BYTES / 255, "x_test": DEEP / 65_535}
    train, test = (load(tmp_path, arrays, split) for split in ("train", "test"))
    assert train.images.dtype == test.images.dtype == np.uint16
    arrays = {"x_train": BYTES // 2, "x_test": BYTES}
    train = load(tmp_path, arrays, range="data")
    assert train.images.max() == 127


def test_a_given_validation_set_is_used_as_it_is(tmp_path):
    arrays = {"x_train": BYTES, "x_val": BYTES[:2], "y_train": list("aabbcc"), "y_val": list("db")}
    train, test = (load(tmp_path, arrays, split) for split in ("train", "test"))
    assert (len(train), len(test)) == (6, 2)
    assert train.validation.tolist() == [4, 5]
    assert train.class_names == test.class_names == ("a", "b", "c", "d")
    assert train.labels[4:].tolist() == [3, 1]
    assert (train.images[4:, 0] == BYTES[:2]).all()
    with pytest.raises(DataError, match="only one of training and validation images has labels"):
        load(tmp_path, drop(arrays, "y_val"))


def drop(arrays, name):
    return {key: value for key, value in arrays.items() if key != name}


def test_a_memory_mapped_array_of_images_is_not_converted(tmp_path):
    found = load(tmp_path, DEEP)
    assert found.images.dtype == np.uint16
    assert len(found) == 4
