import numpy as np
import pytest
import torch

from latentkit.data.batches import (
    CorruptionChain,
    DeviceImages,
    LabelledImages,
    epoch_order,
    full_batches,
    noise_generator,
)
from latentkit.errors import PluginError

CPU = torch.device("cpu")


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 3, 8, 9), dtype=np.uint8)


def test_a_batch_is_float_between_0_and_1_in_the_requested_order(images):
    batch = DeviceImages(images, CPU).batch(torch.tensor([3, 0]))
    assert batch.dtype == torch.float32
    assert batch.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(batch, torch.from_numpy(images[[3, 0]]).float() / 255)


def test_read_only_arrays_are_accepted(images):
    images.setflags(write=False)
    assert len(DeviceImages(images, CPU)) == 7


def test_batches_in_order_give_every_image_once(images):
    parts = list(DeviceImages(images, CPU).in_order(3))
    assert [len(part) for part in parts] == [3, 3, 1]
    assert torch.equal(torch.cat(parts), torch.from_numpy(images).float() / 255)


@pytest.mark.parametrize("rows", [None, np.array([4, 1])])
@pytest.mark.parametrize("on_disk", [False, True])
def test_stored_rows_are_the_unchanged_images(images, rows, on_disk, tmp_path):
    stored = images
    if on_disk:
        stored = np.memmap(tmp_path / "images", np.uint8, "w+", shape=images.shape)
        stored[:] = images
    found = DeviceImages(stored, CPU, rows)
    assert found.values_of_image == 3 * 8 * 9
    expected = images if rows is None else images[rows]
    assert found.stored_rows().dtype == np.uint8
    assert np.array_equal(found.stored_rows(), expected.reshape(len(expected), -1))


def test_the_order_depends_only_on_seed_and_epoch():
    first = epoch_order(100, seed=0, epoch=1, device=CPU)
    assert torch.equal(first, epoch_order(100, seed=0, epoch=1, device=CPU))
    assert torch.equal(first.sort().values, torch.arange(100))
    assert not torch.equal(first, epoch_order(100, seed=0, epoch=2, device=CPU))
    assert not torch.equal(first, epoch_order(100, seed=1, epoch=1, device=CPU))


@pytest.mark.parametrize(
    ("n", "size", "lengths"), [(7, 3, [3, 3]), (8, 3, [3, 3, 2]), (1, 3, [1]), (2, 5, [2])]
)
def test_a_last_batch_of_one_image_is_dropped_if_there_are_others(n, size, lengths):
    assert [len(batch) for batch in full_batches(torch.arange(n), size)] == lengths


def test_corruptions_are_applied_in_order():
    chain = CorruptionChain([("a", lambda x, g: x + 1), ("b", lambda x, g: x * 2)])
    assert chain(torch.zeros(1), noise_generator(CPU, 0, "t")).item() == 2
    assert chain
    assert not CorruptionChain()


def test_a_corruption_that_changes_the_shape_is_named():
    chain = CorruptionChain([("crop", lambda x, g: x[..., :2])])
    with pytest.raises(PluginError, match="'crop' turned images"):
        chain(torch.zeros(1, 1, 4, 4), noise_generator(CPU, 0, "t"))


@pytest.mark.parametrize("rows", [None, np.array([1, 2, 4, 5])])
def test_a_subset_has_the_images_and_labels_at_its_positions(images, rows):
    labels, chosen = np.arange(len(images)), np.array([0, 3])
    own = chosen if rows is None else rows[chosen]
    few = LabelledImages(images, labels, CPU, rows).subset(chosen)
    assert len(few) == 2
    (index,) = few.indices()
    batch = few.batch(index)
    assert np.array_equal(np.rint(batch.numpy() * 255), images[own])
    assert few.targets(index, batch).tolist() == own.tolist()


def test_batches_of_large_images_are_smaller(images, monkeypatch):
    monkeypatch.setattr("latentkit.data.batches._BATCH_VALUES", 2 * images[0].size)
    batches = list(DeviceImages(images, CPU).in_order())
    assert [len(batch) for batch in batches[:2]] == [2, 2]
    assert sum(map(len, batches)) == len(images)
