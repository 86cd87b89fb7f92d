"""Each check of data sets finds the fault that it looks for."""

from __future__ import annotations

import pytest

IMAGES = """
    import numpy as np

    from latentkit.plugin import ImageData

    def build(options, split, cache):
        generator = np.random.default_rng(len(split))
        images = generator.integers(0, 256, (20, 1, 9, 8), dtype=np.uint8)
        labels = generator.integers(0, 2, 20)
        return ImageData(images=images, labels=labels, class_names=("a", "b"))
"""
FAULTS = {
    "no image data": ("return ImageData(images=images", "return dict(images=images",
                      "check_splits_are_image_data"),
    "a label without a name": ("integers(0, 2, 20)", "integers(0, 3, 20)",
                               "check_splits_are_image_data"),
    "images too small for any model": ("9, 8)", "9, 7)", "check_splits_are_image_data"),
    "splits of two shapes": ("9, 8)", "9, 8 + len(split) % 2)", "check_splits_belong_together"),
    "splits of other classes": ('"a", "b")', '"a", split)', "check_splits_belong_together"),
    "labels in one split only": (
        "labels=labels", "labels=labels if split == 'train' else None",
        "check_splits_belong_together",
    ),
    "a test split that is the training split": ("len(split)", "0", "check_test_images_are_others"),
    "images of no seed": ("default_rng(len(split))", "default_rng()",
                          "check_images_are_repeatable"),
    "images of the global state": ("np.random.default_rng(len(split))", "np.random",
                                   "check_images_are_repeatable"),
}  # fmt: skip


def test_a_good_data_set_passes(faults_of):
    assert faults_of("dataset", IMAGES) == {}


def test_a_data_set_without_labels_passes(faults_of):
    code = IMAGES.replace('labels=labels, class_names=("a", "b")', "")
    assert faults_of("dataset", code) == {}


@pytest.mark.parametrize("fault", FAULTS)
def test_the_fault_is_found(fault, faults_of):
    old, new, check = FAULTS[fault]
    code = IMAGES.replace(old, new)
    if new == "np.random":
        code = code.replace("generator.integers(0, 256", "generator.randint(0, 256")
        code = code.replace("generator.integers(0, 2", "generator.randint(0, 2")
    assert code != IMAGES
    assert check in faults_of("dataset", code)
