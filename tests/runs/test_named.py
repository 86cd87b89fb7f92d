"""A run with a name starts once; the same command then resumes it."""

import shutil

import pytest

import latentkit as lk
from latentkit.errors import UserError
from latentkit.plugin.events import StageStarted

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


def begun(out, **arguments):
    return lk.run(**{"epochs": 1, "options": SMALL, "out": out, "name": "small", **arguments})


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs"), embed=["pca"])


def test_a_run_of_a_name_lies_in_a_folder_of_that_name(once):
    assert once.id == once.path.name == "small"


def test_the_same_call_does_nothing_again(once):
    before = (once.path / "model.safetensors").stat().st_mtime_ns
    done = []
    begun(once.path.parent, embed=["pca"], listener=done.append)
    assert not [event for event in done if isinstance(event, StageStarted)]
    assert (once.path / "model.safetensors").stat().st_mtime_ns == before
    assert lk.open(once.path).status == "finished"


def test_what_was_left_to_be_found_out_is_no_difference(once):
    options = {key: value for key, value in SMALL.items() if key != "threads"}
    assert begun(once.path.parent, options=options).maps == ["pca"]


def test_a_run_of_other_options_is_refused_and_named(once):
    with pytest.raises(UserError, match=r"'small'.*training\.epochs: 1 became 2.*--name"):
        begun(once.path.parent, epochs=2)
    other = {**SMALL, "model.hidden": []}
    with pytest.raises(UserError, match=r"model\.hidden"):
        begun(once.path.parent, options=other)


@pytest.mark.parametrize("name", ["a/b", ".."])
def test_a_name_that_is_a_path_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--out sets where"):
        begun(tmp_path / "runs", name=name)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_transfer_of_a_name_outlives_a_move_of_both(once, tmp_path):
    for place in (once.path.parent, tmp_path / "moved"):
        first = lk.transfer(
            place / "small", mode="probe", epochs=1, embed=[], name="probe", out=place
        )
        assert first.path == place / "probe"
        if place != tmp_path / "moved":
            shutil.copytree(place, tmp_path / "moved")
    with pytest.raises(UserError, match=r"transfer\.mode"):
        lk.transfer(place / "small", mode="finetune", epochs=1, embed=[], name="probe", out=place)


def test_a_map_that_is_missing_is_added_and_the_others_stay(once, tmp_path):
    place = shutil.copytree(once.path.parent, tmp_path / "copied")
    run = begun(place, embed=["isomap"])
    assert run.maps == ["isomap", "pca"]
