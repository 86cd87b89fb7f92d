"""Arrays and labels as people have them: taken by a stated rule, or refused in one line."""

import re

import numpy as np
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

import latentkit as lk
from latentkit.data.batches import DeviceImages
from latentkit.errors import DataError, LatentkitError
from latentkit.maps.vector_maps import Vectors, as_vectors
from latentkit.plugin import ImageData, class_codes, to_uint8

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
GREY = IMAGES[:, :1]


def masked(values, some):
    found = np.ma.masked_array(values, mask=False)
    found[0] = np.ma.masked if some else found[0]
    return found


FORMS = {
    "mirrored": IMAGES[..., ::-1],
    "BGR": IMAGES[:, ::-1],
    "last first": IMAGES[::-1],
    "Fortran": np.asfortranarray(IMAGES),
    "every second": np.repeat(IMAGES, 2, axis=3)[..., ::2],
    "read-only": np.frombuffer(IMAGES.tobytes(), np.uint8).reshape(IMAGES.shape),
    "not masked": masked(IMAGES, some=False),
    "tensor": torch.from_numpy(IMAGES),
}


@pytest.mark.parametrize("form", FORMS)
def test_images_in_any_layout_of_memory_reach_the_device_unchanged(form):
    data = ImageData(FORMS[form])
    expected = torch.tensor(np.array(FORMS[form])).float() / 255
    assert torch.equal(
        DeviceImages(data.images, torch.device("cpu")).batch(torch.arange(6)), expected
    )
    torch.from_numpy(np.require(data.images, requirements="W"))
    assert (to_uint8(FORMS[form]) == np.array(FORMS[form])).all()


@pytest.mark.parametrize("flip", [False, True])
def test_images_in_a_read_only_file_are_streamed_or_copied(tmp_path, flip):
    stored = np.memmap(tmp_path / "x", np.uint8, "w+", shape=IMAGES.shape)
    stored[:] = IMAGES
    stored.flush()
    mapped = np.memmap(tmp_path / "x", np.uint8, "r", shape=IMAGES.shape)
    mapped = mapped[..., ::-1] if flip else mapped
    found = DeviceImages(ImageData(mapped).images, torch.device("cpu"))
    assert torch.equal(found.batch(torch.arange(6)), torch.tensor(np.array(mapped)).float() / 255)
    assert found.placement == ("in memory" if flip else "streamed from disk")


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GREY / 255, GREY),
        ((GREY / 255).astype(np.float16), GREY),
        ((GREY / 255).astype(">f8"), GREY),
        (torch.from_numpy(GREY / 255).requires_grad_(), GREY),
        (torch.from_numpy(GREY // 255 * 1.0).to(torch.bfloat16), GREY // 255 * 255),
        ((GREY / 255).tolist(), GREY),
        (GREY > 127, (GREY > 127) * 255),
        (GREY[:, 0], GREY),
        (np.moveaxis(GREY, 1, 3), GREY),
    ],
)
def test_images_of_other_types_become_bytes_by_the_stated_rule(values, expected):
    found = to_uint8(values)
    assert found.dtype == np.uint8
    assert (found == expected).all()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (GREY.astype(np.uint16) * 16, r"uint16, expected uint8.*from \d+ to 4080: divide them by"),
        (GREY.astype(np.int64), r"int64, expected uint8.*from 0 to 255: divide them by 255 if"),
        (GREY.astype(np.int8), r"int8, expected uint8.*from -128 to 127: divide"),
        (GREY.astype(np.float64), "expected [0, 1]: divide by 255?"),
        (GREY.astype(complex), "complex128, expected uint8"),
        (GREY.astype(str), "expected uint8"),
        (GREY.astype(object), "object, expected uint8"),
        (np.where(GREY[3, 0, 0, 0] == GREY, np.inf, 0.5), "holds NaN or infinity"),
        (masked(GREY, some=True), "64 values are masked: replace them"),
        (np.uint8(3), "images have shape ()"),
        (np.zeros((0, 8, 8), np.uint8), "there are no images: the array has shape (0, 8, 8)"),
        (np.zeros((5, 0, 8), np.uint8), "there are no images: the array has shape (5, 0, 8)"),
        ([[1, 2], [3]], "a list that is not an array"),
        (None, "images have shape ()"),
        (torch.eye(3).to_sparse(), "a Tensor that is not an array"),
    ],
)
def test_images_that_could_be_meant_in_two_ways_are_refused(values, message):
    pattern = message if message.endswith(("by", "if", "divide")) else re.escape(message)
    with pytest.raises(ValueError, match=pattern) as said:
        to_uint8(values)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    ("labels", "codes", "names"),
    [
        ([2, 0, 2], [2, 0, 2], "0 1 2"),
        (np.array([2, 0, 2], np.uint8), [2, 0, 2], "0 1 2"),
        (np.array([2, 0, 2], ">i2")[::-1], [2, 0, 2], "0 1 2"),
        (np.array([[2], [0], [2]]), [2, 0, 2], "0 1 2"),
        ([2.0, 0.0, 2.0], [2, 0, 2], "0 1 2"),
        (torch.tensor([2.0, 0, 2], requires_grad=True), [2, 0, 2], "0 1 2"),
        ([-1, 7, -1], [0, 1, 0], "-1 7"),
        ([2**40, 7, 7], [1, 0, 0], f"7 {2**40}"),
        (np.array([2**64 - 1, 7, 7], np.uint64), [1, 0, 0], f"7 {2**64 - 1}"),
        (["dog", "cat", "dog"], [1, 0, 1], "cat dog"),
        ([b"dog", "katze à".encode()[:5], b"dog"], [0, 1, 0], "dog katze"),
        (np.array(["dog", "cat", "dog"], object), [1, 0, 1], "cat dog"),
        (np.array([2, 0, 2], object), [2, 0, 2], "0 1 2"),
        ([True, False, True], [1, 0, 1], "False True"),
        ([[0, 0, 1], [1, 0, 0], [0, 0, 1]], [2, 0, 2], "0 1 2"),
        ([[0.0, 1.0], [1.0, 0.0], [0.0, 1.0]], [1, 0, 1], "0 1"),
    ],
)
def test_labels_of_any_form_become_codes_and_names(labels, codes, names):
    found, named = class_codes(labels, 3)
    assert (found.tolist(), found.dtype, named) == (codes, np.int64, tuple(names.split()))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0.5, 1, 2], "label 0 is 0.5, which is not a class"),
        ([1, float("nan"), 2], "label 1 is nan, which is not a class"),
        ([1, 2, float("inf")], "label 2 is inf"),
        (["cat", None, "dog"], "labels are NoneType, str: make them all text"),
        (["cat", float("nan"), "cat"], "labels"),
        ([1, 2], "labels (2,) for 3 images: give one label per image"),
        ([[1, 2, 3]], "labels (1, 3) for 3 images"),
        ([[1, 1], [0, 1], [1, 0]], "are not one-hot"),
        ([[0.2, 0.8], [0.5, 0.5], [1, 0]], "are not one-hot"),
        (np.array(["2020-01-01"] * 3, "M8[D]"), "datetime64[D]: make them"),
        ([2**70, 1, 2], "more than 64 bits"),
        ([b"\xff", b"a", b"b"], "utf-8"),
        (masked(np.arange(3), some=True), "1 values are masked"),
        (5, "labels () for 3 images"),
    ],
)
def test_labels_that_are_no_classes_are_refused(labels, message):
    labels = np.array(labels, object) if message == "labels" else labels
    with pytest.raises(ValueError, match=re.escape(message)) as said:
        class_codes(labels, 3)
    assert "\n" not in str(said.value)


def test_image_data_takes_integer_labels_of_any_type_and_finite_factors():
    labels = np.array([[1], [0], [1], [0], [1], [1]], ">u2")
    factors = np.arange(6, dtype=np.float32)[::-1, None]
    data = ImageData(IMAGES, labels, ["a", "b"], factors, ["x"])
    assert (data.labels.dtype, data.labels.tolist()) == (np.int64, [1, 0, 1, 0, 1, 1])
    assert data.factors.dtype == np.float64
    with pytest.raises(ValueError, match="factors hold NaN"):
        ImageData(IMAGES, factors=np.full((6, 1), np.nan), factor_names=("x",))
    with pytest.raises(ValueError, match="must be a list of names, not the text 'ab'"):
        ImageData(IMAGES, labels, "ab")
    with pytest.raises(ValueError, match=r"labels must be int64 \(6,\), not <U1"):
        ImageData(IMAGES, np.array(list("abcabc")), ("a", "b", "c"))


VECTORS = np.random.default_rng(1).normal(size=(6, 4))


@pytest.mark.parametrize(
    "values",
    [
        VECTORS[::-1],
        VECTORS.astype(">f4"),
        np.asfortranarray(VECTORS),
        VECTORS.tolist(),
        torch.from_numpy(VECTORS).requires_grad_(),
        (VECTORS * 100).astype(np.int16),
        VECTORS.astype(np.float16),
        VECTORS > 0,
    ],
)
def test_vectors_of_any_form_become_float32_in_order(values):
    found = as_vectors(values, "x")
    expected = np.array(values.detach() if isinstance(values, torch.Tensor) else values)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    assert np.allclose(found, expected)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (VECTORS * 1e300, "rows have values that are too large for float32"),
        ([[1, 2], [3]], "x: a list that is not an array"),
        (VECTORS.astype(object), r"x holds object \(6, 4\)"),
        (np.empty((6, 0)), r"x holds float64 \(6, 0\)"),
        (np.float64(3), r"x holds float64 \(\)"),
        (masked(VECTORS, some=True), "4 values are masked"),
        (None, "x holds object"),
    ],
)
def test_vectors_that_are_no_table_of_numbers_are_refused(values, message):
    with pytest.raises(DataError, match=message):
        as_vectors(values, "x")


def test_an_encoder_takes_tensors_and_bool_images():
    images = np.random.default_rng(0).integers(0, 256, (8, 9, 9), np.uint8)
    encoder = lk.LatentEncoder("dense-ae", latent_dim=2, epochs=1, device="cpu").fit(images)
    expected = encoder.transform(images)
    assert np.array_equal(encoder.transform(torch.from_numpy(images)), expected)
    assert encoder.transform(images[:, ::-1]).shape == (8, 2)
    assert np.array_equal(
        encoder.transform(images > 127), encoder.transform((images > 127).astype(float))
    )
    latents = torch.from_numpy(expected).requires_grad_()
    assert np.array_equal(encoder.inverse_transform(latents), encoder.inverse_transform(expected))
    with pytest.raises(ValueError, match=r"uint16, expected uint8.*divide"):
        encoder.transform(images.astype(np.uint16))
    with pytest.raises(ValueError, match=r"X: 81 values are masked"):
        encoder.transform(masked(images, some=True))


ANY = arrays.arrays(
    st.one_of(
        arrays.scalar_dtypes(), arrays.byte_string_dtypes(max_len=3), arrays.unicode_string_dtypes()
    ),
    arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
)


@given(ANY)
@example(np.array([[[0]]], "timedelta64[D]"))
@example(np.array([np.timedelta64(1, "D")], object))
def test_any_array_is_taken_or_refused_in_one_line(values):
    for take in (
        to_uint8,
        ImageData,
        lambda v: class_codes(v, 3),
        lambda v: as_vectors(v, "x"),
        lambda v: Vectors(np.zeros((len(v), 2), np.float32)).with_labels(v, "x") if v.ndim else 0,
    ):
        try:
            take(values)
        except (ValueError, LatentkitError) as error:
            assert "\n" not in str(error)  # noqa: PT017  # most arrays are refused


@pytest.mark.parametrize("order", "<>")
def test_text_with_characters_that_do_not_exist_is_refused(order):
    labels = np.array(["cat", "dog"], f"{order}U3")
    assert class_codes(labels, 2)[1] == ("cat", "dog")
    labels.view(f"{order}u4")[4] = 0x110000
    with pytest.raises(ValueError, match="characters that do not exist"):
        class_codes(labels, 2)
