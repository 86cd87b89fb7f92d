import numpy as np
import pytest

from latentkit.config import read_labels
from latentkit.errors import UserError
from latentkit.transfer.fit import check_classes, draw_labelled, label_text

LABELS = np.repeat([0, 1, 2], [100, 50, 10])


@pytest.mark.parametrize(
    ("text", "labels"),
    [("10%", 0.1), ("0.1", 0.1), (0.1, 0.1), ("100%", 1.0), ("500", 500), (1, 1), ("1", 1)],
)
def test_labels_are_a_share_or_a_number(text, labels):
    found = read_labels(text)
    assert (found, type(found)) == (labels, type(labels))


@pytest.mark.parametrize("text", ["0", "0%", "-1", "1.5", "120%", "many", "", True, None, "nan"])
def test_labels_that_are_neither_a_share_nor_a_number_are_refused(text):
    with pytest.raises(ValueError, match="should be a share such as 10%"):
        read_labels(text)


def test_a_share_has_images_of_each_class_and_contains_smaller_shares():
    few, more = (draw_labelled(LABELS, share, 0) for share in (0.01, 0.1))
    assert np.bincount(LABELS[few]).tolist() == [1, 1, 1]
    assert np.bincount(LABELS[more]).tolist() == [10, 5, 1]
    assert set(few) <= set(more)


@pytest.mark.parametrize("count", [3, 16, 32, 160])
def test_a_number_of_labels_is_met_exactly_and_in_proportion_to_the_classes(count):
    rows = draw_labelled(LABELS, count, 0)
    assert len(set(rows)) == count
    exact = np.array([100, 50, 10]) * count / 160
    assert np.abs(np.bincount(LABELS[rows], minlength=3) - exact).max() <= 1


def test_more_labels_than_images_are_refused():
    with pytest.raises(UserError, match=r"161 labels are asked for and there are 160"):
        draw_labelled(LABELS, 161, 0)


def test_a_class_without_labels_is_named():
    with pytest.raises(UserError, match=r"include none of class 'c': use more --labels"):
        check_classes(np.array([0, 1]), LABELS, ("a", "b", "c"), "mine")
    with pytest.raises(UserError, match=r"dataset 'mine' has one class only"):
        check_classes(np.array([0]), np.zeros(9, np.int64), ("a",), "mine")


def test_the_text_of_a_number_or_share_of_labels():
    assert [label_text(x) for x in (0.1, 0.005, 1.0, 500)] == ["10%", "0.5%", "100%", "500"]
