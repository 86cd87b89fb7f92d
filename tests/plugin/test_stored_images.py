"""Images are decoded once, and again only where a file has changed."""

import json
import math
import os
import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentkit.errors import DataError, UserError
from latentkit.plugin import ImageFile, ImageReading, decoding, image_cache, read_images
from latentkit.plugin import stored_images as module
from latentkit.plugin.downloads import read_unchanged, stat_of
from latentkit.plugin.image_cache import decoding_progress
from latentkit.plugin.row_store import stored_rows

SIDE = 6


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The folder of the cache."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def paths(tmp_path):
    """Files of single shades, 0, 1, 2, ..., more than there are in a block."""
    (tmp_path / "files").mkdir()
    found = [tmp_path / "files" / f"{shade:03}.bmp" for shade in range(140)]
    for shade, path in enumerate(found):
        draw(path, shade)
    return found


def draw(path: Path, shade: int | tuple[int, ...], mode: str = "L") -> None:
    """Write a file of one shade; all of a mode have the same size."""
    Image.new(mode, (SIDE, SIDE), shade).save(path)


@dataclass(frozen=True)
class Decoder(ImageReading):
    """Reads files of this size, and remembers which."""

    size: tuple[int, int] = (SIDE, SIDE)
    fit: str = "none"
    decoded: list[str] = field(default_factory=list)

    def read(self, file):
        self.decoded.append(file.path.name)
        return super().read(file)


@pytest.fixture(autouse=True)
def _same_settings(monkeypatch):
    """Let what a decoder remembers not decide which set it is."""
    monkeypatch.setattr(module, "asdict", lambda reading: {"size": reading.size})


def store(paths, reading=None, **how):
    """Return the images of files, with small values of all arguments."""
    files = [ImageFile(path) for path in paths]
    return read_images(files, reading or Decoder(), source="files", **how)


def shades(stored):
    """Return the shade of each image."""
    pixels = stored.pixels if hasattr(stored, "pixels") else stored.images
    return pixels[:, 0, 0, 0].tolist()


def test_images_are_in_the_order_of_the_files_and_on_the_disk(paths):
    stored = store(paths)
    assert stored.pixels.shape == (140, 1, SIDE, SIDE)
    assert isinstance(stored.pixels, np.memmap)
    assert shades(stored) == list(range(140))
    assert stored.kept.tolist() == list(range(140))


def test_nothing_is_decoded_twice(paths):
    first = store(paths)
    decode = Decoder()
    again = store(paths, decode)
    assert decode.decoded == []
    assert again.pixels_sha256 == first.pixels_sha256
    assert shades(again) == shades(first)


def test_only_the_block_of_a_changed_file_is_decoded_again(paths):
    before = store(paths)
    draw(paths[135], 255)
    decode = Decoder()
    after = store(paths, decode)
    sampled = 16  # to learn the form of the images
    assert decode.decoded[sampled:] == [path.name for path in paths[128:]]
    assert shades(after)[135] == 255
    assert after.pixels_sha256 != before.pixels_sha256
    assert shades(before)[135] == 135  # who has opened the old images keeps them


def test_a_changed_file_is_noticed_although_its_size_and_date_are_the_same(paths):
    store(paths)
    found = paths[0].stat()
    draw(paths[0], 77)
    os.utime(paths[0], ns=(found.st_atime_ns, found.st_mtime_ns))
    assert paths[0].stat().st_size == found.st_size
    assert shades(store(paths))[0] == 77


def test_files_that_are_added_or_removed_are_noticed(paths):
    whole = store(paths)
    assert shades(store(paths[1:])) == list(range(1, 140))
    assert store(paths).pixels_sha256 == whole.pixels_sha256


def test_the_hash_depends_on_the_pixels_and_not_on_the_place(paths, tmp_path):
    here = store(paths)
    (tmp_path / "files").rename(tmp_path / "moved")
    moved = [tmp_path / "moved" / path.name for path in paths]
    assert store(moved)[2:] == here[2:]


@pytest.mark.parametrize("position", [0, 3, 139])
def test_one_colour_file_makes_all_images_colour(paths, position):
    draw(paths[position], (10, 20, 30), "RGB")
    stored = store(paths)
    assert stored.pixels.shape == (140, 3, SIDE, SIDE)
    assert stored.pixels[position, :, 0, 0].tolist() == [10, 20, 30]
    assert stored.pixels[5, :, 0, 0].tolist() == [5, 5, 5]


def test_one_file_of_sixteen_bits_makes_all_images_sixteen_bits(paths):
    Image.fromarray(np.full((SIDE, SIDE), 40_000, np.uint16)).save(paths[3], format="PNG")
    stored = store(paths)
    assert stored.pixels.dtype == np.uint16
    assert shades(stored)[3] == 40_000
    assert shades(stored)[5] == 5 * 257  # white is 65,535, as it was 255


def test_files_that_do_not_fit_together_are_named(paths):
    Image.new("L", (9, 9)).save(paths[100])
    with pytest.raises(DataError, match=r"127 of 6x6, 1 of 9x9.*100\.bmp differs"):
        store(paths)


def test_unreadable_files_are_refused_by_name_and_the_rest_is_kept(paths):
    paths[130].write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 140 images cannot be read: .*130\.bmp"):
        store(paths)
    draw(paths[130], 130)
    decode = Decoder()
    assert shades(store(paths, decode)) == list(range(140))
    assert set(decode.decoded) == {path.name for path in paths[128:]}


def test_unreadable_files_are_skipped_if_asked(paths):
    for position in (0, 64, 139):
        paths[position].write_bytes(b"no image")
    for _ in range(2):
        stored = store(paths, skip=True)
        kept = [row for row in range(140) if row not in (0, 64, 139)]
        assert shades(stored) == stored.kept.tolist() == kept
        assert "3 of 140 images cannot be read" in stored.notes[0]
        assert all(name in stored.notes[0] for name in ("000.bmp", "064.bmp", "139.bmp"))
    with pytest.raises(DataError, match="3 of 140"):
        store(paths)


def test_no_readable_file_is_an_error_even_if_unreadable_ones_are_skipped(paths):
    for path in paths:
        path.write_bytes(b"")
    with pytest.raises(DataError, match="140 of 140 images cannot be read"):
        store(paths, skip=True)


@dataclass(frozen=True)
class Interrupting(Decoder):
    """Is interrupted after some files, as by a signal."""

    after: int = 0

    def read(self, file):
        if len(self.decoded) == self.after:
            raise KeyboardInterrupt
        return super().read(file)


def test_what_an_interrupted_process_has_decoded_is_kept(paths):
    with pytest.raises(KeyboardInterrupt):
        store(paths, Interrupting(after=16 + 130))
    decode = Decoder()
    assert shades(store(paths, decode)) == list(range(140))
    assert decode.decoded == [path.name for path in paths[128:]]


@pytest.mark.parametrize("tear", [b"", b"{", b"\xff\xfe"])
def test_a_torn_journal_costs_only_what_it_lost(paths, cache, tear):
    with pytest.raises(KeyboardInterrupt):
        store(paths, Interrupting(after=16 + 130))
    (journal,) = cache.glob("*.building/journal.jsonl")
    journal.write_bytes(journal.read_bytes()[:-5] + tear)
    assert shades(store(paths)) == list(range(140))


@pytest.mark.parametrize("name", ["images.bin", "index.json", "files.npz"])
@pytest.mark.parametrize("damage", ["flip", "cut", "delete"])
def test_a_damaged_set_is_made_again(paths, cache, name, damage):
    expected = store(paths).pixels_sha256
    (file,) = cache.glob(f"*/{name}")
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content if damage == "flip" else content[:-1])
    if damage == "delete":
        file.unlink()
    again = store(paths)
    assert shades(again) == list(range(140))
    assert again.pixels_sha256 == expected


def test_without_a_place_on_the_disk_images_are_decoded_into_memory(paths, cache):
    cache.write_text("a file, not a folder")
    paths[7].write_bytes(b"no image")
    stored = store(paths, skip=True)
    assert shades(stored) == [row for row in range(140) if row != 7]
    assert "each command decodes them again" in stored.notes[-1]
    cache.unlink()
    assert store(paths, skip=True)[2:4] == stored[2:4]


def test_a_file_that_changes_while_it_is_read_is_read_again(paths):
    class Changing(Decoder):
        def read(self, file):
            image = super().read(file)
            if file.path == paths[130] and self.decoded.count(file.path.name) < 2:
                draw(file.path, 200)
            return image

    assert shades(store(paths, Changing()))[130] == 200


def test_a_file_that_always_changes_is_refused(paths):
    class Changing(Decoder):
        def read(self, file):
            image = super().read(file)
            if file.path == paths[130]:
                draw(file.path, len(self.decoded))
            return image

    with pytest.raises(DataError, match="change while they are read"):
        store(paths, Changing())


@pytest.mark.parametrize("seconds", ["_FOR_THREADS", "_FOR_PROCESSES"])
def test_many_files_are_decoded_by_all_processors(tmp_path, monkeypatch, seconds):
    monkeypatch.setattr(decoding, seconds, 0)
    monkeypatch.setattr(decoding, "_SLOW", 0 if seconds == "_FOR_THREADS" else math.inf)
    names = [tmp_path / f"{number:03}.png" for number in range(300)]
    for number, path in enumerate(names):
        draw(path, number % 256)
    told = []
    with decoding_progress(lambda done, total: told.append((done, total))):
        stored = store(names, ImageReading(size=(SIDE, SIDE)))
    assert shades(stored) == [number % 256 for number in range(300)]
    assert told[-1] == (300, 300)


def test_sets_that_were_used_longest_ago_are_deleted_first(paths, cache):
    for source in "abc":
        read_images([ImageFile(path) for path in paths], Decoder(), source=source)
    for age, one in enumerate(sorted(image_cache.cached_sets(), key=lambda one: one.source)):
        os.utime(cache / one.key, (age, age))
    sizes = [one.bytes for one in image_cache.cached_sets()]
    deleted = image_cache.prune(sum(sizes[:2]))
    assert [one.source for one in deleted] == ["a"]
    assert [one.source for one in image_cache.cached_sets()] == ["c", "b"]
    assert {one.count for one in image_cache.cached_sets()} == {140}


def test_the_cache_stays_within_its_limit(paths, monkeypatch):
    monkeypatch.setenv("LATENTKIT_CACHE_LIMIT", "0")
    for source in "ab":
        read_images([ImageFile(path) for path in paths], Decoder(), source=source)
    assert [one.source for one in image_cache.cached_sets()] == ["b"]


@pytest.mark.parametrize("text", ["many", "-1", "nan"])
def test_a_limit_that_is_no_number_is_refused(paths, monkeypatch, text):
    monkeypatch.setenv("LATENTKIT_CACHE_LIMIT", text)
    with pytest.raises(UserError, match="expected a number of gigabytes"):
        store(paths)


def test_a_set_of_another_version_is_made_again(paths, cache):
    store(paths)
    (index,) = cache.glob("*/index.json")
    index.write_text(json.dumps({"schema": 99}))
    assert shades(store(paths)) == list(range(140))


def test_a_file_that_is_written_while_it_is_read_is_read_again(tmp_path, monkeypatch):
    path, read, grows = tmp_path / "file", os.read, [b"2", b"3"]
    path.write_bytes(b"1")

    def reading(handle, size):
        content = read(handle, size)
        if grows:
            path.write_bytes(path.read_bytes() + grows.pop(0))
        return content

    monkeypatch.setattr(os, "read", reading)
    assert read_unchanged(path) == (b"123", stat_of(path))
    grows += [b"4"] * 9
    with pytest.raises(DataError, match="it changes while it is read"):
        read_unchanged(path)


def test_a_missing_file_has_no_size():
    assert stat_of("no such file") == (0, 0, 0)


@pytest.fixture
def array_file(tmp_path):
    """A large array in a file, and a function that returns rows of it from the cache."""
    path = tmp_path / "images.npy"
    reads = []

    def write(shift):
        np.save(path, (np.arange(300)[:, None, None, None] + shift).astype(np.uint8))

    def chosen(rows):
        def read(some):
            reads.append(len(some))
            return np.load(path)[some]

        return stored_rows(path, np.array(rows), read, {}, source="array")

    write(0)
    return write, chosen, reads


def test_rows_of_an_array_are_copied_once(array_file):
    write, chosen, reads = array_file
    rows = list(range(1, 300, 2))
    first = chosen(rows)
    assert isinstance(first.images, np.memmap)
    assert shades(first) == [row % 256 for row in rows]
    reads.clear()
    assert chosen(rows).sha256 == first.sha256
    assert reads == []
    assert shades(chosen([5, 3])) == [5, 3]
    write(1)
    assert shades(chosen(rows)) == [(row + 1) % 256 for row in rows]


def test_rows_are_copied_again_if_the_copy_is_damaged(array_file, cache):
    _, chosen, _ = array_file
    chosen([1, 2, 3])
    (pixels,) = cache.glob("*/images.bin")
    pixels.write_bytes(b"\x00\x00\x00")
    assert shades(chosen([1, 2, 3])) == [1, 2, 3]


def test_rows_are_read_into_memory_if_they_cannot_be_kept(array_file, cache):
    _, chosen, _ = array_file
    kept = chosen([1, 2, 3]).sha256
    shutil.rmtree(cache)
    cache.write_text("a file, not a folder")
    found = chosen([1, 2, 3])
    assert shades(found) == [1, 2, 3]
    assert found.sha256 == kept
    assert "cannot be kept" in found.note


def test_the_range_of_all_files_is_kept_with_the_images(paths):
    reading = ImageReading(size=(SIDE, SIDE), value_range="data")
    first = store(paths, reading)
    assert shades(first)[::139] == [0, 255]
    again = store(paths, reading)
    assert again.notes == first.notes
    assert any("139 is white" in note for note in again.notes)
    draw(paths[5], 200)
    assert shades(store(paths, reading))[139] < 255
