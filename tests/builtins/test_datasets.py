import sys

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import BrokenEnvironmentError


def test_digits_have_1437_training_and_360_test_images_without_overlap():
    train, test = lk.dataset("digits", "train"), lk.dataset("digits", "test")
    assert train.images.shape == (1437, 1, 8, 8)
    assert test.images.shape == (360, 1, 8, 8)
    assert train.images.max() == 255
    counts = np.bincount(test.labels)
    assert counts.min() >= 34
    assert counts.max() <= 37


def test_digits_do_not_need_torchvision(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    assert len(lk.dataset("digits", "test")) == 360


def test_fashion_mnist_has_70000_images_in_10_equal_classes(fashion_mnist_dir):
    train = lk.dataset("fashion-mnist", "train", data=fashion_mnist_dir)
    test = lk.dataset("fashion-mnist", "test", data=fashion_mnist_dir)
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert (np.bincount(train.labels) == 6000).all()
    assert (np.bincount(test.labels) == 1000).all()
    assert test.class_names[test.labels[0]] == "Ankle boot"


def test_an_incompatible_torchvision_is_reported(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(BrokenEnvironmentError, match=r"torchvision cannot be imported with torch"):
        lk.dataset("fashion-mnist", data=tmp_path)


def test_a_limit_on_training_images_takes_the_first_rows(fashion_mnist_dir):
    chosen = {"data": fashion_mnist_dir, "n_train": 100}
    few = lk.dataset("fashion-mnist", "train", **chosen)
    everything = lk.dataset("fashion-mnist", "train", data=fashion_mnist_dir)
    assert len(few) == 100
    assert np.array_equal(few.images, everything.images[:100])
    assert np.array_equal(few.labels, everything.labels[:100])
    assert few.checksum == everything.checksum
    assert few.digest() != everything.digest()
    assert len(lk.dataset("fashion-mnist", "test", **chosen)) == 10_000
