import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentkit.data.batches import split_train_validation


@given(
    labels=st.lists(st.integers(0, 4), min_size=2, max_size=200),
    share=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**63 - 1),
)
def test_a_split_is_a_partition_and_each_class_is_within_one_image_of_its_share(
    labels, share, seed
):
    labels = np.array(labels)
    split = split_train_validation(len(labels), labels, share, seed)
    together = np.concatenate([split.train, split.validation])
    assert np.array_equal(np.sort(together), np.arange(len(labels)))
    assert len(split.train)
    assert len(split.validation)
    taken = len(split.validation) / len(labels)
    for label in np.unique(labels):
        count = (labels == label).sum()
        assert abs((labels[split.validation] == label).sum() - taken * count) <= 1


def test_the_reference_split_has_48000_and_12000_images_with_equal_classes():
    labels = np.repeat(np.arange(10), 6000)
    split = split_train_validation(60_000, labels, 0.2, seed=0)
    assert (len(split.train), len(split.validation)) == (48_000, 12_000)
    assert (np.bincount(labels[split.validation]) == 1200).all()


def test_the_seed_decides_the_split():
    same = [split_train_validation(100, None, 0.2, seed=1).validation for _ in range(2)]
    assert np.array_equal(same[0], same[1])
    other = split_train_validation(100, None, 0.2, seed=2).validation
    assert not np.array_equal(same[0], other)


def test_a_single_image_cannot_be_split():
    with pytest.raises(ValueError, match="at least two"):
        split_train_validation(1, None, 0.2, seed=0)
