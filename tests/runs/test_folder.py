"""A run's folder: hashes on every load, one writer, names that find it."""

import hashlib
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest

from latentkit.errors import IntegrityError, LockedError
from latentkit.runs.commit import TEMPORARY_PREFIX
from latentkit.runs.folder import CONFIG, EVENTS, RunFolder
from latentkit.runs.manifest import StageRecord


def commit(folder, name="latents/test.npz", stage="encode"):
    folder.commit_arrays(name, stage, latents=np.arange(6.0).reshape(3, 2))
    folder.finish_stage(stage, StageRecord())


def test_what_is_committed_reads_back_from_a_fresh_look(folder):
    commit(folder)
    again = RunFolder.open(folder.path)
    assert again.arrays("latents/test.npz")["latents"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert list(again.manifest.stages) == ["encode"]


def test_a_new_run_is_named_after_its_day_and_holds_its_configuration(folder):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-net-images-[0-9a-f]{4}", folder.path.name)
    assert folder.manifest.id == folder.path.name
    assert folder.config_toml() == "seed = 0\n"
    (folder.path / CONFIG).unlink()
    with pytest.raises(IntegrityError, match=r"config\.toml cannot be read"):
        folder.config_toml()


def test_runs_of_one_moment_get_names_of_their_own(folder, new_run, monkeypatch):
    taken = folder.path.name[-4:]
    draws = iter([taken, taken, "beef"])
    monkeypatch.setattr("latentkit.runs.folder.secrets.token_hex", lambda n: next(draws))
    assert new_run(folder.path.parent).path.name.endswith("-beef")


def test_a_committed_file_is_listed_with_size_hash_and_stage(folder):
    folder.commit_json("a/b.json", "evaluate", {"x": 1})
    folder.finish_stage("evaluate", StageRecord(inputs={"latents": "abc"}, seconds=2.0))
    again = RunFolder.open(folder.path)
    content = (folder.path / "a/b.json").read_bytes()
    artefact = again.manifest.artefacts["a/b.json"]
    assert artefact.sha256 == hashlib.sha256(content).hexdigest()
    assert (artefact.path, artefact.size, artefact.stage) == ("a/b.json", len(content), "evaluate")
    assert again.json("a/b.json") == {"x": 1}
    assert again.manifest.stages["evaluate"].inputs == {"latents": "abc"}


def test_what_is_committed_twice_is_what_was_committed_last(folder):
    folder.commit_json("a.json", "evaluate", {"x": 1})
    folder.commit_json("a.json", "evaluate", {"x": 2})
    folder.finish_stage("evaluate", StageRecord())
    assert RunFolder.open(folder.path).json("a.json") == {"x": 2}


def test_status_and_reason_are_kept_and_events_are_appended(folder):
    folder.set_status("failed", "the disk is full")
    folder.append_event('{"event": "é"}')
    folder.append_event("{}")
    again = RunFolder.open(folder.path)
    assert (again.manifest.status, again.manifest.error) == ("failed", "the disk is full")
    lines = (folder.path / EVENTS).read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [{"event": "é"}, {}]


def test_equal_arrays_are_equal_bytes(folder):
    commit(folder, "a.npz")
    commit(folder, "b.npz")
    assert (folder.path / "a.npz").read_bytes() == (folder.path / "b.npz").read_bytes()


def test_an_artefact_of_a_stage_that_did_not_finish_is_not_there(folder):
    folder.commit_json("half.json", "evaluate", {})
    again = RunFolder.open(folder.path)
    assert "half.json" not in again.manifest.artefacts
    with pytest.raises(
        IntegrityError, match=r"has no half\.json yet: 'latentkit resume .*' finish"
    ):
        again.json("half.json")


def test_arrays_of_objects_are_never_written(folder):
    with pytest.raises(TypeError, match="objects"):
        folder.commit_arrays("a.npz", "encode", latents=np.array([object()]))
    assert not (folder.path / "a.npz").exists()


def test_arrays_of_objects_are_never_read(folder):
    def smuggle(path):
        with path.open("wb") as file:
            np.savez(file, latents=np.array([{"a": 1}]))

    folder.commit("a.npz", "encode", smuggle)
    with pytest.raises(ValueError, match="allow_pickle"):
        folder.arrays("a.npz")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "is missing: 'latentkit resume .*' makes it again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "its SHA-256 differs"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\1"), "its SHA-256 differs"),
    ],
)
def test_a_harmed_artefact_is_refused_on_load(folder, harm, message):
    commit(folder)
    harm(folder.path / "latents/test.npz")
    with pytest.raises(IntegrityError, match=message):
        RunFolder.open(folder.path).arrays("latents/test.npz")


def test_a_harmed_json_artefact_is_refused_too(folder):
    folder.commit_json("card.json", "evaluate", {"mse": 0.1})
    path = folder.path / "card.json"
    path.write_text(path.read_text().replace("0.1", "0.0"))
    with pytest.raises(IntegrityError, match=r"card\.json is not what was committed"):
        folder.json("card.json")


def test_a_forgotten_stage_takes_its_artefacts_out_of_the_manifest(folder):
    commit(folder)
    commit(folder, "embeddings/pca.npz", "embed pca")
    folder.forget_stage("encode")
    assert list(RunFolder.open(folder.path).manifest.artefacts) == ["embeddings/pca.npz"]
    before = (folder.path / "run.json").read_bytes()
    folder.forget_stage("never")
    assert (folder.path / "run.json").read_bytes() == before


def test_a_second_writer_is_refused_also_in_another_process(folder):
    code = (
        "import sys; from pathlib import Path; from latentkit.runs.folder import RunFolder\n"
        "with RunFolder.open(Path(sys.argv[1])).writing():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder.path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "locked\n"
        assert folder.is_being_written()
        with pytest.raises(LockedError, match=str(other.pid)), folder.writing():
            pass
        other.communicate()
    assert not folder.is_being_written()
    with folder.writing():
        pass


def test_a_second_writer_in_this_process_is_refused_too(folder):
    other = RunFolder.open(folder.path)
    with folder.writing():
        with pytest.raises(LockedError, match="wait for it, or stop it"), other.writing():
            pass
        folder.set_status("finished")
    with other.writing():
        assert other.manifest.status == "finished"


def test_a_killed_writer_leaves_no_lock(folder):
    code = (
        "import os, sys; from pathlib import Path; from latentkit.runs.folder import RunFolder\n"
        "with RunFolder.open(Path(sys.argv[1])).writing():\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(folder.path)], check=False)
    assert killed.returncode == -9
    assert not folder.is_being_written()
    with folder.writing():
        assert folder.manifest.writer["pid"] == os.getpid()


def test_those_who_look_whether_it_is_written_keep_no_writer_out(folder):
    with folder.writing():
        pass
    over = threading.Event()

    def look():
        while not over.is_set():
            folder.is_being_written()

    crowd = [threading.Thread(target=look) for _ in range(2)]
    for reader in crowd:
        reader.start()
    try:
        for _ in range(100):
            with RunFolder.open(folder.path).writing():
                pass
    finally:
        over.set()
        for reader in crowd:
            reader.join()


def test_an_error_in_the_work_frees_the_lock(folder):
    with pytest.raises(ZeroDivisionError), folder.writing():
        1 / 0  # noqa: B018
    assert not folder.is_being_written()


def test_a_writer_sweeps_what_a_killed_one_left_behind(folder):
    left = folder.path / "latents" / f"{TEMPORARY_PREFIX}abc.npz"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with folder.writing():
        assert not left.exists()
