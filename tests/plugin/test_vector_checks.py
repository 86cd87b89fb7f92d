"""The checks of vectors that an embedding uses: what they refuse, and what they return."""

import warnings

import numpy as np
import pytest

from latentkit.errors import UserError
from latentkit.plugin import check_map_size, checked_new_vectors, checked_vectors, finite_vectors

CANNOT = "vectors of {} cannot be mapped to 3"
MORE = "use more latent dimensions"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1.0], [1.0, 2.0]], "vectors are not an array of numbers: "),
        (np.zeros(4), r"vectors must be numbers \(N, D\), not float64 \(4,\)$"),
        (np.array([["a", "b"]]), r"vectors must be numbers \(N, D\), not <U1 \(1, 2\)$"),
        (np.ones((2, 2), complex), "vectors must be numbers .* not complex128"),
        ([[0, 1], [np.nan, 1]], "row 1 of the vectors holds NaN or infinity in float32$"),
        ([[1, np.inf], [-np.inf, 1]], r"row 0 of the .* in float32 \(2 such rows\)$"),
        ([[0, 1e300]], "row 0 of the vectors holds NaN or infinity in float32$"),
    ],
)
def test_what_is_not_finite_numbers_is_refused_with_its_row(given, message):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=f"^embedding 'mine': {message}"):
            finite_vectors(given, "mine")


def test_finite_vectors_whose_sum_is_not_finite_are_accepted():
    largest = np.full((3, 2), np.finfo(np.float64).max)
    assert finite_vectors(largest, "mine", np.float64) is largest


@pytest.mark.parametrize(
    ("given", "dtype", "expected"),
    [("f2", np.float64, "f8"), ("f8", np.float32, "f4"), ("f8", None, "f8"), ("i8", None, "f4")],
)
def test_vectors_get_the_asked_type_and_are_contiguous(given, dtype, expected):
    found = finite_vectors(np.arange(6).reshape(2, 3).T.astype(given), "mine", dtype)
    assert found.dtype == expected
    assert found.flags.c_contiguous
    assert found.tolist() == [[0, 3], [1, 4], [2, 5]]


@pytest.mark.parametrize(
    ("n", "d", "options", "message"),
    [
        (4, 9, {}, "needs 5 vectors or more and got 4: map more"),
        (4, 9, {"remedy": "lower mine.k"}, "needs 5 vectors or more and got 4: lower mine.k"),
        (5, 2, {}, f": {CANNOT.format('2 dimensions')}: lower mine.n_components to 2, or {MORE}"),
        (5, 1, {}, f": {CANNOT.format('1 dimension')}: {MORE}"),
    ],
)
def test_a_size_is_refused_alike_before_and_in_a_fit(n, d, options, message):
    vectors = np.random.default_rng(0).normal(size=(n, d))
    with pytest.raises(UserError) as before:
        check_map_size(n, d, "mine", n_components=3, least=5, **options)
    with pytest.raises(UserError) as during:
        checked_vectors(vectors, "mine", n_components=3, least=5, **options)
    assert str(before.value).removeprefix("embedding 'mine'").lstrip() == message
    assert str(during.value) == str(before.value)
    check_map_size(5, 3, "mine", n_components=3, least=5)


def test_equal_vectors_are_refused():
    with pytest.raises(UserError, match="embedding 'mine': all 1,000 vectors are equal, so there"):
        checked_vectors(np.ones((1000, 3)), "mine", n_components=2, least=1)


def test_new_vectors_must_have_the_dimensions_of_a_fit():
    with pytest.raises(UserError, match="embedding 'mine': fit it before transform is called"):
        checked_new_vectors(np.ones((2, 3)), "mine", None)
    with pytest.raises(UserError, match="new vectors have 3 dimensions, those of the fit had 4"):
        checked_new_vectors(np.ones((2, 3)), "mine", 4)
    assert checked_new_vectors(np.ones((0, 3)), "mine", 3).shape == (0, 3)
