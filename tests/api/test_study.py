"""Studies made with one call: what an existing one keeps, and where its trials are stored."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

import latentkit as lk
from latentkit.api.tune import STORAGE_VARIABLE, Study
from latentkit.errors import DataError, UserError
from latentkit.plugin.database_urls import public_url
from latentkit.plugin.events import Notice
from latentkit.tune.storage_url import absolute_url

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {
    "options": {"model.channels": [4], "model.hidden": [16], "model.latent_dim": 2, "threads": 1},
    "epochs": 1,
    "tuner_options": {"sampler": "random", "pruner": "none"},
}


@pytest.fixture
def tune(tmp_path):
    """Return a function that starts or resumes a small study on digits."""

    def make(**arguments):
        places = {"out": tmp_path / "studies", "data": tmp_path / "data"}
        return lk.tune(**places, finish=False, **arguments)

    return make


def test_a_study_of_the_same_name_keeps_its_number_of_trials(tune):
    tune(name="s", trials=1, **SMALL)
    again = tune(name="s", **SMALL)
    assert again.plan.trials == 1
    assert [trial.state for trial in again.result.trials] == ["complete"]


def test_no_more_workers_are_started_than_trials_are_left(tune):
    told = []
    study = tune(name="s", trials=1, workers=1000, listener=told.append, **SMALL)
    assert [trial.state for trial in study.result.trials] == ["complete"]
    notices = [event.message for event in told if isinstance(event, Notice)]
    assert "1 trial is left: 1 of 1000 workers started" in notices


@pytest.mark.parametrize(
    "limit", [{"workers": 0}, {"trials": -1}, {"seconds": float("nan")}, {"seconds": float("inf")}]
)
def test_a_limit_that_is_no_positive_number_is_refused(tune, limit):
    with pytest.raises(UserError, match="should be more than 0, and not infinite"):
        tune(**limit)


def test_a_study_whose_images_were_replaced_does_not_resume(tune, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8), np.uint8)
    path = tmp_path / "mine.npz"
    small = {**SMALL, "options": {**SMALL["options"], "dataset.path": str(path)}}
    np.savez(path, images=images)
    tune(name="s", trials=1, dataset="npz", **small)
    np.savez(path, images=255 - images)
    for asked in ({"name": "s", "dataset": "npz", **small}, {"resume": "s"}):
        for workers in (1, 2):
            with pytest.raises(DataError, match="images are not those that study 's' began with"):
                tune(trials=3, workers=workers, **asked)
    path.unlink()
    with pytest.raises(DataError):
        tune(resume="s", trials=3)
    assert len(lk.open_study("s", out=tmp_path / "studies").result.trials) == 1


def test_the_environment_does_not_move_a_study_out_of_its_folder(tune, tmp_path, monkeypatch):
    tune(name="s", trials=1, **SMALL)
    monkeypatch.setenv(STORAGE_VARIABLE, f"sqlite:///{tmp_path}/shared.db")
    for again in (tune(name="s", trials=2, **SMALL), tune(resume="s", trials=3)):
        assert again.plan.storage == ""
    assert len(again.result.trials) == 3
    assert not (tmp_path / "shared.db").exists()
    assert tune(name="new", trials=1, **SMALL).plan.storage.endswith("shared.db")


def test_a_study_is_found_from_another_folder(tune, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tune(name="s", trials=1, storage="sqlite:///trials.db", **SMALL)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = tune(resume="s")
    assert len(again.result.trials) == 1
    assert json.loads((again.path / "study.json").read_text())["storage"] == (
        f"sqlite:///{tmp_path}/trials.db"
    )


@pytest.mark.parametrize("name", ["a/b", "../s", "..", ".", "/s"])
def test_a_name_that_leaves_the_folder_of_studies_is_refused(name, tune):
    with pytest.raises(UserError, match="should be the name of a folder"):
        tune(name=name, **SMALL)


def test_a_search_with_a_predictable_result_gives_a_notice(tune):
    told = []
    small = {**SMALL, "options": {"model.hidden": [16], "threads": 1}}
    tune(model="dense-vae", corrupt=["gaussian-noise"], trials=1, listener=told.append, **small)
    codes = [event.code for event in told if isinstance(event, Notice)]
    assert codes[:3] == ["latent-dim-searched", "beta-searched", "corruption-searched"]


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("postgresql://me:secret@host/db", "postgresql://me@host/db"),
        ("postgresql://me:se/cr?t@host:5/db", "postgresql://me@host:5/db"),
        ("postgresql://:secret@host/db", "postgresql://@host/db"),
        (
            "postgresql://host/db?user=me&password=secret&sslmode=require",
            "postgresql://host/db?user=me&sslmode=require",
        ),
        ("sqlite:////data/a:b@c/study.db", "sqlite:////data/a:b@c/study.db"),
        (None, ""),
    ],
)
def test_no_password_is_written_to_disk(url, public):
    assert public_url(url) == public


def test_the_url_of_a_database_file_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute_url("sqlite:///a b.db?timeout=3") == f"sqlite:///{tmp_path}/a b.db?timeout=3"
    for url in ("sqlite:////data/s.db", "sqlite:///:memory:", "postgresql://host/db"):
        assert absolute_url(url) == url


def test_the_name_of_a_study_does_not_control_a_terminal(tmp_path):
    shown = Study.__repr__(SimpleNamespace(name="a\x1b[31m", path=tmp_path))
    assert shown == f"<Study a\\x1b[31m: {tmp_path}>"
