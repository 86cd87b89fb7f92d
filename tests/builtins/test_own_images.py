"""Images of the user (folders of files, NumPy arrays), and generated sprites."""

import os
import re
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import latentkit as lk
from latentkit.errors import DataError, UserError


@pytest.fixture
def photos(tmp_path):
    """Return a folder of colour JPEGs and PNGs of mixed size, six of each of two classes."""
    generator = np.random.default_rng(0)
    for name, tint in (("cats", (200, 30, 30)), ("dogs", (30, 30, 200))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for number in range(6):
            height, width = generator.integers(20, 90, 2)
            noise = generator.integers(0, 40, (height, width, 3)) + np.array(tint) // 2
            ending = "jpg" if number % 2 else "png"
            path = tmp_path / "photos" / name / f"{number}.{ending}"
            Image.fromarray(noise.astype(np.uint8)).save(path)
    return tmp_path / "photos"


def folder(path, split="train", **options):
    return lk.dataset("image-folder", split, path=path, **{"size": 16, **options})


def test_folders_are_classes_and_one_image_in_five_is_for_testing(photos):
    train, test = folder(photos), folder(photos, "test")
    assert train.class_names == ("cats", "dogs")
    assert (len(train), len(test)) == (9, 3)
    assert train.image_shape == (3, 16, 16)
    red, _, blue = train.images.mean((2, 3)).T
    assert ((red > blue) == (train.labels == 0)).all()
    assert train.checksum == test.checksum


def test_a_test_folder_is_used_if_it_exists(photos):
    (photos / "test").mkdir()
    (photos / "train").mkdir()
    for name in ("cats", "dogs"):
        (photos / name).rename(photos / "train" / name)
        (photos / "test" / name).mkdir()
    source = photos / "train" / "dogs" / "0.png"
    source.rename(photos / "test" / "dogs" / "0.png")
    train, test = folder(photos), folder(photos, "test")
    assert (len(train), len(test)) == (11, 1)
    assert test.labels.tolist() == [1]


def test_images_without_classes_have_no_labels(photos):
    assert folder(photos / "cats").labels is None


@pytest.mark.parametrize(
    ("fit", "top", "middle"), [("crop", 255, 255), ("pad", 0, 255), ("stretch", 255, 255)]
)
def test_an_image_is_made_square_by_the_stated_rule(tmp_path, fit, top, middle):
    for number in range(5):
        Image.new("L", (40, 20), 255).save(tmp_path / f"{number}.png")
    images = folder(tmp_path, fit=fit).images
    assert images.shape == (4, 1, 16, 16)
    assert images[0, 0, 0, 8] == top
    assert images[0, 0, 8, 8] == middle


def test_crop_cuts_the_middle_out(tmp_path):
    stripes = np.zeros((20, 60), np.uint8)
    stripes[:, 20:40] = 255
    for number in range(5):
        Image.fromarray(stripes).save(tmp_path / f"{number}.png")
    assert folder(tmp_path).images.mean() > 250


def test_transparent_parts_become_white_and_the_exif_orientation_is_applied(tmp_path):
    for number in range(5):
        Image.new("RGBA", (20, 20), (0, 0, 0, 0)).save(tmp_path / f"{number}.png")
    assert (folder(tmp_path).images == 255).all()
    turned = tmp_path / "turned"
    turned.mkdir()
    half = np.zeros((20, 20), np.uint8)
    half[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    for number in range(5):
        Image.fromarray(half).save(turned / f"{number}.jpg", exif=exif)
    images = folder(turned).images
    assert images[0, 0, 2].mean() < 50
    assert images[0, 0, -3].mean() > 200


@pytest.mark.parametrize(("channels", "expected"), [("grey", 1), ("rgb", 3), ("auto", 3)])
def test_images_have_the_requested_number_of_channels(photos, channels, expected):
    assert folder(photos, channels=channels).image_shape[0] == expected


def test_unreadable_files_are_listed_and_refused_or_left_out(photos):
    (photos / "cats" / "9.jpg").write_bytes(b"this is no JPEG")
    (photos / "dogs" / "9.png").write_bytes((photos / "dogs" / "0.png").read_bytes()[:60])
    with pytest.raises(DataError, match="2 of 14 images cannot be read") as raised:
        folder(photos)
    assert "9.jpg" in str(raised.value)
    assert "unreadable=skip" in str(raised.value)
    kept = folder(photos, unreadable="skip")
    assert kept.labels.tolist() == folder(photos, unreadable="skip").labels.tolist()
    assert len(kept) + len(folder(photos, "test", unreadable="skip")) == 12


def test_a_folder_that_is_missing_empty_or_not_given_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"-o image-folder\.path=DIR"):
        folder("")
    with pytest.raises(DataError, match=r"no folder .*nowhere: .* -o image-folder\.path=DIR"):
        folder(tmp_path / "nowhere")
    with pytest.raises(DataError, match="holds no image files"):
        folder(tmp_path)


def arrays(path, split="train"):
    return lk.dataset("npz", split, path=str(path))


def test_arrays_with_the_names_that_keras_uses_are_read(tmp_path):
    x = np.arange(12 * 64, dtype=np.uint8).reshape(12, 8, 8)
    np.savez(tmp_path / "a.npz", x_train=x[:8], y_train=[2] * 8, x_test=x[8:], y_test=[0] * 4)
    train, test = arrays(tmp_path / "a.npz"), arrays(tmp_path / "a.npz", "test")
    assert (train.images[:, 0] == x[:8]).all()
    assert len(test) == 4
    assert train.class_names == test.class_names == ("0", "1", "2")
    assert train.labels.tolist() == [2] * 8


def test_images_without_a_test_set_are_split_and_labels_become_classes(tmp_path):
    images = np.linspace(0, 1, 20 * 8 * 8 * 3, dtype=np.float32).reshape(20, 8, 8, 3)
    labels = np.array(["cat", "dog"] * 10)
    np.savez(tmp_path / "a.npz", images=images, labels=labels)
    train, test = arrays(tmp_path / "a.npz"), arrays(tmp_path / "a.npz", "test")
    assert (len(train), len(test)) == (16, 4)
    assert train.image_shape == (3, 8, 8)
    assert train.class_names == ("cat", "dog")
    assert np.bincount(test.labels).tolist() == [2, 2]


def test_an_npy_file_of_images_is_read(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (10, 9, 11), np.uint8)
    np.save(tmp_path / "a.npy", images)
    train = arrays(tmp_path / "a.npy")
    assert train.image_shape == (1, 9, 11)
    assert len(train) == 8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"images": np.full((6, 8, 8), 255.0)}, r"reach from 255 to 255.*divide by 255"),
        ({"images": np.stack([np.zeros((8, 8)), np.full((8, 8), np.nan)])}, "image 1 holds NaN"),
        ({"images": np.full((6, 8, 8), np.nan)}, "holds NaN"),
        ({"images": np.zeros((6, 8, 8), np.int32)}, "int32, expected uint8"),
        ({"images": np.zeros((6, 64), np.uint8)}, r"\(\d, 64\), expected \(N, H, W\)"),
        ({"pictures": np.zeros((6, 8, 8), np.uint8)}, "it holds pictures, expected x_train"),
        (
            {"images": np.zeros((6, 8, 8), np.uint8), "labels": np.zeros(5, int)},
            r"labels \(5,\) for 6",
        ),
    ],
)
def test_arrays_that_are_not_images_are_refused_with_the_reason(tmp_path, content, message):
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(DataError, match=message):
        arrays(tmp_path / "a.npz")


def test_files_that_are_not_arrays_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"-o npz\.path=FILE"):
        arrays("")
    with pytest.raises(DataError, match="cannot read"):
        arrays(tmp_path / "no.npz")
    (tmp_path / "bad.npz").write_bytes(b"PK\3\4 nothing")
    with pytest.raises(DataError, match=r"bad\.npz is damaged \(.*\): save the arrays with"):
        arrays(tmp_path / "bad.npz")
    np.save(tmp_path / "cut.npy", np.zeros((6, 8, 8), np.uint8))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    with pytest.raises(DataError, match=r"cut\.npy is damaged"):
        arrays(tmp_path / "cut.npy")


@pytest.mark.parametrize("name", ["bad.npz", "bad.npy"])
@pytest.mark.parametrize("content", [b"hi\n", b""])
def test_a_file_that_is_not_an_array_is_refused_with_what_to_save(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        DataError, match=rf"{name} is neither an \.npz .*: save .* np\.savez"
    ) as said:
        arrays(tmp_path / name)
    assert "pickle" not in str(said.value)


def test_arrays_of_objects_are_refused_with_how_to_convert_them(tmp_path):
    labels = np.array(["cat", "dog"] * 3, dtype=object)
    np.savez(tmp_path / "a.npz", images=np.zeros((6, 8, 8), np.uint8), labels=labels)
    np.save(tmp_path / "a.npy", np.array([{}, {}]), allow_pickle=True)
    for name in ("a.npz", "a.npy"):
        with pytest.raises(DataError, match=rf"{name} has arrays of objects, .* dtype=str") as said:
            arrays(tmp_path / name)
        assert "pickle" not in str(said.value)


def test_array_files_are_recognised_by_content_not_by_name(tmp_path):
    with (tmp_path / "a.npz").open("wb") as file:
        np.save(file, np.zeros((10, 8, 8), np.uint8))
    assert len(arrays(tmp_path / "a.npz")) == 8


def sprites(split="train", **options):
    return lk.dataset("sprites", split, **{"n_train": 300, "n_test": 60, **options})


@pytest.mark.parametrize("size", [28, 64])
def test_sprites_are_drawn_with_their_factors(size):
    data = sprites(size=size)
    assert data.images.shape == (300, 1, size, size)
    assert data.factor_names == ("shape", "scale", "rotation", "x", "y")
    assert (data.factors[:, 0] == data.labels).all()
    weight = data.images[:, 0].astype(float)
    mass = weight.sum((1, 2))
    at = (np.arange(size) + 0.5) / size * 2 - 1
    x = (weight.sum(1) * at).sum(1) / mass
    y = -(weight.sum(2) * at).sum(1) / mass
    even = data.labels < 2  # the centre of a heart is not its centre of mass
    assert np.abs(x - data.factors[:, 3])[even].max() < 0.02
    assert np.abs(y - data.factors[:, 4])[even].max() < 0.02
    areas = mass / 255 * (2 / size) ** 2
    scale = data.factors[:, 1]
    assert areas[data.labels == 0] == pytest.approx((1.6 * scale[data.labels == 0]) ** 2, rel=0.03)
    ellipses = data.labels == 1
    assert areas[ellipses] == pytest.approx(np.pi / 2 * scale[ellipses] ** 2, rel=0.03)


def test_rotation_turns_an_ellipse_counterclockwise():
    data = sprites()
    at = (np.arange(28) + 0.5) / 28 * 2 - 1
    for image, factors in zip(data.images[:, 0], data.factors, strict=True):
        if factors[0] != 1:
            continue
        weight = image.astype(float) / image.sum()
        dx, dy = at[None] - factors[3], -at[:, None] - factors[4]
        angle = 0.5 * np.arctan2(2 * (weight * dx * dy).sum(), (weight * (dx**2 - dy**2)).sum())
        assert abs(np.sin(angle - factors[2])) < 0.1


def test_sprites_repeat_by_seed_and_differ_between_splits():
    assert sprites().digest() == sprites().digest()
    assert sprites().digest() != sprites(seed=1).digest()
    assert sprites("test").digest() != sprites().subset(np.arange(60)).digest()


def test_files_and_folders_that_other_programs_hide_are_left_out(photos):
    before = folder(photos)
    (photos / ".ipynb_checkpoints").mkdir()
    (photos / "__MACOSX" / "cats").mkdir(parents=True)
    (photos / "__MACOSX" / "cats" / "0.png").write_bytes(b"Mac OS X")
    (photos / "cats" / "._0.png").write_bytes(b"Mac OS X")
    (photos / "cats" / ".thumbnails").mkdir()
    shutil.copy(photos / "cats" / "0.png", photos / "cats" / ".thumbnails")
    after = folder(photos)
    assert after.class_names == before.class_names
    assert after.digest() == before.digest()


def test_an_image_that_belongs_to_no_class_is_an_error_and_not_left_out(photos):
    shutil.copy(photos / "cats" / "0.png", photos / "forgotten.png")
    with pytest.raises(DataError, match=r"forgotten\.png .*in no folder of a class \(cats, dogs\)"):
        folder(photos)


def test_a_class_that_only_the_test_folder_has_is_a_class_without_training_images(photos):
    for split, classes in (("train", ("cats",)), ("test", ("cats", "dogs"))):
        for name in classes:
            shutil.copytree(photos / name, photos.parent / "split" / split / name)
    train, test = folder(photos.parent / "split"), folder(photos.parent / "split", "test")
    assert train.class_names == test.class_names == ("cats", "dogs")
    assert np.bincount(train.labels).tolist() == [6]
    assert np.bincount(test.labels).tolist() == [6, 6]
    assert "1 of 2 classes have no training images: dogs" in train.notes


def test_a_relative_path_is_named_in_full_if_it_is_not_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("image-folder", "npz"):
        with pytest.raises(DataError, match=re.escape(str(tmp_path / "mine"))):
            lk.dataset(name, path="mine")


@pytest.mark.skipif(sys.platform == "win32", reason="names are UTF-16 there")
def test_names_that_are_not_utf8_are_refused_in_one_line(photos):
    undecodable = os.fsdecode(b"caf\xe9")
    with pytest.raises(UserError, match="is not UTF-8 text"):
        lk.dataset("npz", path=f"{photos}/{undecodable}/x.npz")
    with pytest.raises(ValueError, match="is not UTF-8 text"):
        lk.ImageData(np.zeros((2, 1, 8, 8), np.uint8), np.zeros(2, np.int64), (undecodable,))
