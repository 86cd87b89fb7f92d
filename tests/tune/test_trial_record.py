"""The files of a study's folder: damage is noticed, and nothing leads out of the folder."""

import hashlib
import math
import os
import random
from dataclasses import replace

import pytest

from latentkit.errors import IntegrityError, StorageError, UserError
from latentkit.plugin import SearchRange, StudyResult, TrialRecord, check_sqlite_files
from latentkit.tune.study_folder import (
    DATABASE,
    STUDY,
    StudyFolder,
    StudyPlan,
    study_folders,
)
from latentkit.tune.trial_record import (
    TRIALS,
    commit_trials,
    read_trials,
    verified,
)

RATE = "training.learning_rate"
FOUND = (
    TrialRecord(0, "complete", {RATE: 0.01}, (0.5,), 1.5, {1: 0.7, 2: 0.5}, {"epochs": 2}),
    TrialRecord(1, "pruned", {RATE: 0.001}, (), 1.0, {1: math.inf}),
    TrialRecord(2, "failed", {RATE: 0.002}, (), 1.0, {}, {}, "it is \udcff"),
    TrialRecord(3, "running", {RATE: 0.003}),
)
RESULT = StudyResult("s", ("minimize",), FOUND)


@pytest.fixture
def study(tmp_path):
    plan = StudyPlan(
        name="s",
        config={"seed": 0},
        space={RATE: SearchRange(1e-4, 1e-2)},
        objectives=("loss",),
        tuner={"name": "optuna"},
        data_dir="data",
    )
    folder = StudyFolder.begin(tmp_path / "studies" / "s", plan)
    (folder.path / DATABASE).touch()
    return folder


@pytest.mark.parametrize(
    "changed", [{"reports": {1: "text"}}, {"notes": {"epochs": "text"}}, {"values": ("text",)}]
)
def test_a_trial_with_a_value_of_a_wrong_type_is_damage(study, changed):
    with pytest.raises(IntegrityError, match=r"study\.db is damaged: .*(text|number)"):
        verified(study, replace(RESULT, trials=(replace(FOUND[0], **changed),)))


def test_finished_trials_are_read_back_as_they_were_recorded(study):
    assert read_trials(study) is None
    commit_trials(study, RESULT)
    assert read_trials(study).trials == FOUND[:3]
    commit_trials(study, replace(RESULT, trials=FOUND[:1]))  # of a process that lags behind
    assert len(read_trials(study).trials) == 3
    assert verified(study, RESULT) == RESULT


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"values": (0.25,)}, r"study\.db is damaged: trial 0 has value 0.25, trials.json has 0.5"),
        ({"state": "failed", "values": ()}, "trial 0 has state failed, trials.json has complete"),
        ({"params": {RATE: 0.02}}, f"trial 0 has {RATE} 0.02, trials.json has 0.01"),
        ({"reports": {1: 0.7, 2: 0.6}}, "trial 0 has 2 0.6, trials.json has 0.5"),
        ({"number": 7}, "it lacks trial 0"),
        ({"values": (0.5, 0.5)}, "trial 0 has 2 values, expected 1"),
        ({"values": (math.nan,)}, "not finite"),
    ],
)
def test_a_trial_that_differs_from_its_record_is_named(study, changed, message):
    commit_trials(study, RESULT)
    other = replace(RESULT, trials=(replace(FOUND[0], **changed), *FOUND[1:]))
    with pytest.raises(IntegrityError, match=message):
        verified(study, other)


def test_damage_to_seconds_notes_and_errors_is_repaired_from_the_record(study):
    commit_trials(study, RESULT)
    harmed = replace(FOUND[0], seconds=9e9, notes={}, error="?")
    assert verified(study, replace(RESULT, trials=(harmed, *FOUND[1:]))) == RESULT


def test_a_missing_database_is_noticed_and_another_storage_starts_anew(study):
    commit_trials(study, RESULT)
    moved = replace(study, plan=replace(study.plan, storage="postgresql://host/db"))
    assert read_trials(moved) is None
    (study.path / DATABASE).unlink()
    with pytest.raises(IntegrityError, match=r"study\.db is missing, but trials\.json has 3"):
        verified(study, replace(RESULT, trials=()))


@pytest.mark.parametrize("name", [STUDY, TRIALS])
def test_every_flipped_bit_and_every_cut_is_noticed_or_changes_nothing(study, name):
    commit_trials(study, RESULT)
    path = study.path / name
    content = path.read_bytes()
    rng = random.Random(0)
    for place in rng.sample(range(8 * len(content)), 400):
        harmed = bytearray(content)
        harmed[place // 8] ^= 1 << (place % 8)
        path.write_bytes(harmed if place % 4 else harmed[: place // 8])
        try:
            opened = StudyFolder.open(study.path)
            found = (opened, read_trials(opened).trials)
        except IntegrityError as error:
            found = str(error)
        assert found == (study, FOUND[:3]) or name in found


@pytest.mark.parametrize("kind", ["pipe", "folder", "link", "deep"])
def test_a_study_json_that_is_no_file_is_listed_with_the_reason(study, kind):
    path = study.path / STUDY
    path.rename(study.path / "other")
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link":
        path.symlink_to("other")
    else:
        path.write_text("[" * 100_000)
    assert study_folders(study.path.parent) == [study.path]
    reasons = {"link": "is a link", "deep": "nested more than"}
    with pytest.raises(IntegrityError, match=reasons.get(kind, f"it is a {kind}, not a file")):
        StudyFolder.open(study.path)


def test_links_in_a_study_are_not_followed(study, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    study.runs.mkdir()
    (study.runs / "trial-0001").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(IntegrityError, match="trial-0001 is a link"):
        study.run_of(1)
    with pytest.raises(IntegrityError, match=r"trial-0001 is a link: nothing is written"):
        study.continued(study.plan)


def test_a_database_that_leads_elsewhere_is_not_opened(study, tmp_path):
    check_sqlite_files(study.path / DATABASE)
    journal = study.path / f"{DATABASE}-journal"
    # The end of a journal that names another file, which SQLite would delete.
    name = str(tmp_path / "precious").encode()
    end = [len(name).to_bytes(4, "big"), sum(name).to_bytes(4, "big")]
    journal.write_bytes(b"".join([bytes(512), name, *end, bytes.fromhex("d9d505f920a163d7")]))
    with pytest.raises(IntegrityError, match="names another file"):
        check_sqlite_files(study.path / DATABASE)
    journal.write_bytes(bytes(512))
    check_sqlite_files(study.path / DATABASE)
    for suffix in ("-wal", "-shm", ""):
        path = study.path / f"{DATABASE}{suffix}"
        path.unlink(missing_ok=True)
        path.symlink_to(tmp_path / "precious")
        with pytest.raises(IntegrityError, match="is a link"):
            check_sqlite_files(study.path / DATABASE)
        path.unlink()


def test_a_study_is_not_made_among_other_files(study, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").touch()
    with pytest.raises(UserError, match=r"holds no study but other files, such as thesis\.tex"):
        StudyFolder.begin(tmp_path / "mine", study.plan)
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["thesis.tex"]


def test_temporary_files_of_killed_writers_are_removed_and_those_of_others_stay(study):
    names = [".writing-old.json", ".writing-new.json", "worker-0.log"]
    for name in names:
        (study.path / name).touch()
    os.utime(study.path / names[0], (0, 0))
    os.utime(study.path / names[2], (0, 0))
    study.continued(study.plan)
    assert [(study.path / name).exists() for name in names] == [False, True, True]


def test_a_study_that_was_deleted_stays_deleted(study):
    commit_trials(study, RESULT)
    for path in study.path.iterdir():
        path.unlink()
    study.path.rmdir()
    with pytest.raises(StorageError, match="was deleted"):
        commit_trials(study, RESULT)
    with pytest.raises(StorageError, match="was deleted"):
        study.check_present()
    assert not study.path.exists()


def test_a_study_is_the_same_after_the_working_directory_changed(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    opened = StudyFolder.open(study.path.relative_to(tmp_path))
    monkeypatch.chdir("/")
    assert opened.path == study.path


def test_a_study_of_an_older_version_without_a_hash_is_opened(study):
    path = study.path / STUDY
    before = hashlib.sha256(path.read_bytes())
    text = path.read_text()
    path.write_text(text[: text.rindex(",")] + "}")
    assert StudyFolder.open(study.path) == study
    assert hashlib.sha256(path.read_bytes()).digest() != before.digest()
