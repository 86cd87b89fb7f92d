"""``latentkit data check`` on a folder with planted faults, and on arrays."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from latentkit.plugin import image_formats


def photograph(seed, size=(120, 90)):
    """Return a picture with structure at all scales, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [
        np.asarray(
            Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).resize(size, 3), float
        )
        for side in (3, 6, 12, 24, 48)
    ]
    mixed = sum(layer / 2**at for at, layer in enumerate(layers)) / 2
    return Image.fromarray(np.clip(mixed, 0, 255).astype(np.uint8))


def as_bytes(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    """Return a folder of 24 good photographs and one or more faults of each kind."""
    root = tmp_path_factory.mktemp("planted")
    photos = {
        name: as_bytes(photograph(seed), "JPEG", quality=92)
        for seed, name in enumerate(
            [f"train/{kind}/{i}.jpg" for kind in ("cats", "dogs") for i in range(8)]
            + [f"test/{kind}/{i}.jpg" for kind in ("cats", "dogs") for i in range(4)]
        )
    }
    first, second, third = (photograph(seed) for seed in (0, 1, 2))
    turned = Image.Exif()
    turned[0x0112] = 6
    tall = photograph(90, (30, 200))
    damaged = photos["train/cats/0.jpg"]
    files = {
        **photos,
        "train/cats/copy.jpg": photos["train/cats/0.jpg"],
        "train/dogs/copy-of-cat-1.jpg": photos["train/cats/1.jpg"],
        "test/cats/same.jpg": photos["train/cats/3.jpg"],
        "train/cats/resaved.jpg": as_bytes(third, "JPEG", quality=70),
        "train/cats/mirrored.jpg": as_bytes(ImageOps.mirror(second), "JPEG", quality=92),
        "train/cats/without-loss.bmp": as_bytes(first.copy(), "BMP"),
        "train/cats/without-loss.png": as_bytes(first.copy(), "PNG"),
        "train/dogs/constant.png": as_bytes(Image.new("RGB", (64, 64), (90, 90, 90)), "PNG"),
        "train/dogs/constant-too.png": as_bytes(Image.new("RGB", (64, 64), (90, 90, 90)), "PNG"),
        "train/dogs/dark.png": as_bytes(photograph(91).point(lambda v: v // 16), "PNG"),
        "train/dogs/light.png": as_bytes(photograph(92).point(lambda v: 239 + v // 16), "PNG"),
        "train/dogs/noise.png": np.random.default_rng(0).bytes(400),
        "train/dogs/truncated.jpg": damaged[: len(damaged) // 2],
        "train/dogs/nothing.jpg": b"",
        "train/dogs/named-png.png": as_bytes(photograph(93), "JPEG", quality=92),
        "train/dogs/phone.heic": b"\0\0\0\x18ftypheic" + bytes(40),
        "train/dogs/turned.jpg": as_bytes(photograph(94), "JPEG", exif=turned),
        "train/cats/tall.png": as_bytes(tall, "PNG"),
        "train/cats/notes.txt": b"hello",
    }
    for place, content in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_bytes(content)
    (root / "train/birds").mkdir()
    return root


@pytest.fixture(scope="module")
def no_heif():
    """Act as if pillow-heif were not installed."""
    found = image_formats.importlib.util.find_spec
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            image_formats.importlib.util,
            "find_spec",
            lambda name, *more: None if name == "pillow_heif" else found(name, *more),
        )
        yield


@pytest.fixture
def check(latentkit, planted, no_heif):
    return latentkit("data", "check", planted, "--json", "--out", "check.html")


def names(group):
    return {one["name"] for one in group}


def test_every_planted_fault_is_found_and_named(check):
    found = json.loads(check.out)
    assert found["splits"] == {"train": 29, "validation": 0, "test": 9}
    assert set(found["unreadable"]) == {
        f"train/dogs/{name}" for name in ("noise.png", "truncated.jpg", "nothing.jpg")
    }
    assert "empty" in found["unreadable"]["train/dogs/nothing.jpg"]
    assert found["left_out"] == {".heic": 1, ".txt": 1}
    assert any("install pillow-heif" in note for note in found["notes"])
    assert any("1 empty folders: train/birds" in note for note in found["notes"])
    assert found["wrong_endings"] == {"train/dogs/named-png.png": "JPEG"}
    assert found["orientations"] == {"6": 1}
    assert {"height": 120, "width": 90, "images": 1} in found["sizes"]  # turned upright
    constant = {"train/dogs/constant.png", "train/dogs/constant-too.png"}
    assert names(found["constant"]) == constant
    assert names(found["near_black"]) == {"train/dogs/dark.png"}
    assert names(found["near_white"]) == {"train/dogs/light.png"}
    assert names(found["odd_aspects"]) == {"train/cats/tall.png"}


def test_copies_are_found_within_and_across_splits_and_classes(check):
    found = json.loads(check.out)
    equal = {frozenset(names(one["images"])): one["same_file"] for one in found["equal"]}
    assert equal == {
        frozenset({"train/cats/0.jpg", "train/cats/copy.jpg"}): True,
        frozenset({"train/cats/1.jpg", "train/dogs/copy-of-cat-1.jpg"}): True,
        frozenset({"train/cats/3.jpg", "test/cats/same.jpg"}): True,
        frozenset({"train/cats/without-loss.bmp", "train/cats/without-loss.png"}): False,
    }
    near = [names(one["images"]) for one in found["near_duplicates"]]
    assert {"train/cats/2.jpg", "train/cats/resaved.jpg"} in near
    assert {"train/cats/0.jpg", "train/cats/without-loss.bmp"} in near
    assert len(near) == 2
    assert names(found["test_images_in_training"]) == {"test/cats/same.jpg"}
    (conflict,) = found["label_conflicts"]
    assert names(conflict) == {"train/cats/1.jpg", "train/dogs/copy-of-cat-1.jpg"}


def test_the_page_has_the_pictures_and_loads_nothing(check):
    page = Path("check.html").read_text(encoding="utf-8")
    assert page.count("data:image/png") >= 6
    for title in ("The same picture in several classes", "Aspect ratios", "Images without content"):
        assert title in page
    assert "train/dogs/truncated.jpg" in page
    assert 'src="http' not in page


def test_a_readable_summary_is_printed_without_json(latentkit, tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 24, 24), np.uint8)
    images[18] = images[3]
    images[4] = images[5] = 7
    np.savez(tmp_path / "mine.npz", x_train=images[:15], x_test=images[15:])
    ended = latentkit("data", "check", tmp_path / "mine.npz")
    rows = dict(line.rsplit("  ", 1) for line in ended.out.splitlines())
    found = {name.strip(): text.strip() for name, text in rows.items()}
    assert found["Test images that are also in training"] == "1 of 5"
    assert found["Constant images"] == "2"
    assert found["Groups of equal images"] == "1, 0 of equal files"


def test_a_source_that_does_not_exist_is_one_line(latentkit):
    ended = latentkit("data", "check", "no-such-thing")
    assert ended.code == 2
    assert "there is no folder or file 'no-such-thing', and no dataset of that name" in ended.error
    assert "(did you mean 'digits'?)" in latentkit("data", "check", "digit").error
