"""The explorer page of real runs: its numbers are those of the run, and what is missing is said."""

import shutil
from functools import partial

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

import latentkit as lk
from latentkit.api.explorer import content
from latentkit.errors import LatentkitError, UserError
from latentkit.explore import explorer_page, page_spaces, recorded_decoder
from latentkit.explore.explorer_page import fitted_layout
from latentkit.explore.page_columns import trust
from latentkit.explore.page_maps import linear_inverse, own_map

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
KEPT = {"training.snapshots": [1]}


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def run(out):
    """Return a run of two epochs that kept the weights of the first, with a PCA map."""
    return lk.run(epochs=2, embed=["pca"], options=SMALL | KEPT, out=out, name="small")


@pytest.fixture(scope="module")
def vae(out):
    return lk.run(model="conv-vae", epochs=1, options=SMALL, seed=1, out=out, name="vae")


@pytest.fixture(scope="module")
def page(run, read_page):
    return read_page((run.path / "explorer.html").read_bytes())


@pytest.fixture
def own(tmp_path):
    """Return a function that trains on images of the user, and returns run and file."""

    def train(images, labels=None, **more):
        path = tmp_path / "own.npz"
        np.savez(path, images=images, **({} if labels is None else {"labels": labels}))
        options = {"npz.path": str(path), "threads": 1, **more.pop("options", {})}
        known = {"model": "dense-ae", "epochs": 1, "out": tmp_path / "runs", **more}
        return lk.run(dataset="npz", options=options, **known), path

    return train


def column(page, key, place=0):
    (found,) = (one for one in page.header["spaces"][place]["columns"] if one["key"] == key)
    return page.array(found["section"])


def write(run, tmp_path, read_page, **more):
    return read_page(lk.explore.page(run, out=tmp_path / "page.html", **more).read_bytes())


def test_every_run_writes_a_page_of_its_test_images(run, page):
    images = lk.dataset("digits", "test").images
    assert (page.tiles()[..., :1] == np.moveaxis(images, 1, -1)).all()
    items, final = page.header["items"], page.header["spaces"][0]
    assert (items["count"], items["rows"], items["splits"]) == (360, None, None)
    assert page.array(items["labels"]["section"]).tolist() == run.labels().tolist()
    assert (page.array(final["latents"]) == run.latents()).all()
    assert final["mean"] == pytest.approx(run.latents("train").mean(0).tolist(), rel=1e-5)
    assert page.header["subtitle"] == "Run small, 360 test images"
    assert page.header["notes"] == []
    link = '<a href="explorer.html">'
    assert link in (run.path / "report.html").read_text(encoding="utf-8")


def test_the_columns_are_those_of_the_evaluation_and_of_exact_neighbours(run, page):
    card = run.explored.context.folder.arrays("evaluation.npz")
    assert column(page, "error") == pytest.approx(card["mse"], rel=1e-5)
    assert column(page, "predicted").tolist() == card["knn_labels"].tolist()
    near = NearestNeighbors(n_neighbors=1).fit(run.latents("train"))
    assert column(page, "novelty") == pytest.approx(near.kneighbors(run.latents())[0][:, 0], 1e-4)


def test_a_map_has_its_coordinates_trust_figures_and_inverse(run, page):
    (one,) = page.header["spaces"][0]["maps"]
    assert (one["key"], one["fitted_on"]) == ("pca", "test latents")
    coordinates = run.coordinates("pca")
    assert page.coordinates(one) == pytest.approx(coordinates, abs=1e-5)
    quality = run.evaluation["maps"]["pca"]
    assert one["figures"]["trustworthiness"] == quality["trustworthiness"]["value"]
    assert page.array(one["trust"]).mean() == pytest.approx(one["figures"]["trustworthiness"], 1e-5)
    fitted = PCA(2, svd_solver="full").fit(run.latents())
    back = np.array(one["inverse"]["mean"]) + coordinates @ np.array(one["inverse"]["axes"])
    expected = fitted.inverse_transform(fitted.transform(run.latents()))
    assert back == pytest.approx(expected, abs=1e-3)


def test_the_decoder_is_stored_with_images_to_compare(run, page):
    decoder = page.header["spaces"][0]["decoder"]
    probe = {name: page.array(one) for name, one in decoder["probe"].items()}
    assert probe["images"].shape == (16, 1, 8, 8)
    assert run.explored.decode(probe["latents"].copy()) == pytest.approx(probe["images"], abs=1e-6)
    mixture = page.header["spaces"][0]["mixture"]
    assert sum(mixture["weights"]) == pytest.approx(1)
    assert page.array(mixture["cholesky"]).shape == (10, 3, 3)


def test_a_kept_epoch_is_a_space_whose_map_fits_the_final_one(run, page):
    final, early = page.header["spaces"]
    assert (final["epoch"], early["epoch"]) == (None, 1)
    assert not np.allclose(page.array(early["latents"]), run.latents())
    (one,) = early["maps"]
    shown, there = page.coordinates(one), run.coordinates("pca")
    away = np.square(shown - there).sum()
    turned = np.square(shown * [1, -1] - there).sum()
    assert away < turned
    assert away < np.square(there - there.mean(0)).sum()
    assert early["decoder"] is None


def test_the_page_of_a_run_is_the_same_bytes_again(run):
    before = (run.path / "explorer.html").read_bytes()
    lk.explore.page(run, again=True)
    assert (run.path / "explorer.html").read_bytes() == before


def test_all_images_are_shown_with_maps_fitted_on_them(run, tmp_path, read_page):
    page = write(run, tmp_path, read_page, on="all")
    items = page.header["items"]
    assert items["count"] == 1797
    assert items["splits"]["names"] == ["test", "validation", "train"]
    split = page.array(items["splits"]["section"])
    rows = page.array(items["rows"])
    assert np.bincount(split).tolist() == [360, 287, 1150]
    latents = page.array(page.header["spaces"][0]["latents"])
    for code, name in enumerate(items["splits"]["names"]):
        assert (latents[split == code] == run.latents(name)[rows[split == code]]).all()
    (one,) = page.header["spaces"][0]["maps"]
    assert (one["key"], one["fitted_on"]) == ("pca", "the 1,797 images of this page")
    assert column(page, "novelty")[split == 2].min() > 0  # no item is its own neighbour
    error = column(page, "error")
    card = run.explored.context.folder.arrays("evaluation.npz")
    assert error[split == 0] == pytest.approx(card["mse"], rel=1e-3)


def test_some_images_are_drawn_from_all(run, tmp_path, read_page):
    page = write(run, tmp_path, read_page, on=200)
    assert page.header["items"]["count"] == 200
    assert page.header["notes"][0] == "200 of all 1,797 images are shown, drawn at random"
    with pytest.raises(UserError, match="there are only 1,797 points"):
        lk.explore.page(run, on=5000, out=tmp_path / "more.html")
    with pytest.raises(UserError, match="0 images cannot be shown"):
        lk.explore.page(run, on=0, out=tmp_path / "none.html")


def test_several_runs_of_the_same_images_are_side_by_side(run, vae, tmp_path, read_page):
    page = write([run, vae], tmp_path, read_page)
    assert [space["name"] for space in page.header["spaces"]] == ["small", "small", "vae"]
    assert [space["prior"] for space in page.header["spaces"]] == [False, False, True]
    assert page.header["subtitle"] == "2 runs, 360 test images"
    assert "vae has no map of these images: the page has made one" in page.header["notes"][0]
    assert (page.array(page.header["spaces"][2]["latents"]) == vae.latents()).all()


def test_no_item_is_its_own_neighbour_in_any_run_whatever_its_split(run, vae, tmp_path, read_page):
    page = write([run, vae], tmp_path, read_page, on="all")
    splits = page.array(page.header["items"]["splits"]["section"])
    assert set(splits) == {0, 1, 2}
    rows = page.array(page.header["items"]["rows"])
    for one, place in ((run, 0), (vae, 2)):
        shown = page.array(page.header["spaces"][place]["latents"])
        kept = np.load(one.path / "latents" / "train.npz")
        first = np.load(run.path / "latents" / "train.npz")["index"]
        for item in np.flatnonzero(splits == 2)[:40]:  # training images of the first run
            others = kept["latents"][kept["index"] != first[rows[item]]]
            nearest = np.linalg.norm(others - shown[item], axis=1).min()
            assert column(page, "novelty", place)[item] == pytest.approx(nearest, abs=1e-5)


@pytest.mark.parametrize("on", ["train", "tset", 2.5, None])
def test_an_unknown_choice_of_images_is_refused(run, tmp_path, on):
    with pytest.raises(UserError, match="names no images: give 'test', 'all' or a number"):
        lk.explore.page(run, on=on, out=tmp_path / "page.html")
    assert len(content([run], np.int64(7)).items) == 7


def test_runs_on_other_images_are_refused(run, own, tmp_path):
    other, _ = own(np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8))
    with pytest.raises(UserError, match=r"on other test images than run small: a page shows"):
        lk.explore.page([run, other], out=tmp_path / "page.html")


def test_images_without_labels_that_are_gone_leave_a_page_that_says_so(own, tmp_path, read_page):
    run, path = own(np.random.default_rng(0).integers(0, 256, (30, 6, 6), np.uint8))
    page = read_page((run.path / "explorer.html").read_bytes())
    assert page.header["items"]["labels"] is None
    keys = [one["key"] for one in page.header["spaces"][0]["columns"]]
    assert keys == ["error", "novelty"]
    path.unlink()
    page = write(lk.open(run.path), tmp_path, read_page)
    assert page.header["items"]["images"] is None
    assert "the images are not in place: " in page.header["items"]["no_images"]
    assert [one["key"] for one in page.header["spaces"][0]["columns"]] == keys


def test_one_latent_is_a_line_and_one_class_is_fine(own, read_page):
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
    run, _ = own(images, np.zeros(40, int), options={"model.latent_dim": 1})
    page = read_page((run.path / "explorer.html").read_bytes())
    (one,) = page.header["spaces"][0]["maps"]
    assert page.coordinates(one)[:, 0] == pytest.approx(run.latents()[:, 0], abs=1e-5)
    assert one["inverse"]["axes"] == [[1.0], [0.0]]
    assert set(column(page, "predicted")) == {0}


def test_a_decoder_that_cannot_be_recorded_leaves_a_page_that_says_why(
    run, tmp_path, read_page, monkeypatch
):
    def fail(*_, **__):
        raise LatentkitError("its decoder sorts numbers, which a page cannot")

    monkeypatch.setattr(recorded_decoder, "record_decoder", fail)
    page = write(run, tmp_path, read_page)
    space = page.header["spaces"][0]
    assert space["decoder"] is None
    assert "its decoder sorts numbers" in space["no_decoder"]
    assert space["mixture"] is None


def test_a_transfer_shows_its_features_before_and_after(run, out, tmp_path, read_page):
    options = {"transfer.map_points": 300, "threads": 1}
    moved = lk.transfer(
        "small", mode="finetune", epochs=1, embed=["pca"], options=options, runs=out
    )
    page = read_page((moved.path / "explorer.html").read_bytes())
    before, after = page.header["spaces"]
    assert before["title"].endswith("features before training")
    rows = page.array(page.header["items"]["rows"])
    assert len(rows) == 300
    assert (page.array(after["latents"]) == moved.features("after")[rows]).all()
    assert page.coordinates(after["maps"][0]) == pytest.approx(moved.coordinates("pca"), abs=1e-4)
    assert [one["key"] for one in after["columns"]] == ["predicted", "confidence"]
    assert "turns no features into images" in after["no_decoder"]
    assert page.header["notes"][0].startswith("300 of 360 test images are shown")
    with pytest.raises(UserError, match="features of the test images only"):
        lk.explore.page(moved, on="all", out=tmp_path / "page.html")


def test_what_does_not_fit_into_a_page_is_rounded_and_left_out_with_a_note(run):
    whole = content([run])
    size = partial(fitted_layout, whole)(10**9).bytes_of("")
    latents = fitted_layout(whole, 10**9).bytes_of("latents")
    rounded = fitted_layout(whole, size - latents // 4)
    assert rounded.header["spaces"][0]["latents"]["dtype"] == "f2"
    assert rounded.header["items"]["count"] == 360
    assert "rounded to float16" in rounded.header["notes"][-1]
    room = size - latents
    few = fitted_layout(whole, room)
    count = few.header["items"]["count"]
    assert 50 < count < 360
    assert few.bytes_of("") <= room
    assert f"{count:,} of 360 images are shown, evenly spread" in " ".join(few.header["notes"])
    assert few.header["subtitle"] == f"Run small, {count:,} test images"
    assert few.header["items"]["rows"]["shape"] == [count]


def test_a_decoder_that_is_too_large_is_left_out(run, monkeypatch):
    monkeypatch.setattr(explorer_page, "_LARGEST_DECODER", 100)
    space = fitted_layout(content([run]), 10**9).header["spaces"][0]
    assert "its decoder would take" in space["no_decoder"]


def test_only_the_largest_decoders_are_left_out(run, vae, monkeypatch):
    whole = fitted_layout(content([run, vae]), 10**9)
    size = whole.bytes_of("decoder-weights")
    monkeypatch.setattr(explorer_page, "_LARGEST_DECODER", 0.75 * size)
    spaces = fitted_layout(content([run, vae]), 10**9).header["spaces"]
    assert [bool(one["decoder"]) for one in spaces].count(True) == 1


def test_of_a_million_images_no_more_pictures_are_made_than_fit(run, monkeypatch):
    monkeypatch.setattr(explorer_page, "LARGEST", 6_000)
    found = content([run])
    assert len(found.items) < 360
    assert len(found.items.pictures) == len(found.items)
    assert f"{len(found.items):,} of 360 images are shown" in found.all_notes[-1]


def test_the_trust_of_items_averages_to_that_of_the_map():
    generator = np.random.default_rng(0)
    latents = generator.normal(size=(300, 5)).astype(np.float32)
    coordinates = latents[:, :2] + 0.1 * generator.normal(size=(300, 2))
    exact = trustworthiness(latents, coordinates, n_neighbors=10)
    assert trust(latents, coordinates).mean() == pytest.approx(exact, abs=1e-5)
    assert trust(latents, latents[:, :2]).max() <= 1


def test_only_linear_maps_have_a_linear_inverse():
    latents = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    mixed = latents @ np.random.default_rng(1).normal(size=(4, 2)) + 5
    found = linear_inverse(mixed, latents)
    assert found is not None
    forward = np.linalg.lstsq(latents - latents.mean(0), mixed - mixed.mean(0), rcond=None)[0]
    back = found.mean + mixed @ found.axes
    assert (back - latents.mean(0)) @ forward + mixed.mean(0) == pytest.approx(mixed, abs=1e-4)
    assert linear_inverse(mixed**2, latents) is None
    assert linear_inverse(np.ones((100, 2)), latents) is None


def test_equal_latents_have_no_map():
    assert own_map(np.ones((5, 3), np.float32)) is None
    assert own_map(np.ones((1, 3), np.float32)) is None


def test_a_changed_page_is_written_again_and_an_unread_one_is_not(run, tmp_path, monkeypatch):
    copy = tmp_path / "small"
    shutil.copytree(run.path, copy)
    opened = lk.open(copy)
    monkeypatch.setattr(page_spaces, "space_of", lambda *_, **__: pytest.fail("made again"))
    assert lk.explore.page(opened) == copy / "explorer.html"


def test_no_run_and_another_ending_are_refused(run, tmp_path):
    with pytest.raises(UserError, match="no run is given"):
        lk.explore.page([])
    with pytest.raises(UserError, match=r"should end in \.html"):
        lk.explore.page(run, out=tmp_path / "page.pdf")
