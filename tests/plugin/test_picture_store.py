"""Pictures of a library become images of one form, once and in bounded memory."""

import io
import threading

import numpy as np
import pytest
from PIL import Image

from latentkit.errors import DataError
from latentkit.plugin import ImageReading, Picture, picture_store, stored_pictures

READING = ImageReading(size=(8, 8))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Return a function that stores pictures, and counts how often they were read."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))
    reads = []

    def get(pictures, reading=READING, n=None):
        def read():
            reads.append(1)
            yield from pictures

        n = len(pictures) if n is None else n
        return stored_pictures(read, n, reading, {}, path=tmp_path, source="some pictures")

    return get, reads


def grey(shade, size=(8, 8)):
    return Image.new("L", size, shade)


def png(shade):
    file = io.BytesIO()
    grey(shade).save(file, "PNG")
    return file.getvalue()


def test_pictures_are_decoded_once(store):
    get, reads = store
    pictures = [grey(shade) for shade in range(200)]
    first = get(pictures)
    assert first.images[:, 0, 0, 0].tolist() == [*range(200)]
    reads.clear()
    assert get(pictures).sha256 == first.sha256
    assert reads == []


@pytest.mark.parametrize("cpus", [1, 3])
def test_encoded_pictures_are_decoded_by_all_processors_in_their_order(store, monkeypatch, cpus):
    get, _ = store
    monkeypatch.setattr(picture_store, "usable_cpus", lambda: cpus)
    names = set()
    read = ImageReading.read_picture

    def seen(reading, picture):
        names.add(threading.current_thread().name)
        return read(reading, picture)

    monkeypatch.setattr(ImageReading, "read_picture", seen)
    found = get([png(shade) for shade in range(200)])
    assert found.images[:, 0, 0, 0].tolist() == [*range(200)]
    assert (threading.current_thread().name in names) == (cpus == 1)


def test_an_object_that_a_library_uses_again_is_read_before_it_changes(store):
    get, _ = store

    class Again:
        def __len__(self):
            return 50

        def __iter__(self):
            picture = grey(0)
            for shade in range(50):
                picture.paste(shade, (0, 0, 8, 8))
                yield png(shade) if shade % 7 == 0 else picture

    assert get(Again()).images[:, 0, 0, 0].tolist() == [*range(50)]


def test_late_colours_and_late_depth_widen_all_images(store):
    get, _ = store
    deep = Picture(np.full((8, 8, 1), 1000, np.uint16), (8, 8), bits=16)
    found = get([*[grey(3)] * 150, Image.new("RGB", (8, 8), (1, 2, 3)), *[grey(4)] * 20, deep])
    assert found.images.dtype == np.uint16
    assert found.images[0, :, 0, 0].tolist() == [3 * 257] * 3
    assert found.images[150, :, 0, 0].tolist() == [257, 514, 771]
    assert found.images[-1, :, 0, 0].tolist() == [1000] * 3


def test_the_range_of_all_pictures_is_found_and_said(store):
    get, _ = store
    values = [np.full((8, 8, 1), value, np.float32) for value in (-5, 0, 15)]
    reading = ImageReading(size=(8, 8), value_range="data", depth=8)
    found = get([Picture(one, (8, 8), bits=32) for one in values], reading)
    assert found.images[:, 0, 0, 0].tolist() == [0, 64, 255]
    assert any("-5 is black and 15 is white" in fact for fact in found.facts)


def test_wrong_pictures_are_refused_by_their_number(store):
    get, _ = store
    with pytest.raises(DataError, match="some pictures: image 1 cannot be read"):
        get([grey(1), b"no image"])
    with pytest.raises(DataError, match="some pictures has 2 images, and says 3"):
        get([grey(1), grey(2)], n=3)
    with pytest.raises(DataError, match=r"2 sizes \(1 of 8x8, 1 of 9x8; .*image 1 differs"):
        get([grey(1), grey(1, (8, 9))], ImageReading(fit="none"))
