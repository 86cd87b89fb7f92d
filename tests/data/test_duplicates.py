"""Equal images and near duplicates."""

import io

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from latentkit.data import duplicates
from latentkit.data.duplicates import Looks, grey_copies, near_pairs, rows_in_training
from latentkit.plugin import ImageData


def pictures(n, side=64, seed=0):
    """Return n pictures with structure at all scales, uint8 (N, 3, side, side)."""
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(n):
        layers = [
            np.asarray(
                Image.fromarray(rng.integers(0, 256, (own, own, 3), np.uint8)).resize(
                    (side, side), Image.Resampling.BICUBIC
                ),
                float,
            )
            / 2**at
            for at, own in enumerate((3, 6, 12, 24))
        ]
        found.append(np.clip(sum(layers) / 2, 0, 255).astype(np.uint8).transpose(2, 0, 1))
    return np.stack(found)


def changed(images, how):
    def one(image):
        picture = how(Image.fromarray(image.transpose(1, 2, 0)))
        side = image.shape[-1]
        return np.asarray(picture.resize((side, side), Image.Resampling.BILINEAR)).transpose(
            2, 0, 1
        )

    return np.stack([one(image) for image in images])


def resaved(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70)
    return Image.open(buffer)


KINDS = {
    "saved again": resaved,
    "half as large": lambda one: one.resize((one.width // 2, one.height // 2)),
    "brighter": lambda one: ImageEnhance.Brightness(one).enhance(1.05),
    "cropped by 2 %": lambda one: one.crop((1, 1, one.width - 1, one.height - 1)),
}


@pytest.mark.parametrize("how", KINDS.values(), ids=KINDS)
def test_the_same_picture_is_found_after_a_small_change(how):
    originals = pictures(40)
    pairs = near_pairs(Looks.of_images(originals), Looks.of_images(changed(originals, how)))
    assert (pairs.first == pairs.second).all()
    assert len(pairs.first) >= 38


def test_mirrored_and_different_pictures_are_no_duplicates():
    originals = pictures(40)
    mirrored = Looks.of_images(changed(originals, ImageOps.mirror))
    assert not len(near_pairs(Looks.of_images(originals), mirrored).first)
    assert not len(near_pairs(Looks.of_images(originals)).first)


def test_flat_images_are_no_duplicates_of_each_other():
    noise = np.random.default_rng(0).integers(100, 103, (8, 3, 64, 64)).astype(np.uint8)
    flat = np.full((8, 3, 64, 64), 100, np.uint8)
    looks = Looks.of_images(np.concatenate([noise, flat]))
    assert not len(near_pairs(looks).first)
    assert duplicates.equal_groups(looks.sha256, looks.constant) == []


def test_keys_that_differ_in_seven_bits_are_found_and_in_eight_are_not():
    rng = np.random.default_rng(0)
    keys = rng.integers(0, 2**63, 300, dtype=np.uint64)
    for bits, expected in ((7, 300), (8, 0)):
        flips = [sum(1 << int(b) for b in rng.permutation(64)[:bits]) for _ in keys]
        others = keys ^ np.array(flips, np.uint64)
        found = {
            (int(a), int(b))
            for i, j in duplicates._similar_keys(keys, others, False)
            for a, b in zip(i, j, strict=True)
        }
        assert found == {(row, row) for row in range(expected)}


def test_grey_copies_of_16_bits_are_those_of_8():
    images = pictures(3)
    np.testing.assert_array_equal(
        grey_copies(images.astype(np.uint16) * np.uint16(257)), grey_copies(images)
    )


def test_rows_of_test_images_that_are_also_training_images():
    train = pictures(20)
    test = pictures(10, seed=1)
    test[2] = test[7] = train[3]
    test[4] = changed(train[5:6], resaved)[0]
    test[5] = train[6] = 90  # constant
    equal, near, complete = rows_in_training(ImageData(train), ImageData(test))
    assert equal.tolist() == [2, 7]
    assert near.tolist() == [4]
    assert complete


def test_images_of_a_few_pixels_are_only_compared_for_equality():
    train, test = pictures(20, side=12), pictures(5, side=12, seed=1)
    test[1] = train[1]
    test[2] = np.minimum(train[2] + 1, 255)
    equal, near, complete = rows_in_training(ImageData(train), ImageData(test))
    assert (equal.tolist(), near.tolist(), complete) == ([1], [], True)
