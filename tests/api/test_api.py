import subprocess
import sys

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

import latentkit as lk
from latentkit.errors import UserError

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lk.run(embed=["pca"], epochs=1, options=SMALL, out=tmp_path_factory.mktemp("runs"))


def test_every_public_name_exists_and_is_documented():
    for name in lk.__all__:
        value = getattr(lk, name)
        if name != "__version__":
            assert value.__doc__, name
    assert set(lk.__all__) <= set(dir(lk))


def test_an_unknown_name_raises_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        _ = lk.nonsense


def test_importing_latentkit_imports_nothing_heavy():
    heavy = {"torch", "numpy", "sklearn", "scipy", "umap", "optuna", "matplotlib", "pydantic"}
    code = f"import sys, latentkit; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_importing_the_commands_does_not_import_scikit_learn_numba_or_optuna():
    slow = {"sklearn", "numba", "torchvision", "umap", "optuna"}
    code = f"import sys, latentkit.api.commands; print(sorted({slow} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_run_gives_latents_coordinates_labels_and_history(run):
    assert run.latents("test").shape == (360, 3)
    assert run.latents("train").shape == (1150, 3)
    assert run.latents("validation").shape == (287, 3)
    assert run.coordinates("pca").shape == (360, 2)
    assert run.labels("test").shape == (360,)
    images = lk.dataset("digits", "train")
    assert np.array_equal(images.labels[run.index("train")], run.labels("train"))
    assert [record["epoch"] for record in run.history] == [1]
    assert run.evaluation["reconstruction"]["mse"]["value"] > 0
    assert run.evaluation["maps"]["pca"]["n_points"] == 360
    assert run.class_names == tuple("0123456789")
    assert {"samples", "reconstructions", "loss", "map-pca"} < set(run.figures)


def test_the_model_of_a_run_gives_its_latents(run):
    images = torch.from_numpy(lk.dataset("digits", "test").images) / 255
    with torch.no_grad():
        latents = run.model.encode(images)
    assert np.allclose(latents.numpy(), run.latents("test"), atol=1e-5)


def test_a_run_shows_itself_in_a_notebook(run):
    assert run.id in run._repr_html_()
    assert "Test MSE, PCA of 3" in run._repr_html_()
    assert repr(run) == f"<Run {run.id}: finished>"


def test_an_unknown_map_or_split_is_refused_with_a_list_of_those_that_exist(run):
    with pytest.raises(UserError, match=r"it has pca; to add it:  latentkit embed"):
        run.coordinates("isomap")
    with pytest.raises(UserError, match=r"no split 'tests' \(did you mean 'test'\?\)"):
        run.latents("tests")


def test_runs_are_listed_and_opened_by_name(run):
    root = run.path.parent
    assert [found.id for found in lk.list_runs(root)] == [run.id]
    assert lk.open("last", root).id == run.id
    assert lk.open(run.id[-4:], root).id == run.id


def test_parts_are_built_in_one_call():
    images = lk.dataset("digits", split="test")
    assert images.image_shape == (1, 8, 8)
    model = lk.model("conv-ae", image_shape=(1, 28, 28), latent_dim=3)
    assert model.encode(torch.rand(2, 1, 28, 28)).shape == (2, 3)
    assert lk.embedding("isomap", n_neighbors=10).n_neighbors == 10
    with pytest.raises(UserError, match=r"has no option 'latent_dims' \(did you mean 'latent_dim'"):
        lk.model("conv-ae", image_shape=(1, 28, 28), latent_dims=3)


def test_a_latent_encoder_works_in_a_scikit_learn_pipeline():
    images = lk.dataset("digits", "train")
    encoder = lk.LatentEncoder(latent_dim=6, epochs=3, model_options={"hidden": 32})
    pipeline = make_pipeline(encoder, LogisticRegression(max_iter=2000))
    pipeline.fit(images.images, images.labels)
    test = lk.dataset("digits", "test")
    assert pipeline.score(test.images, test.labels) > 0.5
    rebuilt = encoder.inverse_transform(encoder.transform(test.images))
    assert rebuilt.shape == test.images.shape
    assert (((rebuilt - test.images) / 255) ** 2).mean() < 0.06
    assert len(encoder.get_feature_names_out()) == 6


def test_a_cloned_latent_encoder_with_the_same_seed_gives_the_same_latents():
    images = lk.dataset("digits", "test").images[:100]
    encoder = lk.LatentEncoder(latent_dim=2, epochs=1, random_state=5)
    first = encoder.fit(images).transform(images)
    assert np.array_equal(clone(encoder).fit_transform(images), first)
    floats = clone(encoder).fit(images[:, 0] / 255).transform(images[:, 0] / 255)
    assert np.array_equal(floats, first)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.full((10, 8, 8), 255.0), r"reach from 255 to 255, expected \[0, 1\]: divide by 255"),
        (np.zeros((10, 4, 4)), r"too small for a model.* reshape X to vectors \(N, 16\)"),
        (np.zeros((10, 8, 8), int), "are int64, expected uint8"),
        (np.zeros((10, 2, 8, 8), np.uint8), "1 or 3 channels"),
    ],
)
def test_a_latent_encoder_refuses_arrays_that_are_not_images(images, message):
    with pytest.raises(UserError, match=message):
        lk.LatentEncoder(epochs=1).fit(images)


def test_a_study_stores_its_trials_as_runs_and_resumes(tmp_path):
    arguments = {
        "epochs": 1,
        "options": {"model.latent_dim": 3},
        "tuner_options": {"pruner": "none"},
        "out": tmp_path,
    }
    study = lk.tune(trials=2, **arguments)
    assert [trial.state for trial in study.result.trials] == ["complete", "complete"]
    assert "model.latent_dim" not in study.best_params
    assert set(study.best_params) >= {"model.activation", "training.learning_rate"}
    best = study.best_run
    assert best.history[-1]["validation"]["loss"] == study.result.best.values[0]
    assert best.config.model.options.activation == study.best_params["model.activation"]
    more = lk.tune(trials=3, **arguments)
    assert more.result.trials[:2] == study.result.trials
    assert len(more.result.trials) == 3


@pytest.mark.parametrize("name", ["explore", "export", "transfer", "tune"])
def test_a_subpackage_of_the_same_name_does_not_replace_a_public_name(name):
    code = f"""
from importlib import import_module
from pkgutil import iter_modules
import latentkit as lk
folder = import_module("latentkit.{name}")
for module in iter_modules(folder.__path__):
    import_module(f"latentkit.{name}.{{module.name}}")
assert lk.{name} is not folder
assert getattr(lk.{name}, "__module__", lk.{name}.__name__).startswith("latentkit.api.")
"""
    subprocess.run([sys.executable, "-c", code], check=True)
