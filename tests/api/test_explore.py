import dataclasses

import numpy as np
import pytest
import torch

import latentkit as lk
from latentkit.errors import LatentkitError, UserError

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return a run without a prior, one with more epochs, and one with a prior."""
    out = tmp_path_factory.mktemp("runs")
    return (
        lk.run(epochs=1, options=SMALL, out=out),
        lk.run(epochs=2, options=SMALL, out=out),
        lk.run(model="conv-vae", epochs=1, options=SMALL, out=out),
    )


@pytest.fixture(scope="module")
def run(runs):
    return runs[0]


@pytest.fixture(scope="module")
def vae(runs):
    return runs[2]


def test_a_traversal_varies_one_dimension_of_the_item_and_decodes_each_step(run):
    found = lk.explore.traversals(run, 5, steps=3, reach=1)
    assert found.images.shape == (3, 3, 1, 8, 8)
    train = run.latents("train")
    assert found.dimensions.tolist() == np.argsort(-train.var(axis=0)).tolist()
    others = found.dimensions[1:]
    assert (found.latents[0][:, others] == run.latents()[5, others]).all()
    decoded = run.explored.decode(found.latents.reshape(-1, 3))
    assert np.allclose(found.images.reshape(-1, 1, 8, 8), decoded, atol=1e-6)
    assert lk.explore.traversals(run, most=2).images.shape == (2, 9, 1, 8, 8)


def test_the_dimensions_of_a_vae_are_sorted_by_kl(vae):
    found = lk.explore.traversals(vae)
    assert found.weight_name == "KL (nats)"
    assert (np.diff(found.weights) <= 0).all()
    images = lk.dataset("digits", "test").images[vae.index()]
    mu, log_var = vae.model.posterior(torch.from_numpy(images).float() / 255)
    kl = (mu**2 + log_var.exp() - 1 - log_var).mean(dim=0).detach().numpy() / 2
    assert found.weights == pytest.approx(kl[found.dimensions], rel=1e-4)


def test_items_are_chosen_by_number_or_class(run):
    labels = run.labels()
    explored = run.explored
    assert explored.row(7) == explored.row("7") == 7
    assert explored.row("class:3") == np.flatnonzero(labels == 3)[0]
    assert explored.row("class:3:4") == np.flatnonzero(labels == 3)[4]


@pytest.mark.parametrize(
    ("item", "message"),
    [
        (360, "no test item 360: give a number from 0 to 359"),
        (-1, "no test item -1"),
        ("boot", "'boot' is not a test item: give a number from 0 to 359, or class:NAME"),
        ("class:12", "no class '12'"),
        ("class:3:999", "class '3' has no test item 999"),
    ],
)
def test_an_item_that_does_not_exist_is_refused_in_one_line(run, item, message):
    with pytest.raises(UserError, match=message) as refused:
        lk.explore.traversals(run, item)
    assert "\n" not in str(refused.value)


def test_a_grid_is_a_plane_through_the_latents(run):
    found = lk.explore.grid(run, (0, 2), steps=4)
    assert found.images.shape == (4, 4, 1, 8, 8)
    assert np.allclose(found.points, run.latents()[:, [0, 2]], atol=1e-5)
    assert lk.explore.grid(run, steps=2).names[0].startswith("principal direction 1")


@pytest.mark.parametrize("way", ["linear", "spherical", "graph"])
def test_each_kind_of_interpolation_connects_both_items(run, way):
    found = lk.explore.interpolate(run, 0, "class:7", way=way, steps=4)
    ends = run.latents()[[0, run.explored.row("class:7")]]
    assert np.allclose(found.latents[[0, -1]], ends, atol=1e-4)
    assert found.images.shape == (4, 1, 8, 8)
    if way == "graph":
        assert len(found.through)
        assert found.length >= np.linalg.norm(ends[1] - ends[0])


def test_a_vae_samples_from_its_prior_and_an_autoencoder_from_a_mixture(run, vae):
    drawn = lk.explore.samples(vae, 5)
    assert drawn.source == "prior"
    assert drawn.images.shape == (5, 1, 8, 8)
    assert np.array_equal(drawn.images, lk.explore.samples(vae, 5).images)
    assert not np.array_equal(drawn.images, lk.explore.samples(vae, 5, seed=1).images)
    fitted = lk.explore.samples(run, 5, components=3)
    assert fitted.source == "Gaussian mixture of 3 components on 1,150 training latents"
    with pytest.raises(UserError, match="model 'conv-ae' has no prior to draw from"):
        lk.explore.samples(run, 5, source="prior")


def test_arithmetic_adds_the_difference_of_two_class_means(run):
    found = lk.explore.arithmetic(run, 0, plus="7", minus="1", amounts=(0, 1))
    latents, labels = run.latents("train"), run.labels("train")
    difference = latents[labels == 7].mean(axis=0) - latents[labels == 1].mean(axis=0)
    assert np.allclose(found.latents[1] - run.latents()[0], difference, atol=1e-4)
    with pytest.raises(UserError, match="no class 'seven'"):
        lk.explore.arithmetic(run, 0, plus="seven", minus="1")


def test_nearest_training_images_are_rows_of_the_training_set(run):
    found = lk.explore.neighbours(run, [0, "class:3"], k=4)
    images = lk.dataset("digits", "train").images
    train = images[run.index("train")].reshape(1150, -1) / 255
    test = lk.dataset("digits", "test").images[0].ravel() / 255
    order = np.argsort(np.linalg.norm(train - test, axis=1))[:4]
    assert found.in_pixels.rows[0].tolist() == run.index("train")[order].tolist()
    assert np.array_equal(found.pixel_images, images[found.in_pixels.rows])
    away = np.linalg.norm(run.latents("train") - run.latents()[0], axis=1)
    assert found.in_latents.rows[0].tolist() == run.index("train")[np.argsort(away)[:4]].tolist()
    assert 0.1 < np.median(found.in_pixels.ratios) < 5


def test_samples_are_compared_with_reconstructions(run, vae):
    for one in (run, vae):
        drawn = lk.explore.samples(one, 3)
        found = lk.explore.neighbours(one, drawn, k=2)
        assert np.array_equal(found.images, drawn.images)
        assert found.pixel_images.shape == (3, 2, 1, 8, 8)
        assert (found.in_pixels.typical) > 0


def test_items_are_reconstructed_by_several_runs_side_by_side(runs):
    found = lk.explore.settings(runs, [0, "class:5"])
    assert found.images.shape == (3, 2, 1, 8, 8)
    assert len(set(found.names)) == 3
    same = lk.explore.settings(runs[:2], [0])
    assert same.names == ("epochs 1", "epochs 2")
    direct = runs[1].explored.decode(runs[1].latents()[:1])
    assert np.allclose(same.images[1], direct, atol=1e-4)
    assert same.errors[0, 0] == pytest.approx(
        ((same.images[0, 0] - same.originals[0]) ** 2).mean(), rel=1e-5
    )
    with pytest.raises(UserError, match="is named twice"):
        lk.explore.settings([runs[0], runs[0]])


def test_one_call_returns_all_views_of_a_report(run, vae):
    found = lk.explore.overview(vae)
    assert not found.left_out
    assert [walk.way for walk in found.interpolations] == ["linear", "spherical", "graph"]
    assert [samples.source.split()[0] for samples in found.samples] == ["prior", "Gaussian"]
    assert dataclasses.is_dataclass(found.traversals)
    assert found.neighbours.images.shape[0] == 6
    plain = lk.explore.overview(run)
    assert set(plain.left_out) == {"prior samples"}
    assert plain.arithmetic.images.shape[1:] == (1, 8, 8)


def test_without_labels_and_with_few_colour_images_the_rest_still_works(tmp_path):
    path = tmp_path / "noise.npy"
    np.save(path, np.random.default_rng(0).integers(0, 256, (30, 9, 8, 3), dtype=np.uint8))
    small = {"model.latent_dim": 2, "model.hidden": 8, "threads": 1, "npz.path": str(path)}
    run = lk.run(model="dense-ae", dataset="npz", epochs=1, options=small, out=tmp_path)
    found = lk.explore.overview(run)
    assert set(found.left_out) == {"prior samples", "arithmetic"}
    assert "has no labels" in found.left_out["arithmetic"]
    assert found.grid.names == ("latent 0", "latent 1")
    assert found.neighbours.pixel_images.shape[2:] == (3, 9, 8)
    with pytest.raises(UserError, match="has no labels: name items by their number"):
        lk.explore.interpolate(run, 0, "class:3")


def test_views_that_need_no_images_work_without_the_data_set(vae, monkeypatch):
    again = lk.open(vae.path)

    def gone(split):
        raise LatentkitError("the images are gone")

    monkeypatch.setattr(again.explored.context, "images", gone)
    found = lk.explore.overview(again)
    assert set(found.left_out) == {"neighbours"}
    assert found.traversals.weight_name == "variance"
    with pytest.raises(LatentkitError, match="the images are gone"):
        lk.explore.neighbours(again, [0])


def test_pixels_of_a_large_set_are_compared_with_a_drawn_part_of_it(run, monkeypatch):
    from latentkit.explore import explored_run
    from latentkit.explore.exploration_figures import neighbours_figure

    whole = lk.explore.neighbours(run, [0], k=2)
    assert whole.n_searched == whole.n_training
    monkeypatch.setattr(explored_run, "_MOST_SEARCHED", 50)
    found = lk.explore.neighbours(run, [0], k=2)
    assert (found.n_searched, found.n_training) == (50, whole.n_training)
    assert found.in_pixels.distances[0, 0] >= whole.in_pixels.distances[0, 0]
    assert np.array_equal(found.in_latents.rows, whole.in_latents.rows)
    figure = neighbours_figure(run.explored, found, ["item 0"])
    said = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    assert "Pixels were compared with 50 of" in said
