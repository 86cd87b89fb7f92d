"""A map that is refused or fails leaves the run unchanged."""

import shutil

import pytest

import latentkit as lk
from latentkit.errors import LatentkitError, UserError
from latentkit.maps import make
from latentkit.runs.manifest import read_manifest

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3}


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return lk.run(epochs=1, options=SMALL, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(original, tmp_path):
    return lk.open(shutil.copytree(original.path, tmp_path / original.id))


def config_of(run):
    return (run.path / "config.toml").read_bytes()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"on": 99_999}, "a map of 99,999 points is not possible: there are only 1,797"),
        ({"align_to": "#isomap"}, "there is no map 'isomap' to align it to .*: add that map first"),
        ({"align_to": "#pca"}, "there is no map 'pca' to align it to"),
        ({"align_to": "nosuch"}, "there is no run 'nosuch'"),
    ],
    ids=str,
)
def test_impossible_maps_are_refused_before_anything_is_written(run, asked, said):
    before = config_of(run)
    told = []
    with pytest.raises(UserError, match=said):
        lk.embed(run.path, ["pca"], listener=told.append, **asked)
    assert not told
    assert config_of(run) == before
    assert lk.open(run.path).status == "finished"
    assert lk.embed(run.path, ["pca"]).maps == ["pca"]


def test_a_map_that_fails_is_removed_and_the_others_stay(run, monkeypatch):
    fit = make.fit_embedding

    def faulty(estimator, name, *arguments, **options):
        if name == "isomap":
            raise LatentkitError("no luck")
        return fit(estimator, name, *arguments, **options)

    monkeypatch.setattr(make, "fit_embedding", faulty)
    before = config_of(run)
    with pytest.raises(LatentkitError, match="no luck"):
        lk.embed(run.path, ["isomap"])
    assert config_of(run) == before
    assert lk.open(run.path).status == "finished"
    with pytest.raises(LatentkitError, match="no luck"):
        lk.embed(run.path, ["pca", "isomap"])
    monkeypatch.undo()
    assert lk.resume(run.path).maps == ["pca"]


def test_a_map_that_cannot_be_remade_keeps_its_old_coordinates(run, monkeypatch):
    run = lk.embed(run.path, ["pca"])
    before, points = config_of(run), run.coordinates("pca")

    def faulty(*arguments, **options):
        raise LatentkitError("no luck")

    monkeypatch.setattr(make, "fit_embedding", faulty)
    with pytest.raises(LatentkitError, match="no luck"):
        lk.embed(run.path, ["pca"], options={"pca.n_components": 3})
    assert config_of(run) == before
    same = lk.open(run.path)
    assert same.status == "finished"
    assert (same.coordinates("pca") == points).all()


def test_a_new_run_refuses_a_map_of_more_points_than_it_has(tmp_path):
    config = {"embedding": [{"name": "pca", "on": 99_999}]}
    with pytest.raises(UserError, match="there are only 1,797"):
        lk.run(config=config, epochs=1, options=SMALL, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_the_plugin_file_of_a_failed_map_is_not_required_later(run, monkeypatch):
    def faulty(*arguments, **options):
        raise LatentkitError("no luck")

    monkeypatch.setattr(make, "fit_embedding", faulty)
    monkeypatch.setattr(
        "latentkit.runs.saved_config.plugin_files", lambda registry: {"gone.py": "0" * 64}
    )
    with pytest.raises(LatentkitError, match="no luck"):
        lk.embed(run.path, ["pca"])
    monkeypatch.undo()
    assert lk.embed(run.path, ["pca"]).maps == ["pca"]


def test_a_run_whose_training_failed_before_a_map_is_not_finished(run, monkeypatch):
    manifest = read_manifest(run.path)
    manifest.status = "interrupted"
    manifest.stages.pop("train")
    manifest.write(run.path)

    def faulty(*arguments, **options):
        raise LatentkitError("no luck")

    monkeypatch.setattr("latentkit.runs.autoencoder_kind.train", faulty)
    with pytest.raises(LatentkitError, match="no luck"):
        lk.embed(run.path, ["pca"])
    assert lk.open(run.path).status == "failed"
