"""New images in every form that Python users have them in."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

import latentkit as lk
from latentkit.builtins.datasets.options import ImageFolderOptions
from latentkit.data import new_images
from latentkit.data.new_images import ImageForm, given_images, loss_notes
from latentkit.errors import DataError, PluginError, UserError
from latentkit.maps.placing import FittedMap
from latentkit.plugin import decoding

OPTIONS = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
DIGITS = lk.dataset("digits", "test")
EIGHT = DIGITS.images[:5]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run with a prior and a map, without a report."""
    from latentkit.runs.autoencoder_kind import AutoencoderKind

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AutoencoderKind, "_report", lambda kind, context, svg: None)
        out = tmp_path_factory.mktemp("runs")
        return lk.run(model="conv-vae", embed=["pca"], epochs=1, options=OPTIONS, out=out)


@pytest.fixture(scope="module")
def colour_run(tmp_path_factory):
    """Return a run on colour images of 8 x 12 pixels."""
    images = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 12), np.uint8)
    return run_on(images, tmp_path_factory.mktemp("colour"))


@pytest.fixture(scope="module")
def deep_run(tmp_path_factory):
    """Return a run on images of 16 bits with numbers from 100 to 4,000."""
    images = np.random.default_rng(0).integers(100, 4001, (40, 1, 8, 8), np.uint16)
    images.ravel()[:2] = 100, 4000
    return run_on(images, tmp_path_factory.mktemp("deep"), {"npz.range": "data"})


def run_on(images, folder, options=()):
    """Return a run on an array of images, without a report."""
    from latentkit.runs.autoencoder_kind import AutoencoderKind

    np.savez(folder / "images.npz", images=images)
    options = OPTIONS | {"npz.path": str(folder / "images.npz")} | dict(options)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(AutoencoderKind, "_report", lambda kind, context, svg: None)
        return lk.run(dataset="npz", epochs=1, options=options, out=folder / "runs")


FORMS = {
    "(N, 1, H, W) uint8": EIGHT,
    "(N, H, W) uint8": EIGHT[:, 0],
    "(N, H, W, 1) uint8": EIGHT.transpose(0, 2, 3, 1),
    "uint16": EIGHT.astype(np.uint16) * 257,
    "float64 in [0, 1]": EIGHT / 255,
    "mirrored twice": EIGHT[:, :, ::-1].copy()[:, :, ::-1],
    "a tensor": torch.from_numpy(EIGHT),
    "a float tensor": torch.from_numpy(EIGHT / 255).requires_grad_(),
    "ImageData": lk.ImageData(EIGHT),
    "images of Pillow": [Image.fromarray(one) for one in EIGHT[:, 0]],
    "nested lists": (EIGHT / 255).tolist(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_an_array_gives_the_same_results(run, form):
    seen = run.encode(FORMS[form])
    np.testing.assert_allclose(seen.latents, run.latents("test")[:5], atol=1e-5)
    np.testing.assert_allclose(seen.coordinates["pca"], run.coordinates("pca")[:5], atol=1e-4)
    assert seen.names == ("0", "1", "2", "3", "4")
    rebuilt = run.reconstruct(FORMS[form])
    assert rebuilt.shape == (5, 1, 8, 8)
    error = np.square(rebuilt - EIGHT / 255).mean((1, 2, 3))
    np.testing.assert_allclose(seen.errors, error, rtol=1e-3)


@pytest.mark.parametrize("one", [EIGHT[0], EIGHT[0, 0], Image.fromarray(EIGHT[0, 0])])
def test_a_single_image_is_a_batch_of_one(run, one):
    np.testing.assert_allclose(run.encode(one).latents, run.latents("test")[:1], atol=1e-5)


def test_a_training_image_has_no_distance_to_the_training_images(run):
    rows = run.index("train")[:3]
    seen = run.encode(lk.dataset("digits", "train").images[rows], maps=())
    np.testing.assert_allclose(seen.novelty, 0, atol=1e-3)
    assert seen.novelty_percentiles.max() < 20
    assert seen.coordinates == {}


def test_percentiles_compare_with_the_test_images(run):
    seen = run.encode(DIGITS.images, maps=())
    for percentiles, values in (
        (seen.error_percentiles, seen.errors),
        (seen.novelty_percentiles, seen.novelty),
    ):
        exact = np.array([100 * np.mean(values <= value * (1 + 1e-6)) for value in values])
        np.testing.assert_allclose(percentiles, exact, atol=1)


def test_colour_files_of_other_sizes_are_cropped_to_the_middle(colour_run, tmp_path):
    wide = np.zeros((8, 36, 3), np.uint8)
    wide[:, 12:24] = 200
    Image.fromarray(wide).save(tmp_path / "wide.png")
    form = colour_run.given_images(str(tmp_path)).form
    assert (form.shape, form.reading.fit, form.stated) == ((3, 8, 12), "crop", False)
    ((names, images),) = colour_run.given_images(tmp_path).batches()
    assert names == [str(tmp_path / "wide.png")]
    assert images.shape == (1, 3, 8, 12)
    assert (images == 200).all()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("photos", {"fit": "pad"}),
        ("photos", {"fit": "stretch", "channels": "grey"}),
        ("photos", {"channels": [2, 0]}),
        ("grey in colour", {}),
        ("16 bits", {}),
        ("16 bits", {"depth": 8}),
        ("16 bits", {"range": "data"}),
        ("five channels", {"fit": "none"}),
        ("five channels", {"range": "0..4095", "depth": 16, "channels": [4, 1]}),
        ("floats", {"range": "data", "fit": "pad"}),
    ],
)
def test_a_file_becomes_what_the_data_set_makes_of_it(tmp_path, kind, options):
    rng = np.random.default_rng(0)
    for row in range(8):
        bands = rng.integers(0, 4096, (30, 21, 5), np.uint16)
        if kind == "photos" or (kind == "grey in colour" and row):
            Image.fromarray((bands[..., :3] // 16).astype(np.uint8)).save(tmp_path / f"{row}.png")
        elif kind == "grey in colour":
            Image.fromarray((bands[..., 0] // 16).astype(np.uint8)).save(tmp_path / f"{row}.png")
        elif kind == "16 bits":
            Image.fromarray(bands[..., 0]).save(tmp_path / f"{row}.png")
        else:
            values = bands[..., 0].astype(np.float32) - 9 if kind == "floats" else bands
            how = {"photometric": "minisblack", "planarconfig": "contig"}
            tifffile.imwrite(tmp_path / f"{row}.tif", values, **(how if values.ndim > 2 else {}))
    chosen = {"path": str(tmp_path), "size": 16} | options
    parts = [lk.dataset("image-folder", split, **chosen) for split in ("train", "test")]
    known = np.concatenate([part.images for part in parts])
    assert kind != "floats" or parts[0].value_range[0] < 0
    form = ImageForm.of_data_set(
        ImageFolderOptions(**chosen),
        parts[0].image_shape,
        16 if known.dtype == np.uint16 else 8,
        parts[0].value_range,
    )
    given = given_images(tmp_path, form)
    ((_, images),) = given.batches()
    assert (images.dtype, len(images)) == (known.dtype, 8)
    assert {image.tobytes() for image in images} == {image.tobytes() for image in known}
    reduced = options.get("depth") == 8
    assert any("were reduced to 8 bits" in note for note in loss_notes(given)) == reduced


def test_many_files_are_decoded_by_all_processors_in_their_order(tmp_path, monkeypatch):
    form = ImageForm.of_data_set(None, (1, 1, 1))
    for row in range(40):
        Image.new("L", (1, 1), row).save(tmp_path / f"{row:02d}.png")
    (tmp_path / "07.png").write_bytes(b"damaged")
    monkeypatch.setattr(decoding, "_FOR_THREADS", 0)
    monkeypatch.setattr(new_images, "_MOST_IMAGES", 30)
    given = given_images(tmp_path, form, "skip")
    batches = list(given.batches())
    assert [len(names) for names, _ in batches] == [29, 10]
    shades = np.concatenate([images for _, images in batches]).ravel()
    assert shades.tolist() == [row for row in range(40) if row != 7]
    assert list(given.unreadable) == [str(tmp_path / "07.png")]
    assert loss_notes(given) == ("39 of 39 images are constant: every pixel is the same",)


@pytest.mark.parametrize(
    ("form", "mode", "error"),
    [
        (ImageForm.of_data_set(ImageFolderOptions(fit="none"), (1, 9, 9)), "L", "8x12 pixels, exp"),
        (ImageForm.of_data_set(None, (4, 8, 12)), "RGB", "channels: 3, and the run's images have"),
        (ImageForm.of_data_set(None, (1, 8, 12)), "F", "values are float32 and reach from 7 to 7"),
        (ImageForm.of_data_set(ImageFolderOptions(max_pixels=9), (1, 8, 8)), "L", "limit of 9"),
    ],
)
def test_why_a_file_does_not_fit_a_run_names_no_options_of_data_sets(tmp_path, form, mode, error):
    image = Image.new(mode, (12, 8), 7)
    image.save(tmp_path / "image.tif")
    with pytest.raises(DataError, match=error) as refused:
        list(given_images(tmp_path, form).batches())
    assert "range=" not in str(refused.value)
    assert "channels=" not in str(refused.value)
    assert "max_pixels" not in str(refused.value)
    if "limit" not in error:
        with pytest.raises(UserError, match=error):
            given_images(image, form)


def test_files_are_refused_if_nobody_knows_which_number_was_white(tmp_path):
    Image.new("L", (8, 8)).save(tmp_path / "image.png")
    form = ImageForm.of_data_set(ImageFolderOptions(range="data"), (1, 8, 8))
    for images in (tmp_path, Image.new("L", (8, 8))):
        with pytest.raises(UserError, match=r"earlier version .* did not record them: give arrays"):
            given_images(images, form)
    assert len(given_images(np.zeros((1, 1, 8, 8), np.uint8), form)) == 1


def test_a_run_records_the_numbers_that_were_black_and_white(deep_run, tmp_path):
    record = json.loads((deep_run.path / "data.json").read_text())
    assert (record["bits"], record["value_range"]) == (16, [100, 4000])
    values = np.linspace(100, 4000, 64).reshape(1, 8, 8)
    tifffile.imwrite(tmp_path / "image.tif", values[0].astype(np.uint16))
    seen = deep_run.encode(tmp_path / "image.tif", maps=())
    expected = deep_run.encode((np.floor(values) - 100) / 3900, maps=())
    np.testing.assert_allclose(seen.latents, expected.latents, atol=1e-3)
    assert seen.notes == ("numbers in the files: 16 bits in 1; 100 is black and 4,000 is white",)


@pytest.mark.parametrize(
    ("mode", "expected"), [("RGBA", 255), ("I;16", 128), ("1", 255), ("P", 200), ("CMYK", 200)]
)
def test_modes_of_files_become_the_colours_of_the_run(colour_run, tmp_path, mode, expected):
    if mode == "RGBA":  # transparent black becomes white
        image = Image.new("RGBA", (12, 8), (0, 0, 0, 0))
    elif mode == "I;16":
        image = Image.fromarray(np.full((8, 12), 128 * 257, np.uint16))
    else:
        image = Image.new("RGB", (12, 8), (200, 200, 200))
        image = image.quantize(4) if mode == "P" else image.convert(mode, dither=0)
    ending = "tif" if mode == "CMYK" else "png"
    image.save(tmp_path / f"image.{ending}")
    ((_, images),) = colour_run.given_images(tmp_path).batches()
    assert np.abs(images.astype(int) - expected).max() <= 1


@pytest.mark.parametrize(
    ("images", "error"),
    [
        (np.zeros((2, 28, 28), np.uint8), r"have shape \(2, 28, 28\), but the run takes \(N, 1, 8"),
        (np.zeros((2, 3, 8, 8), np.uint8), r"but the run takes \(N, 1, 8, 8\)"),
        (np.zeros((0, 1, 8, 8), np.uint8), "but the run takes"),
        (np.full((1, 8, 8), np.nan), "NaN or infinity"),
        (np.full((1, 8, 8), 255.0), "divide by 255"),
        (np.full((1, 8, 8), 7, np.int64), "divide them by"),
        (np.zeros((2, 3, 8, 8), np.uint8), "give them 1 channel first"),
        ([], "no images are given"),
        (None, "images cannot be NoneType"),
        (object(), "images cannot be object"),
        (["a.png", Image.new("L", (8, 8))], r"of several kinds \(Image, str\)"),
        ("nowhere.png", "no file or folder is called 'nowhere.png'"),
        ("a\0b.png", "no file or folder is called"),
    ],
)
def test_what_cannot_be_used_is_one_line(run, images, error):
    with pytest.raises(UserError, match=error) as refused:
        run.encode(images)
    assert "\n" not in str(refused.value)


def test_a_decompression_bomb_is_refused(run, tmp_path, monkeypatch):
    Image.fromarray(EIGHT[0, 0]).save(tmp_path / "bomb.png")
    monkeypatch.setattr(new_images, "MOST_PIXELS", 10)
    with pytest.raises(DataError, match="exceeds limit of"):
        run.encode(tmp_path)
    with pytest.raises(DataError, match="none of 1 images can be read"):
        run.encode(tmp_path, unreadable="skip")


def test_only_decoders_of_images_are_used_whatever_the_name(run, tmp_path):
    (tmp_path / "program.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n")
    with pytest.raises(DataError, match="no image of the formats PNG"):
        run.encode(tmp_path)


def test_links_to_folders_are_not_followed(run, tmp_path):
    Image.fromarray(EIGHT[0, 0]).save(tmp_path / "a.png")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(run.encode(tmp_path, maps=())) == 1


def test_batches_of_bounded_size_give_the_same_results(run, monkeypatch):
    whole = run.encode(EIGHT, maps=())
    monkeypatch.setattr(new_images, "_MOST_VALUES", 128)
    parts = run.encode(EIGHT, maps=())
    assert len(list(run.given_images(EIGHT).batches())) == 3
    np.testing.assert_allclose(parts.latents, whole.latents, atol=1e-5)


def test_parts_of_bounded_size_give_the_same_results(run, monkeypatch):
    whole = run.encode(EIGHT)
    monkeypatch.setattr(new_images, "_MOST_IMAGES", 2)
    monkeypatch.setattr(new_images, "_MOST_ROWS", 2)
    parts = list(run.encode_parts(EIGHT))
    assert [len(part) for part in parts] == [2, 2, 1]
    joined = run.encode(EIGHT)
    assert joined.names == whole.names
    assert list(joined.columns()) == list(whole.columns())
    for name, values in list(whole.columns().items())[1:]:
        # An image that is also a test image has its error up to rounding, below it or not.
        atol = 0.5 if name.endswith("percentile") else 1e-5
        np.testing.assert_allclose(joined.columns()[name], values, atol=atol)


def test_a_map_that_fails_at_a_later_part_has_no_numbers_from_there_on(run, monkeypatch):
    monkeypatch.setattr(new_images, "_MOST_IMAGES", 2)
    monkeypatch.setattr(new_images, "_MOST_ROWS", 2)
    place, calls = FittedMap.place, []

    def fails_once(fitted, latents):
        calls.append(latents)
        if len(calls) == 2:
            raise PluginError("no room")
        return place(fitted, latents)

    monkeypatch.setattr(FittedMap, "place", fails_once)
    seen = run.encode(EIGHT)
    assert np.isfinite(seen.coordinates["pca"][:2]).all()
    assert np.isnan(seen.coordinates["pca"][2:]).all()
    assert seen.left_out == {"pca": "from image 3 on: no room"}


def test_samples_come_from_the_prior_unless_a_mixture_is_asked_for(run):
    prior, mixture = run.sample(4, seed=1), run.sample(4, source="mixture", seed=1)
    assert (prior.source, prior.images.shape) == ("prior", (4, 1, 8, 8))
    assert mixture.source.startswith("Gaussian mixture")
    np.testing.assert_array_equal(prior.images, lk.explore.samples(run, 4, seed=1).images)
    with pytest.raises(UserError, match="there is no source 'posterior'"):
        run.sample(4, source="posterior")


def test_a_run_that_classifies_nothing_says_how_to_train_a_classifier(run):
    with pytest.raises(UserError, match="is not a classifier: train one on its encoder with"):
        run.predict(EIGHT)
