"""`LatentEncoder` keeps scikit-learn's contract: its checks, and cases that they miss."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import latentkit as lk
from latentkit.errors import IntegrityError, UserError

TINY = {"latent_dim": 2, "epochs": 2, "model_options": {"hidden": [16]}}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


# No check is expected to fail.
@parametrize_with_checks(
    [lk.LatentEncoder(**TINY), lk.LatentEncoder(model="dense-vae", random_state=None, **TINY)]
)
def test_scikit_learns_own_checks(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def iris():
    return load_iris()


@pytest.fixture(scope="module")
def fitted(iris):
    return lk.LatentEncoder(latent_dim=2, epochs=20, model_options={"hidden": [32]}).fit(iris.data)


@pytest.fixture(scope="module")
def digits():
    return lk.dataset("digits", "test").images[:120]


def test_inverse_transform_returns_vectors_in_their_original_units(fitted, iris):
    rebuilt = fitted.inverse_transform(fitted.transform(iris.data))
    assert rebuilt.dtype == np.float64
    explained = (
        1 - ((rebuilt - iris.data) ** 2).sum() / ((iris.data - iris.data.mean(0)) ** 2).sum()
    )
    assert explained > 0.8
    assert (rebuilt >= iris.data.min(0)).all()
    assert (rebuilt <= iris.data.max(0)).all()


@pytest.mark.parametrize("unit", [1e-9, 1e12])
def test_the_units_of_features_do_not_matter(fitted, iris, unit):
    other = clone(fitted).fit(iris.data * unit)
    assert np.allclose(other.transform(iris.data * unit), fitted.transform(iris.data), atol=1e-3)


def test_a_constant_feature_is_reconstructed_exactly():
    vectors = np.column_stack([np.full(20, 1234.5678), np.linspace(-5, 5, 20)])
    encoder = lk.LatentEncoder(**TINY).fit(vectors)
    assert (encoder.inverse_transform(encoder.transform(vectors))[:, 0] == 1234.5678).all()


def test_values_outside_the_fitted_range_are_not_clipped(fitted, iris):
    edge, far = iris.data.max(0)[None], 2 * iris.data.max(0)[None]
    assert not np.allclose(fitted.transform(edge), fitted.transform(far), atol=1e-3)


def test_a_range_that_overflows_is_refused():
    vectors = np.zeros((5, 3))
    vectors[:2, 1] = 1.5e308, -1.5e308
    with pytest.raises(ValueError, match=r"feature 1 ranges from -1.5e\+308 to 1.5e\+308"):
        lk.LatentEncoder(**TINY).fit(vectors)


def test_float32_input_gives_float32_output(iris):
    encoder = lk.LatentEncoder(**TINY).fit(iris.data.astype(np.float32))
    latents = encoder.transform(iris.data)
    assert (latents.dtype, encoder.inverse_transform(latents).dtype) == (np.float32, np.float32)


def test_a_data_frame_gives_a_data_frame(iris):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(iris.data, columns=iris.feature_names, index=range(1000, 1150))
    encoder = lk.LatentEncoder(**TINY).set_output(transform="pandas").fit(frame)
    latents = encoder.transform(frame)
    assert list(latents.columns) == ["latentencoder0", "latentencoder1"]
    assert list(latents.index) == list(frame.index)
    assert list(encoder.feature_names_in_) == iris.feature_names


def test_a_grid_search_selects_by_reconstruction_error(iris):
    encoder = lk.LatentEncoder(model_options={"hidden": [64]})
    search = GridSearchCV(encoder, {"latent_dim": np.array([1, 3])}, cv=2)
    search.fit(np.random.default_rng(0).permutation(iris.data))
    assert search.best_params_ == {"latent_dim": 3}
    assert -0.1 < search.best_score_ < 0


def test_a_grid_search_selects_by_the_score_of_a_classifier(iris):
    pipeline = make_pipeline(lk.LatentEncoder(epochs=10), LogisticRegression())
    grid = {"latentencoder__model": ["dense-ae", "dense-vae"], "latentencoder__latent_dim": [2]}
    search = GridSearchCV(pipeline, grid, cv=2).fit(iris.data, iris.target)
    assert search.best_score_ > 0.6
    assert search.best_estimator_[0].model_config_["latent_dim"] == 2


@pytest.mark.parametrize(
    ("lay_out", "white"),
    [
        (lambda images: images[:, 0], 255),
        (lambda images: images[:, 0] / 255, 1),
        (lambda images: images.repeat(3, axis=1), 255),
        (lambda images: np.float32(images.repeat(3, axis=1).transpose(0, 2, 3, 1)) / 255, 1),
    ],
    ids=["grey bytes", "grey floats", "colour bytes", "floats, channels last"],
)
def test_inverse_transform_keeps_the_layout_of_the_images(digits, lay_out, white):
    images = lay_out(digits)
    encoder = lk.LatentEncoder(latent_dim=4, epochs=2).fit(images)
    assert encoder.model_config_["name"] == "conv-ae"
    assert encoder.n_features_in_ == np.prod(images.shape[1:])
    rebuilt = encoder.inverse_transform(encoder.transform(images))
    assert (rebuilt.shape, rebuilt.dtype) == (images.shape, np.float32)
    assert white / 10 < rebuilt.max() <= white
    error = np.mean(((rebuilt - images.astype(np.float64)) / white) ** 2)
    assert encoder.score(images) == pytest.approx(-error, rel=1e-4)


def test_memory_mapped_images_give_the_same_latents(digits, tmp_path):
    np.save(tmp_path / "images.npy", digits)
    mapped = np.load(tmp_path / "images.npy", mmap_mode="c")
    encoder = lk.LatentEncoder(latent_dim=3, epochs=1)
    expected = encoder.fit_transform(digits)
    assert np.allclose(clone(encoder).fit_transform(mapped), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :, :-1], r"images of shape \(1, 8, 7\), but LatentEncoder was fitted to"),
        (
            lambda x: x.reshape(len(x), -1),
            "X holds vectors, but LatentEncoder was fitted to images",
        ),
        (lambda x: np.where(x == 0, np.nan, x), "Input X contains NaN"),
        (lambda x: x + 1, r"images reach from 1 to 2, expected \[0, 1\]"),
    ],
)
def test_images_unlike_the_fitted_ones_are_refused(digits, change, message):
    images = digits[:, 0] / 255
    encoder = lk.LatentEncoder(latent_dim=2, epochs=1).fit(images)
    with pytest.raises(ValueError, match=message):
        encoder.transform(change(images))


def test_an_encoder_fitted_to_vectors_refuses_images(fitted):
    with pytest.raises(ValueError, match="X holds images, but LatentEncoder was fitted to vectors"):
        fitted.transform(np.zeros((5, 8, 8)))


def test_latents_with_another_number_of_dimensions_are_refused(fitted):
    with pytest.raises(ValueError, match="X has 3 latent dimensions, but LatentEncoder has 2"):
        fitted.inverse_transform(np.zeros((5, 3)))


def test_an_encoder_that_is_not_fitted_raises_not_fitted_error(iris):
    for call in ("transform", "inverse_transform", "score"):
        with pytest.raises(NotFittedError):
            getattr(lk.LatentEncoder(), call)(iris.data)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"model": "conv-ae"}, r"'conv-ae' takes images, but X has rows.*\(dense-ae, dense-vae"),
        ({"model": "dens-ae"}, "no model 'dens-ae' \\(did you mean 'dense-ae'"),
        ({"epochs": 0.5}, "training: epochs = 0.5 is not valid"),
        ({"model_options": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"training_options": {"rate": 3}}, "training has no option 'rate'"),
        ({"validation": 0.99}, r"validation=0.99 leaves 1 of 50 samples"),
        ({"random_state": -1}, "seed = -1 is not valid"),
    ],
)
def test_fit_names_an_invalid_parameter(iris, parameters, message):
    with pytest.raises(UserError, match=message):
        lk.LatentEncoder(**{**TINY, **parameters}).fit(iris.data[:50])


def test_a_random_state_gives_a_new_seed_at_each_fit_and_an_integer_does_not(iris):
    state = np.random.RandomState(0)
    drawn = [lk.LatentEncoder(**TINY, random_state=state).fit(iris.data).seed_ for _ in range(2)]
    assert drawn[0] != drawn[1]
    fixed = lk.LatentEncoder(**TINY, random_state=drawn[0])
    first = fixed.fit_transform(iris.data)
    assert np.array_equal(fixed.fit_transform(iris.data), first)


def test_fitting_leaves_global_random_states_alone(iris):
    torch.manual_seed(3)
    np.random.seed(3)
    expected = torch.rand(3), np.random.rand(3)
    torch.manual_seed(3)
    np.random.seed(3)
    lk.LatentEncoder(**TINY).fit(iris.data)
    assert torch.equal(torch.rand(3), expected[0])
    assert np.array_equal(np.random.rand(3), expected[1])


def test_progress_is_one_line_per_epoch_and_off_by_default(iris, capsys):
    encoder = lk.LatentEncoder(**TINY).fit(iris.data)
    assert capsys.readouterr().out == ""
    clone(encoder).set_params(verbose=True).fit(iris.data)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "[LatentEncoder] epoch 1/2",
        "[LatentEncoder] epoch 2/2",
    ]


@pytest.mark.parametrize("way", ["pickle", "deepcopy", "file"])
def test_a_saved_or_copied_encoder_gives_the_same_results(fitted, iris, tmp_path, way):
    if way == "pickle":
        content = pickle.dumps(fitted)
        assert b"torch" not in content
        kept = pickle.loads(content)
    elif way == "deepcopy":
        kept = copy.deepcopy(fitted)
    else:
        fitted.save(tmp_path / "encoder.safetensors")
        kept = lk.LatentEncoder.load(tmp_path / "encoder.safetensors")
    latents = fitted.transform(iris.data)
    assert np.array_equal(kept.transform(iris.data), latents)
    assert np.array_equal(kept.inverse_transform(latents), fitted.inverse_transform(latents))
    assert kept.get_params() == fitted.get_params()
    assert (kept.seed_, kept.n_features_in_) == (fitted.seed_, fitted.n_features_in_)
    assert list(kept.history_) == list(fitted.history_)


def test_an_image_encoder_with_a_random_state_can_be_saved_and_loaded(digits, tmp_path):
    state = np.random.RandomState(5)
    encoder = lk.LatentEncoder(latent_dim=np.int64(3), epochs=1, random_state=state).fit(digits)
    encoder.save(tmp_path / "encoder.safetensors")
    kept = lk.LatentEncoder.load(tmp_path / "encoder.safetensors")
    latents = encoder.transform(digits)
    assert np.array_equal(kept.transform(digits), latents)
    assert np.array_equal(kept.inverse_transform(latents), encoder.inverse_transform(latents))
    assert kept.random_state == encoder.seed_
    assert np.array_equal(kept.fit(digits).transform(digits), latents)


def test_feature_names_are_saved_and_loaded(iris, tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(iris.data, columns=iris.feature_names)
    lk.LatentEncoder(**TINY).fit(frame).save(tmp_path / "encoder.safetensors")
    kept = lk.LatentEncoder.load(tmp_path / "encoder.safetensors")
    with pytest.raises(ValueError, match="feature names should match"):
        kept.transform(frame.rename(columns={iris.feature_names[0]: "length"}))


def test_loading_a_pickle_of_another_version_warns(fitted):
    state = {**fitted.__getstate__(), "_latentkit_version": "0.0.1"}
    with pytest.warns(UserWarning, match=r"pickled by latentkit 0.0.1 is loaded by"):
        lk.LatentEncoder().__setstate__(state)


def test_a_flipped_bit_in_a_saved_file_is_detected(fitted, tmp_path):
    path = tmp_path / "encoder.safetensors"
    fitted.save(path)
    content = path.read_bytes()
    last_digits = [found.start() for found in re.finditer(rb"\d(?=[,}])", content)]
    for position in (*np.random.default_rng(0).integers(8, len(content), 60), *last_digits):
        changed = bytearray(content)
        changed[position] ^= 1
        path.write_bytes(changed)
        with pytest.raises((IntegrityError, UserError)) as caught:
            lk.LatentEncoder.load(path)
        assert "\n" not in str(caught.value)
        assert str(path) in str(caught.value)


def test_a_file_that_is_not_an_encoder_is_refused_in_one_line(fitted, tmp_path):
    with pytest.raises(UserError, match="cannot read the encoder"):
        lk.LatentEncoder.load(tmp_path / "nothing")
    text, weights = tmp_path / "text", tmp_path / "weights"
    text.write_text("not tensors")
    with pytest.raises(UserError, match="is not a complete encoder file"):
        lk.LatentEncoder.load(text)
    from safetensors.torch import save_file

    save_file({"a": torch.zeros(2)}, weights)
    with pytest.raises(UserError, match=r"is not an encoder: name a file that"):
        lk.LatentEncoder.load(weights)
    with pytest.raises(NotFittedError):
        lk.LatentEncoder().save(text)


def test_a_model_without_a_decoder_encodes_and_says_that_it_reconstructs_nothing(
    digits, monkeypatch, tmp_path
):
    plugin = Path(__file__).parents[1] / "own_encoders.py"
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(plugin))
    encoder = lk.LatentEncoder(model="own-views", epochs=1)
    assert hasattr(encoder, "inverse_transform")  # not known before the model is
    latents = encoder.fit(digits).transform(digits)
    assert latents.shape == (120, 16)
    assert not hasattr(encoder, "inverse_transform")
    with pytest.raises(AttributeError) as refused:
        encoder.score(digits)
    assert "model 'own-views' has no decoder" in str(refused.value.__cause__)
    encoder.save(tmp_path / "encoder.safetensors")
    again = lk.LatentEncoder.load(tmp_path / "encoder.safetensors")
    assert np.array_equal(again.transform(digits), latents)


def test_a_model_without_a_loss_is_fitted_without_epochs(digits, monkeypatch):
    plugin = Path(__file__).parents[1] / "own_encoders.py"
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(plugin))
    assert lk.LatentEncoder(model="own-frozen").fit(digits).history_ == ()
    with pytest.raises(UserError, match="has no loss, so it is not trained"):
        lk.LatentEncoder(model="own-frozen", epochs=1).fit(digits)
