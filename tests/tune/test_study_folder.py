import json
from dataclasses import replace

import pytest

from latentkit.errors import DataError, IntegrityError, UserError
from latentkit.hashed_json import write_hashed
from latentkit.plugin import SearchRange
from latentkit.tune.study_folder import (
    STUDY,
    StudyFolder,
    StudyPlan,
    find_study,
    study_folders,
)


@pytest.fixture
def plan():
    return StudyPlan(
        name="s",
        config={"seed": 3, "model": {"name": "conv-ae", "latent_dim": 8}},
        space={"training.learning_rate": SearchRange(1e-4, 1e-2, log=True)},
        objectives=("mse", "knn"),
        tuner={"name": "optuna", "sampler": "tpe"},
        data_dir="data",
    )


def test_a_study_is_read_back_as_it_was_created(tmp_path, plan):
    folder = StudyFolder.begin(tmp_path / "s", plan)
    assert StudyFolder.open(folder.path).plan == plan
    assert study_folders(tmp_path) == [folder.path]
    assert find_study("s", tmp_path) == folder.path


def test_a_study_keeps_the_notes_of_its_images(tmp_path, plan):
    folder = StudyFolder.begin(tmp_path / "s", replace(plan, notes=("29 of 29 images are dark",)))
    assert StudyFolder.open(folder.path).plan.notes == ("29 of 29 images are dark",)
    write_hashed(folder.path / STUDY, {**folder.plan.as_dict(), "notes": [1]})
    with pytest.raises(IntegrityError, match="notes"):
        StudyFolder.open(folder.path)


def test_a_study_resumes_with_more_trials_or_another_storage_but_not_another_search(tmp_path, plan):
    StudyFolder.begin(tmp_path / "s", plan)
    more = replace(plan, trials=30, storage="postgresql://host/db")
    assert StudyFolder.begin(tmp_path / "s", more).plan.trials == 30
    assert StudyFolder.open(tmp_path / "s").plan == more
    other = replace(plan, space={"training.learning_rate": SearchRange(1e-4, 1e-1, log=True)})
    with pytest.raises(UserError, match=r"learning_rate\.high: 0\.01 became 0\.1"):
        StudyFolder.begin(tmp_path / "s", other)
    with pytest.raises(UserError, match=r"tuner\.sampler: \"tpe\" became \"gp\""):
        StudyFolder.begin(tmp_path / "s", replace(plan, tuner={"name": "optuna", "sampler": "gp"}))
    assert StudyFolder.open(tmp_path / "s").plan == more


def test_a_study_does_not_resume_with_other_images(tmp_path, plan):
    images = {"train": "a" * 64, "test": "b" * 64}
    begun = StudyFolder.begin(tmp_path / "s", replace(plan, images=images))
    assert StudyFolder.open(begun.path).plan.images == images
    with pytest.raises(DataError, match="the test images are not those that study 's' began with"):
        begun.continued(replace(plan, images={**images, "test": "c" * 64}))


def test_a_study_of_an_early_version_resumes_without_knowing_its_images(tmp_path, plan):
    begun = StudyFolder.begin(tmp_path / "s", plan)
    begun.continued(replace(plan, images={"train": "a", "test": "b"}))
    assert not StudyFolder.open(begun.path).plan.images


def test_the_task_of_a_tuner_follows_the_plan(tmp_path, plan):
    task = plan.task(tmp_path)
    assert task.storage == f"sqlite:///{tmp_path}/study.db"
    assert task.directions == ("minimize", "maximize")
    assert plan.task(tmp_path, "sqlite:///other.db").storage == "sqlite:///other.db"
    assert replace(plan, trials=99).task(tmp_path) == task
    assert replace(plan, config={**plan.config, "seed": 4}).task(tmp_path).seed != task.seed


def test_a_folder_that_a_url_cannot_name_is_refused(tmp_path, plan):
    with pytest.raises(UserError, match=r"contains '\?'"):
        plan.task(tmp_path / "what?")
    assert plan.task(tmp_path / "what?", "sqlite:///other.db").storage == "sqlite:///other.db"


def test_a_folder_without_a_study_or_with_a_damaged_one_is_refused(tmp_path, plan):
    with pytest.raises(UserError, match="there is no study in"):
        StudyFolder.open(tmp_path)
    folder = StudyFolder.begin(tmp_path / "fine", plan)
    with pytest.raises(UserError, match=r"no study 'fime' \(did you mean 'fine'\?\)"):
        find_study("fime", tmp_path)
    record = unhashed((folder.path / STUDY).read_text())
    write_hashed(folder.path / STUDY, {**record, "schema": 9})
    with pytest.raises(IntegrityError, match="its schema is 9"):
        StudyFolder.open(folder.path)


def unhashed(text):
    """Return a document without its hash."""
    return {key: value for key, value in json.loads(text).items() if key != "sha256"}


@pytest.mark.parametrize(
    "fields",
    [
        {"schema": 9},
        {"space": []},
        {"space": {"training.learning_rate": 0.1}},
        {"space": {"training.learning_rate": {"low": "a", "high": "b"}}},
        {"space": {"training.learning_rate": {"low": 1, "high": 2, "step": 0}}},
        {"tuner": "optuna"},
        {"config": {}},
        {"trials": "ten"},
        {"objectives": [1]},
        None,
    ],
    ids=str,
)
def test_a_study_that_cannot_be_read_is_listed_and_says_so_when_opened(tmp_path, plan, fields):
    fine = StudyFolder.begin(tmp_path / "fine", plan)
    record = tmp_path / "harmed" / STUDY
    StudyFolder.begin(record.parent, plan)
    text = record.read_text()
    if fields is None:
        record.write_text(text[:100])
    else:
        write_hashed(record, {**unhashed(text), **fields})
    assert study_folders(tmp_path) == [fine.path, record.parent]
    with pytest.raises(IntegrityError, match=r"study\.json (cannot be read|is damaged): "):
        StudyFolder.open(record.parent)
