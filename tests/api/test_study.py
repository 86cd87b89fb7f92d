"""Studies made with one call: what an existing one keeps, and where its trials are stored."""

import json

import pytest

import latentkit as lk
from latentkit.api.tune import STORAGE_VARIABLE
from latentkit.errors import UserError
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
