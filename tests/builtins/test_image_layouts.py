"""Folders in every layout: which files are images, of which class and of which split."""

import os
import shutil
import sys

import numpy as np
import pytest
from PIL import Image

import latentkit as lk
from latentkit.builtins.datasets import image_folder
from latentkit.builtins.datasets.image_listing import list_folder
from latentkit.errors import DataError, UserError


def fill(root, *places):
    """Make an image of its own shade at each place, as ``cats/1.png``; ``cats/`` is empty."""
    for number, place in enumerate(places):
        path = root / place
        if place.endswith("/"):
            path.mkdir(parents=True)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix in (".png", ".PNG", ".jfif", ".tif"):
            kind = {".jfif": "JPEG", ".tif": "TIFF"}.get(path.suffix, "PNG")
            Image.new("L", (9, 9), number + 1).save(path, kind)
        else:
            path.write_bytes(b"x")
    return root


def many(*folders, n=5, ending="png"):
    return [f"{folder}{number}.{ending}" for folder in folders for number in range(n)]


def load(root, split="train", **options):
    return lk.dataset("image-folder", split, path=str(root), **{"size": 8, **options})


def both(root, **options):
    return load(root, **options), load(root, "test", **options)


CASES = {
    "flat": (many(""), (), (4, 0, 1)),
    "flat, in a folder without a class": (many("a/"), ("a",), (4, 0, 1)),
    "by class": (many("a/", "b/"), ("a", "b"), (8, 0, 2)),
    "nested classes": (many("a/x/", "a/y/", "b/"), ("a/x", "a/y", "b"), (12, 0, 3)),
    "train alone": (many("train/a/", "train/b/"), ("a", "b"), (8, 0, 2)),
    "train and val": (
        many("train/a/", "train/b/") + many("val/a/", n=3),
        ("a", "b"),
        (8, 3, 2),
    ),
    "train, validation and test": (
        many("training/a/") + many("validation/b/", n=2) + many("Test/a/", n=4),
        ("a", "b"),
        (5, 2, 4),
    ),
    "train, valid and test without classes": (
        many("train/") + many("valid/", n=2) + many("test/", n=4),
        (),
        (5, 2, 4),
    ),
    "a class called train": (many("car/", "train/", "bus/"), ("bus", "car", "train"), (12, 0, 3)),
    "a class called test": (many("quiz/", "test/"), ("quiz", "test"), (8, 0, 2)),
    "one class": (many("a/"), ("a",), (4, 0, 1)),
    "names in other alphabets": (
        many("кошки/", "犬/", "é/"),
        ("é", "кошки", "犬"),
        (12, 0, 3),
    ),
    "an empty class": ([*many("a/", "b/"), "c/"], ("a", "b"), (8, 0, 2)),
    "an empty test set": ([*many("train/a/", "train/b/"), "test/"], ("a", "b"), (8, 0, 2)),
    "an empty hidden folder": ([*many(""), ".ipynb_checkpoints/"], (), (4, 0, 1)),
    "system files": (
        [*many("a/", "b/"), *many(".ipynb_checkpoints/", "__MACOSX/a/", "@eaDir/"), "a/Thumbs.db"],
        ("a", "b"),
        (8, 0, 2),
    ),
    "other endings": (
        [*many("", n=2), *many("", ending="jfif", n=3), "9.tif", "X.PNG"],
        (),
        (5, 0, 2),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_layout_has_its_classes_and_splits(tmp_path, case):
    places, classes, counts = CASES[case]
    train, test = both(fill(tmp_path, *places))
    validation = 0 if train.validation is None else len(train.validation)
    assert (len(train) - validation, validation, len(test)) == counts
    assert train.class_names == test.class_names == classes
    assert train.notes == test.notes


def test_validation_images_are_the_last_of_the_training_images_with_their_labels(tmp_path):
    fill(tmp_path, "train/a/1.png", "train/b/1.png", "val/b/1.png", "val/a/1.png", "test/a/1.png")
    train = load(tmp_path)
    assert train.images[:, 0, 0, 0].tolist() == [1, 2, 4, 3]
    assert train.labels.tolist() == [0, 1, 0, 1]
    assert train.validation.tolist() == [2, 3]


def test_what_is_left_out_is_counted_in_one_note(tmp_path):
    fill(tmp_path, *many("a/", "b/"), "a/1.heic", "b/2.HEIC", "notes.txt", "c/", ".hidden.png")
    notes = load(tmp_path).notes
    assert notes[:2] == (
        "3 of 13 files left out: 2 .heic, install pillow-heif; 1 .txt",
        "1 empty folders: c",
    )


def test_images_in_no_folder_of_a_split_are_counted(tmp_path):
    fill(tmp_path, *many("train/", "test/", "raw/"), "cover.png")
    train, test = both(tmp_path)
    assert (len(train), len(test)) == (5, 5)
    assert train.notes[0] == (
        "6 images left out, which are in no folder of a split: 5 in raw, 1 in no folder"
    )


@pytest.mark.parametrize(
    ("places", "reason"),
    [
        (["a.txt"], r"holds no image files \(.*\); 1 of 1 files left out: 1 \.txt"),
        (many("train/", "training/", "test/"), "has train and training, both for train images"),
        (many("test/"), "has test, but no training images: put them into .*train"),
        ([*many("val/"), "train/"], "has train, val, but no training images"),
        ([*many("a/"), "0.png"], r"0\.png and 0 more images are in no folder of a class \(a\)"),
        (many("", n=1), "holds 1 image to learn from and to test with: 3 or more are needed"),
    ],
)
def test_a_folder_that_cannot_be_understood_is_refused(tmp_path, places, reason):
    with pytest.raises(DataError, match=reason) as said:
        load(fill(tmp_path, *places))
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(("rule", "classes"), [("top", ("a", "b")), ("none", ())])
def test_the_first_folder_may_be_the_class_or_none(tmp_path, rule, classes):
    train = load(fill(tmp_path, *many("a/x/", "a/y/", "b/")), classes=rule)
    assert train.class_names == classes
    assert (train.labels is None) == (not classes)


@pytest.mark.skipif(sys.platform == "win32", reason="links need a privilege there")
def test_linked_folders_are_read_once(tmp_path):
    fill(tmp_path / "far", *many("c/"))
    root = fill(tmp_path / "set", *many("b/"))
    (root / "a").symlink_to(root / "b")
    (root / "b" / "loop").symlink_to(root)
    (root / "c").symlink_to(tmp_path / "far" / "c")
    train = load(root)
    assert train.class_names == ("b", "c")
    assert len(train) == 8
    assert "2 linked folders left out, read already" in train.notes


def test_a_name_is_the_same_class_however_its_accent_is_written(tmp_path):
    fill(tmp_path, *many("train/caf\N{LATIN SMALL LETTER E WITH ACUTE}/"))
    fill(tmp_path, *many("test/cafe\N{COMBINING ACUTE ACCENT}/", n=2))
    train, test = both(tmp_path)
    assert train.class_names == ("caf\N{LATIN SMALL LETTER E WITH ACUTE}",)
    assert test.labels.tolist() == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="names are UTF-8 there")
def test_a_class_whose_name_is_no_text_is_refused(tmp_path):
    fill(tmp_path, *(os.fsdecode(b"caf\xe9/") + f"{number}.png" for number in range(5)))
    with pytest.raises(DataError, match="is not UTF-8 text: rename it"):
        load(tmp_path)


@pytest.mark.parametrize(
    ("counts", "test_images", "tested"), [([2] * 600, 240, 240), ([1] * 20, 4, 4), ([7, 1], 2, 1)]
)
def test_few_images_and_many_classes_are_divided_as_well_as_can_be(
    tmp_path, counts, test_images, tested
):
    labels = np.repeat(np.arange(len(counts)), counts)
    np.savez(tmp_path / "a.npz", images=np.zeros((len(labels), 8, 8), np.uint8), labels=labels)
    train, test = (lk.dataset("npz", split, path=str(tmp_path / "a.npz")) for split in SPLITS)
    assert (len(train), len(test)) == (len(labels) - test_images, test_images)
    assert len(np.unique(test.labels)) == tested
    lacking = f"{len(counts) - tested:,} of {len(counts):,} classes have too few images"
    assert any(note.startswith(lacking) for note in train.notes)


SPLITS = ("train", "test")


def with_labels(root, text, name="labels.csv", **options):
    (root / name).write_text(text, encoding="utf-8")
    return load(root, labels=name, **options)


def test_a_label_file_replaces_folders_as_classes(tmp_path):
    fill(tmp_path, *many("x/", "y/"))
    rows = [f"{place},{shade}" for place, shade in zip(many("x/", "y/"), "aabbb" * 2, strict=True)]
    train = with_labels(tmp_path, "\n".join(["file,kind", *rows]))
    assert train.class_names == ("a", "b")
    assert (train.labels == np.isin(train.images[:, 0, 0, 0], [3, 4, 5, 8, 9, 10])).all()


def test_a_label_file_may_have_splits_numbers_semicolons_and_more_columns(tmp_path):
    fill(tmp_path, *many(""))
    parts = ["train", "train", "Validation", "test", "test"]
    rows = [f"{n}.png;{10 - n};{'ab'[n % 2]};{part}" for n, part in enumerate(parts)]
    text = "\ufeff" + "\n".join(["path;grade;eye;split", *rows[:4]])
    with pytest.raises(DataError, match=r"has 2 columns beside the paths \(grade, eye\): name"):
        with_labels(tmp_path, text)
    train = with_labels(tmp_path, text, label_column="grade")
    assert train.validation.tolist() == [2]
    assert [train.class_names[code] for code in train.labels] == ["10", "9", "8"]
    assert "1 images left out, which labels.csv does not name" in train.notes
    train = with_labels(tmp_path, text, label_column="eye, grade")
    assert [train.class_names[code] for code in train.labels] == ["a/10", "b/9", "a/8"]


def test_labels_may_come_from_a_parquet_file(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    fill(tmp_path, *many(""))
    table = pyarrow.table({"image": many(""), "label": ["b", "a", "b", "a", "b"]})
    parquet.write_table(table, tmp_path / "labels.parquet")
    train = load(tmp_path, labels="labels.parquet")
    assert train.class_names == ("a", "b")
    (tmp_path / "labels.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"labels\.parquet is damaged or not a Parquet file"):
        load(tmp_path, labels="labels.parquet")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "path,label\n0.png,a\n7.png,b\n",
            r"names 1 files that are not among .*: 7\.png \(did you",
        ),
        ("path,label\n0.png,a\n0.png,b\n", r"names 0\.png twice, in rows 2 and 3"),
        ("path,label\n0.png,a\n1.png,\n", "1 of 2 rows have no label, the first is row 3"),
        ("path,label\n0.png,a\n1.png\n", "row 3: 1 values for 2 columns"),
        ("path,label\n", "has no rows of labels"),
        ("", "has no rows of labels"),
        ("path\n0.png\n", r"has 0 columns beside the paths \(none\)"),
        ("path,label,split\n0.png,a,dev\n", "row 2: split 'dev' should be train, val or test"),
        ("path,label,split\n0.png,a,test\n", "names no training images"),
        ("path,label\n../0.png,a\n", r"names 1 files that are not among"),
    ],
)
def test_a_label_file_that_is_wrong_is_refused_in_one_line(tmp_path, text, reason):
    fill(tmp_path, *many(""))
    with pytest.raises(DataError, match=reason) as said:
        with_labels(tmp_path, text)
    assert "\n" not in str(said.value)


def test_a_label_column_that_does_not_exist_and_a_missing_file_are_refused(tmp_path):
    fill(tmp_path, *many(""))
    with pytest.raises(DataError, match=r"has no column 'lable' \(did you mean 'label'\?\)"):
        with_labels(tmp_path, "path,label\n0.png,a\n", label_column="lable")
    with pytest.raises(DataError, match=r"cannot read .*none\.csv"):
        load(tmp_path, labels="none.csv")


@pytest.mark.parametrize(
    "options",
    [{"size": "8,"}, {"size": 4}, {"range": "9..3"}, {"range": "dark"}, {"channels": "x"}],
)
def test_an_option_that_means_nothing_is_refused(tmp_path, options):
    with pytest.raises(UserError, match=next(iter(options))):
        load(fill(tmp_path, *many("")), **options)


def test_a_copy_of_the_folder_elsewhere_gives_the_same_images(tmp_path):
    fill(tmp_path / "one", *many("a/", "b/"))
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    assert load(tmp_path / "one").digest() == load(tmp_path / "two").digest()


def test_all_pages_of_a_file_are_images_of_one_split_and_class(tmp_path):
    for number in range(10):
        folder = tmp_path / "ab"[number % 2]
        folder.mkdir(exist_ok=True)
        shades = [Image.new("L", (9, 9), 10 * number + page) for page in range(1 + number % 3)]
        shades[0].save(folder / f"{number}.tif", save_all=True, append_images=shades[1:])
    train, test = both(tmp_path, page="all")
    assert len(train) + len(test) == 4 * 1 + 3 * 2 + 3 * 3
    for data in (train, test):
        assert (data.images[:, 0, 0, 0] // 10 % 2 == data.labels).all()
    files = [set((data.images[:, 0, 0, 0] // 10).tolist()) for data in (train, test)]
    assert not files[0] & files[1]
    assert not any("page=first" in note for note in train.notes)
    assert any("page=first" in note for note in load(tmp_path).notes)


def test_a_folder_is_listed_once_for_both_splits_and_again_when_it_changes(tmp_path, monkeypatch):
    listed = []
    monkeypatch.setattr(image_folder, "_SETTLED", -60)
    monkeypatch.setattr(
        image_folder, "list_folder", lambda *args: listed.append(1) or list_folder(*args)
    )
    fill(tmp_path, *many("a/", "b/"))
    before = sum(map(len, both(tmp_path)))
    assert (before, len(listed)) == (10, 1)
    fill(tmp_path, "b/another.png")
    assert sum(map(len, both(tmp_path))) == 11
    assert len(listed) == 2


def test_a_folder_that_has_moved_is_found_by_its_name_in_the_folder_of_data_sets(tmp_path):
    root = fill(tmp_path / "old" / "photos", *many("a/", "b/"))
    before = load(root)
    (tmp_path / "data").mkdir()
    shutil.move(root, tmp_path / "data" / "photos")
    after = load(root, data=tmp_path / "data")
    assert (after.checksum, after.class_names) == (before.checksum, before.class_names)
    assert f"no {root}: the images of {tmp_path / 'data' / 'photos'} are used" in after.notes[0]
    with pytest.raises(DataError, match=r"no folder .*old.photos: .*--data-dir.* contains photos"):
        load(root, data=tmp_path)
