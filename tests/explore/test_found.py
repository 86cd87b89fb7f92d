"""Samples, arithmetic, neighbours and comparisons of models, with known latents and decoders."""

import numpy as np
import pytest

from latentkit.errors import UserError
from latentkit.explore import samples
from latentkit.explore.compare_models import compare_settings
from latentkit.explore.samples import add_difference, mixture_samples, nearest

GENERATOR = np.random.default_rng(0)


def decode(latents):
    return latents[:, None, None, :]


def test_samples_of_a_mixture_come_from_the_clusters_it_was_fitted_to():
    centres = np.array([[-20.0, 0.0], [20.0, 5.0]])
    latents = np.concatenate([GENERATOR.normal(c, 1, (300, 2)) for c in centres])
    found = mixture_samples(decode, latents.astype(np.float32), 200, components=2)
    left = found.latents[:, 0] < 0
    assert 70 < left.sum() < 130
    assert np.allclose(found.latents[left].mean(axis=0), centres[0], atol=0.5)
    assert np.allclose(found.latents[~left].mean(axis=0), centres[1], atol=0.5)
    assert np.array_equal(found.images[:, 0, 0], found.latents)
    assert left[:20].any()
    assert not left[:20].all()  # the clusters are mixed, not one after the other
    # An even mixture of two standard normals: its entropy is log 2 + log(2 pi e).
    assert found.log_density.mean() == pytest.approx(-np.log(2) - np.log(2 * np.pi * np.e), abs=0.3)


def test_the_seed_decides_the_draws_of_a_mixture():
    latents = GENERATOR.normal(size=(100, 3)).astype(np.float32)
    first, again, other = (
        mixture_samples(decode, latents, 5, components=2, seed=seed).latents for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_a_mixture_of_identical_latents_can_be_sampled():
    found = mixture_samples(decode, np.ones((20, 3), np.float32), 4, components=2)
    assert np.allclose(found.latents, 1, atol=1e-2)


@pytest.mark.parametrize(("components", "count"), [(11, 1), (0, 1), (2, 0)])
def test_a_mixture_of_more_components_than_latents_is_refused(components, count):
    with pytest.raises(UserError, match="1 to 10 components"):
        mixture_samples(decode, np.ones((10, 2), np.float32), count, components=components)


def test_arithmetic_moves_an_item_from_one_class_to_the_other():
    latents = np.array([[0, 0], [2, 0], [10, 4], [12, 4]], np.float32)
    labels = np.array([0, 0, 1, 1])
    found = add_difference(decode, np.array([1, 1], np.float32), latents, labels, 1, 0, (0, 0.5, 1))
    assert found.difference.tolist() == [10, 4]
    assert found.latents.tolist() == [[1, 1], [6, 3], [11, 5]]
    assert found.mean_images[:, 0, 0].tolist() == [[11, 4], [1, 0]]
    with pytest.raises(UserError, match="no training image has the label 2"):
        add_difference(decode, latents[0], latents, labels, 2, 0)


def test_the_nearest_items_equal_those_of_all_distances(monkeypatch):
    monkeypatch.setattr(samples, "_CHUNK_VALUES", 200)
    reference = GENERATOR.integers(0, 256, (300, 1, 4, 5), dtype=np.uint8)
    rows = np.arange(0, 300, 2)
    queries = GENERATOR.random((6, 1, 4, 5)).astype(np.float32)
    tests = GENERATOR.random((9, 1, 4, 5)).astype(np.float32)
    found = nearest(queries, reference, 3, tests, rows)

    def distances(images):
        flat = reference[rows].reshape(150, -1) / 255
        return np.linalg.norm(images.reshape(len(images), 1, -1) - flat, axis=2)

    assert np.array_equal(found.rows, rows[np.argsort(distances(queries), axis=1)[:, :3]])
    assert np.allclose(found.distances, np.sort(distances(queries), axis=1)[:, :3], atol=1e-5)
    assert found.typical == pytest.approx(np.median(distances(tests).min(axis=1)), abs=1e-5)


def test_a_copy_has_ratio_zero_and_an_unseen_item_about_one():
    reference = GENERATOR.normal(size=(500, 8)).astype(np.float32) + 100
    others = GENERATOR.normal(size=(101, 8)).astype(np.float32) + 100
    found = nearest(np.stack([reference[42], others[0]]), reference, 2, others)
    assert found.rows[0, 0] == 42
    assert found.ratios[0] == 0
    assert 0.5 < found.ratios[1] < 2


def test_more_neighbours_than_items_are_refused():
    points = np.ones((3, 2), np.float32)
    with pytest.raises(UserError, match="the 4 nearest of 3 training images"):
        nearest(points, points, 4, points)


def test_models_are_compared_by_their_errors_on_the_originals():
    originals = GENERATOR.random((3, 1, 4, 4)).astype(np.float32)

    def encode(images):
        return images.reshape(len(images), -1)

    def exact(latents):
        return latents.reshape(-1, 1, 4, 4)

    models = {"exact": (encode, exact), "darker": (encode, lambda codes: exact(codes) - 0.1)}
    found = compare_settings(models, originals)
    assert found.names == ("exact", "darker")
    assert found.images.shape == (2, 3, 1, 4, 4)
    assert np.allclose(found.errors, [[0] * 3, [0.01] * 3], atol=1e-6)
    with pytest.raises(UserError, match="no model"):
        compare_settings({}, originals)
