"""A trained run is used on new images: encode, reconstruct, classify, sample."""

from __future__ import annotations

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import latentkit as lk

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


def picture(path, row=0, size=(8, 8), mode="L"):
    digit = lk.dataset("digits", "test").images[row, 0]
    Image.fromarray(digit).resize(size).convert(mode).save(path)
    return path


@pytest.fixture
def photos(latentkit):
    """Write three digits, and a file that is no image, into ./photos."""
    folder = Path("photos")
    (folder / "more").mkdir(parents=True)
    (folder / ".cache").mkdir()
    picture(folder / "b.png", 1)
    picture(folder / "a.png", 0)
    picture(folder / "more" / "c.bmp", 2, (16, 16), "RGB")
    picture(folder / ".cache" / "hidden.png")
    (folder / "notes.txt").write_text("no image")
    return folder


@pytest.fixture(scope="module")
def folder_run(tmp_path_factory):
    """Return a run on an image folder whose images are padded."""
    root = tmp_path_factory.mktemp("folder-run")
    (root / "images").mkdir()
    rng = np.random.default_rng(0)
    for row in range(40):
        pixels = rng.integers(0, 256, (10, 20, 3), np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{row:02d}.png")
    chosen = {"path": str(root / "images"), "size": 8, "fit": "pad"}
    options = SMALL | {f"image-folder.{key}": value for key, value in chosen.items()}
    return lk.run(dataset="image-folder", epochs=1, options=options, out=root / "runs").path


@pytest.fixture(scope="module")
def transferred(tmp_path_factory, finished_once):
    from latentkit.transfer import transfer_figures

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(transfer_figures, "report_transfer", lambda context, kind, svg: None)
        out = tmp_path_factory.mktemp("transferred")
        run = lk.transfer(finished_once, mode="probe", epochs=1, embed=[], out=out)
    return run.path


def rows_of(path):
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_encode_writes_a_row_for_each_file_in_the_order_of_names(finished_once, photos, latentkit):
    ended = latentkit("encode", finished_once, photos, "--out", "latents.csv")
    assert (ended.code, ended.out) == (0, "latents.csv\n")
    assert "1 of 4 files left out: 1 .txt" in ended.err
    assert "cropped to the middle: 8x8 grey, because its data set states no other rule" in ended.err
    rows = rows_of("latents.csv")
    assert [row["image"] for row in rows] == ["photos/a.png", "photos/b.png", "photos/more/c.bmp"]
    run = lk.open(finished_once)
    found = np.array([[float(row[f"z{place}"]) for place in range(3)] for row in rows[:2]])
    np.testing.assert_allclose(found, run.latents("test")[:2], rtol=1e-4, atol=1e-4)
    placed = np.array([[float(row["pca_x"]), float(row["pca_y"])] for row in rows[:2]])
    np.testing.assert_allclose(placed, run.coordinates("pca")[:2], rtol=1e-3, atol=1e-3)
    with np.load(finished_once / "evaluation.npz") as card:
        known = card["mse"]
    for place, row in enumerate(rows[:2]):
        assert float(row["error"]) == pytest.approx(known[place], rel=1e-4)
        exact = 100 * np.mean(known <= known[place] * (1 + 1e-4))
        assert float(row["error_percentile"]) == pytest.approx(exact, abs=1)
        assert float(row["novelty"]) > 0


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test_encode_writes_other_tables(finished_once, photos, latentkit, ending):
    ended = latentkit(
        "encode", finished_once, "photos/*.png", "--out", f"t.{ending}", "--no-maps", "--json"
    )
    facts = json.loads(ended.out)
    assert facts == {
        "path": f"t.{ending}",
        "images": 2,
        "latent_dim": 3,
        "maps": [],
        "left_out_maps": {},
        "notes": [],
        "unreadable": {},
    }
    if ending == "npz":
        with np.load("t.npz") as found:
            assert found["latents"].shape == (2, 3)
            assert found["image"].tolist() == ["photos/a.png", "photos/b.png"]
        return
    table = pytest.importorskip("pyarrow.parquet").read_table("t.parquet")
    assert table.column_names[:2] == ["image", "z0"]
    assert str(table.schema.field("z0").type) == "float"
    assert table["image"].to_pylist() == ["photos/a.png", "photos/b.png"]


def test_images_of_a_data_set_have_the_latents_of_the_run(finished_once, latentkit):
    ended = latentkit("encode", finished_once, "--dataset", "digits", "--out", "all.npz", "-q")
    assert (ended.code, ended.err) == (0, "")
    run = lk.open(finished_once)
    with np.load("all.npz") as found:
        np.testing.assert_array_equal(found["latents"], run.latents("test"))
        np.testing.assert_array_equal(found["map_pca"], run.coordinates("pca"))
        assert found["novelty_percentile"].max() == 100


def test_files_are_read_as_the_data_set_of_the_run_reads_them(folder_run, latentkit):
    images = folder_run.parents[1] / "images"
    ended = latentkit("encode", folder_run, images, "--out", "all.npz")
    assert "40 files; images are scaled, and padded with black: 8x8 colour" in ended.err
    run = lk.open(folder_run)
    with np.load("all.npz") as found:
        paths = sorted(images.iterdir())
        assert found["image"].tolist() == [str(path) for path in paths]
        own = {split: run.latents(split) for split in ("train", "validation", "test")}
        for latents in own.values():  # the run's split of the folder is its own affair
            nearest = np.abs(found["latents"][None] - latents[:, None]).max(2).min(1)
            assert nearest.max() < 1e-4


@pytest.mark.parametrize("policy", ["refuse", "skip"])
def test_unreadable_files_are_refused_or_named(finished_once, photos, latentkit, policy):
    (photos / "bad.png").write_bytes((photos / "a.png").read_bytes()[:60])
    (photos / "empty.jpg").touch()
    ended = latentkit("encode", finished_once, photos, "--no-maps", "--unreadable", policy)
    if policy == "refuse":
        assert ended.code == 4
        assert "photos/bad.png cannot be read (" in ended.error
        assert "leave such files out with --unreadable skip" in ended.error
        return
    assert ended.code == 0
    assert "warning: left out photos/bad.png: " in ended.err
    assert "warning: left out photos/empty.jpg: the file is empty" in ended.err
    assert len(rows_of("latents.csv")) == 3


def test_reconstruct_writes_a_png_of_the_same_stem(finished_once, photos, latentkit):
    picture("photos/a.gif", 3)
    ended = latentkit("reconstruct", finished_once, photos, "--out", "clean")
    assert (ended.code, ended.out) == (0, "clean\n")
    names = sorted(str(path) for path in photos.parent.glob("clean/**/*.png"))
    assert names == ["clean/a.gif.png", "clean/a.png.png", "clean/b.png", "clean/more/c.png"]
    image = Image.open("clean/b.png")
    assert (image.mode, image.size) == ("L", (8, 8))
    expected = lk.open(finished_once).reconstruct("photos/b.png")[0, 0]
    np.testing.assert_allclose(np.asarray(image), 255 * expected, atol=0.51)
    again = latentkit("reconstruct", finished_once, photos, "--out", "clean")
    assert again.code == 2
    assert "more files exist: choose another --out, or add --overwrite" in again.error
    assert (
        latentkit("reconstruct", finished_once, photos, "--out", "clean", "--overwrite").code == 0
    )


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("reconstruct", "RUN", "photos/b.png", "--out", "photos", "--overwrite"), "one of the im"),
        (("encode", "RUN", "photos/a.png", "--out", "photos/a.png"), "should end in .csv"),
        (("encode", "RUN", "nowhere/*.png"), "no file or folder is called 'nowhere/"),
        (("encode", "RUN", "photos/.cache/none"), "no file or folder is called"),
        (("encode", "RUN"), "say which images to take"),
        (("encode", "RUN", "photos", "--dataset", "digits"), "say which images to take"),
        (("encode", "RUN", "photos", "-o", "digits.x=1"), "add --dataset NAME"),
        (("encode", "RUN", "photos", "--map", "isomap"), "has no map 'isomap'; it has pca"),
        (("classify", "RUN", "photos"), "is not a classifier: train one on its encoder with"),
        (("reconstruct", "RUN", "photos", "--out", "photos/a.png"), "a.png is a file: name a fol"),
        (("encode", "RUN", "photos/a.png", "--out", "none.d"), "none.d: should end in .csv"),
        (("sample", "RUN", "--out", "s", "-n", "0"), "0 samples cannot be drawn"),
        (("sample", "RUN", "--out", "s", "--from", "prior"), "has no prior to draw from"),
    ],
)
def test_wrong_requests_are_one_line(finished_once, photos, latentkit, words, error):
    ended = latentkit(*(finished_once if word == "RUN" else word for word in words))
    assert ended.code == 2
    assert error in ended.error


def test_a_table_that_cannot_be_written_is_refused_before_the_work(
    finished_once, photos, latentkit, monkeypatch
):
    from latentkit.export import tables

    ended = latentkit("encode", finished_once, photos, "--out", "photos/a.png/t.csv")
    assert ended.code == 5
    assert "photos/a.png/t.csv cannot be written" in ended.error
    monkeypatch.setattr(tables, "find_spec", lambda name: None)
    ended = latentkit("encode", finished_once, photos, "--out", "t.parquet")
    assert ended.code == 3
    assert "needs the package pyarrow: write .csv or .npz, or install it with" in ended.error
    assert ended.error.endswith("pip install 'latentkit[parquet]'")


def test_text_that_a_spreadsheet_would_calculate_gets_an_apostrophe(
    finished_once, latentkit, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for name in ("=1+1.png", "@b.png", "c=1.png"):
        picture(name)
    ended = latentkit("encode", finished_once, "=1+1.png", "@b.png", "c=1.png", "--no-maps")
    assert ended.code == 0
    assert [row["image"] for row in rows_of("latents.csv")] == ["'=1+1.png", "'@b.png", "c=1.png"]
    assert all(float(row["z0"]) < 1e9 for row in rows_of("latents.csv"))  # numbers stay numbers


@pytest.mark.parametrize(
    ("names", "error"),
    [
        ([], "holds no image files (.apng"),
        (["notes.txt"], "; 1 of 1 files left out: 1 .txt"),
        ([".hidden.png", "Thumbs.db"], "holds no image files ("),
    ],
)
def test_a_folder_without_images_is_named(finished_once, latentkit, tmp_path, names, error):
    (tmp_path / "empty").mkdir()
    for name in names:
        (tmp_path / "empty" / name).touch()
    ended = latentkit("encode", finished_once, tmp_path / "empty")
    assert ended.code == 4
    assert f"{tmp_path / 'empty'} holds no image files (" in ended.error
    assert error in ended.error


def test_what_is_lost_of_a_file_is_said(finished_once, latentkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    frames = [Image.new("L", (8, 8), shade) for shade in (9, 99)]
    frames[0].save("film.gif", save_all=True, append_images=frames[1:])
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 999).save("deep.png")
    ended = latentkit("encode", finished_once, "film.gif", "deep.png", "--no-maps", "--json")
    assert json.loads(ended.out)["notes"] == [
        "numbers in the files: 16 bits in 1, 8 bits in 1; black and white are the full range",
        "1 of 2 images were reduced to 8 bits",
        "1 of 2 images are from files of several pictures, of which the first was used",
        "1 of 2 images are constant: every pixel is the same",
    ]
    assert "1 of 2 images were reduced to 8 bits" in ended.err


def test_what_is_no_regular_file_is_not_opened(finished_once, latentkit, tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    ended = latentkit("encode", finished_once, tmp_path / "pipe.png", "--no-maps")
    assert "it is a pipe, not a file" in ended.error


def test_classify_names_the_most_probable_classes(transferred, photos, latentkit):
    ended = latentkit("classify", transferred, photos, "--top", "2")
    assert (ended.code, ended.out) == (0, "predictions.csv\n")
    rows = rows_of("predictions.csv")
    assert list(rows[0]) == ["image", "class_1", "probability_1", "class_2", "probability_2"]
    run = lk.open(transferred)
    seen = run.predict(lk.dataset("digits", "test").images[:2])
    assert [row["class_1"] for row in rows[:2]] == seen.classes
    np.testing.assert_allclose(seen.probabilities.sum(1), 1, rtol=1e-5)
    for row, probabilities in zip(rows, seen.probabilities, strict=False):
        best = np.sort(probabilities)[::-1]
        assert float(row["probability_1"]) == pytest.approx(best[0], rel=1e-4)
        assert float(row["probability_2"]) == pytest.approx(best[1], rel=1e-4)
    ended = latentkit("encode", transferred, photos)
    assert "is a transfer" in ended.error


def test_sample_writes_numbered_images_that_a_seed_repeats(finished_once, latentkit):
    for out in ("one", "two"):
        ended = latentkit("sample", finished_once, "-n", "11", "--out", out, "--seed", "5")
        assert (ended.code, ended.out) == (0, f"{out}\n")
    names = sorted(path.name for path in Path("one").iterdir())
    assert names == [f"{row:02d}.png" for row in range(11)]
    for name in names:
        assert Path("one", name).read_bytes() == Path("two", name).read_bytes()


def test_a_map_that_cannot_be_repeated_is_left_out_by_name(finished, photos, latentkit):
    """The coordinates are those of another fit, as from another version."""
    from latentkit.runs.folder import RunFolder

    folder = RunFolder.open(finished)
    with folder.writing():
        arrays = folder.arrays("embeddings/pca.npz")
        arrays["coordinates"] = arrays["coordinates"] ** 3
        folder.commit_arrays("embeddings/pca.npz", "other", **arrays)
        folder.manifest.write(folder.path)
    ended = latentkit("encode", finished, photos)
    assert ended.code == 0
    assert "no coordinates in map pca: fitted again, it differs from the run's map" in ended.err
    assert "pca_x" not in rows_of("latents.csv")[0]


def test_a_run_that_never_finished_says_what_is_missing_before_images_are_read(
    finished, photos, latentkit
):
    shutil.rmtree(finished / "latents")
    (photos / "a.png").write_bytes(b"damaged")
    ended = latentkit("encode", finished, photos)
    assert ended.code == 8
    assert "latents/train.npz is missing" in ended.error


def test_more_samples_than_the_memory_holds_are_refused(finished_once, latentkit):
    ended = latentkit("sample", finished_once, "--out", "s", "-n", str(10**12))
    assert ended.code == 10
    assert ended.error.endswith("draw fewer at once, with several seeds")


def test_commands_read_a_packed_run(finished_once, photos, latentkit):
    ended = latentkit("pack", finished_once, "--out", "small.latentkit", "--json")
    facts = json.loads(ended.out)
    assert facts == {"path": "small.latentkit", "bytes": Path("small.latentkit").stat().st_size}
    shown = latentkit("runs", "small.latentkit")
    assert shown.code == 0
    assert "the run was packed without them" in shown.out
    name = finished_once.name
    assert f"latentkit unpack {name}.latentkit && latentkit report {name}" in shown.out
    assert f"latentkit encode {finished_once.name}.latentkit photos" in shown.out
    for run, out in ((finished_once, "folder.csv"), ("small.latentkit", "packed.csv")):
        latentkit("encode", run, photos, "--out", out)
    assert rows_of("packed.csv") == rows_of("folder.csv")
    assert latentkit("compare", "small.latentkit", finished_once).code == 0
    refused = latentkit("explore", "small.latentkit", "traversal")
    assert "choose another place with --out FILE" in refused.error
    refused = latentkit("embed", "small.latentkit", "--embed", "isomap")
    assert "make a folder of it with 'latentkit unpack FILE'" in refused.error
    unpacked = latentkit("unpack", "small.latentkit")
    assert unpacked.out == f"runs/{finished_once.name}\n"
    assert latentkit("runs", "last").code == 0


@pytest.mark.parametrize(
    ("words", "code", "error"),
    [
        (("pack", "RUN", "--out", "run.zip"), 2, "run.zip should end in .latentkit"),
        (("unpack", "nothing.latentkit"), 4, "there is no file nothing.latentkit"),
        (("runs", "nothing.latentkit"), 2, "there is no run 'nothing.latentkit'"),
    ],
)
def test_wrong_packed_runs_are_one_line(finished_once, latentkit, words, code, error):
    ended = latentkit(*(finished_once if word == "RUN" else word for word in words))
    assert ended.code == code
    assert error in ended.error
