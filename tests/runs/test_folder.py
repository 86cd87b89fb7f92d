"""The run's folder: hashes are checked on every load, and there is only one writer."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager

import numpy as np
import pytest

from latentkit.atomic import TEMPORARY_PREFIX
from latentkit.errors import IntegrityError, LockedError, StorageError, UserError
from latentkit.runs.folder import CONFIG, EVENTS, RunFolder
from latentkit.runs.manifest import StageRecord


def commit(folder, name="latents/test.npz", stage="encode"):
    folder.commit_arrays(name, stage, latents=np.arange(6.0).reshape(3, 2))
    folder.finish_stage(stage, StageRecord())


def test_committed_artefacts_can_be_read_after_opening_the_run_again(folder):
    commit(folder)
    again = RunFolder.open(folder.path)
    assert again.arrays("latents/test.npz")["latents"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert list(again.manifest.stages) == ["encode"]


def test_a_new_run_is_named_by_its_date_and_holds_its_configuration(folder):
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-net-images-[0-9a-f]{4}", folder.path.name)
    assert folder.manifest.id == folder.path.name
    assert folder.config_toml() == "seed = 0\n"
    (folder.path / CONFIG).unlink()
    with pytest.raises(IntegrityError, match=r"config\.toml cannot be read"):
        folder.config_toml()


def test_runs_created_at_the_same_moment_get_different_names(folder, new_run, monkeypatch):
    taken = folder.path.name[-4:]
    draws = iter([taken, taken, "beef"])
    monkeypatch.setattr("latentkit.runs.folder.secrets.token_hex", lambda n: next(draws))
    assert new_run(folder.path.parent).path.name.endswith("-beef")


def test_a_committed_file_is_listed_with_size_hash_and_stage(folder):
    folder.commit_json("a/b.json", "evaluate", {"x": 1})
    folder.finish_stage("evaluate", StageRecord(inputs={"isomap": "left out: x"}, seconds=2.0))
    again = RunFolder.open(folder.path)
    content = (folder.path / "a/b.json").read_bytes()
    artefact = again.manifest.artefacts["a/b.json"]
    assert artefact.sha256 == hashlib.sha256(content).hexdigest()
    assert (artefact.path, artefact.size, artefact.stage) == ("a/b.json", len(content), "evaluate")
    assert again.json("a/b.json") == {"x": 1}
    assert again.manifest.stages["evaluate"].inputs == {"isomap": "left out: x"}


def test_a_second_commit_replaces_the_first(folder):
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


def test_equal_arrays_give_equal_bytes(folder):
    commit(folder, "a.npz")
    commit(folder, "b.npz")
    assert (folder.path / "a.npz").read_bytes() == (folder.path / "b.npz").read_bytes()


def test_an_artefact_of_an_unfinished_stage_does_not_count(folder):
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
    with pytest.raises(IntegrityError, match="holds Python objects, which are never loaded"):
        folder.arrays("a.npz")


@pytest.mark.parametrize(
    ("harm", "message"),
    [
        (lambda path: path.unlink(), "is missing: 'latentkit resume .*' makes it again"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1]), "bytes"),
        (lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\1"), "its SHA-256 differs"),
    ],
)
def test_a_damaged_artefact_is_refused_on_load(folder, harm, message):
    commit(folder)
    harm(folder.path / "latents/test.npz")
    with pytest.raises(IntegrityError, match=message):
        RunFolder.open(folder.path).arrays("latents/test.npz")


def test_a_damaged_json_artefact_is_refused_too(folder):
    folder.commit_json("card.json", "evaluate", {"mse": 0.1})
    path = folder.path / "card.json"
    path.write_text(path.read_text().replace("0.1", "0.0"))
    with pytest.raises(IntegrityError, match=r"card\.json is not what was committed"):
        folder.json("card.json")


def test_forgetting_a_stage_removes_its_artefacts_from_the_manifest(folder):
    commit(folder)
    commit(folder, "embeddings/pca.npz", "embed pca")
    folder.forget_stage("encode")
    assert list(RunFolder.open(folder.path).manifest.artefacts) == ["embeddings/pca.npz"]
    before = (folder.path / "run.json").read_bytes()
    folder.forget_stage("never")
    assert (folder.path / "run.json").read_bytes() == before


def test_a_second_writer_in_another_process_is_refused(folder):
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


def test_the_writer_of_a_run_with_a_damaged_manifest_is_named_too(folder, monkeypatch):
    monkeypatch.setattr("latentkit.runs.lock._LONGER_THAN_LOOKS", 0.1)
    with folder.writing():
        (folder.path / "run.json").write_text("{")
        with pytest.raises(LockedError, match=f"by process {os.getpid()} on"), folder.writing():
            pass


CREATE = """
import sys
from pathlib import Path
from latentkit.errors import LatentkitError
from latentkit.runs import folder

path, seed, paused = Path(sys.argv[1]), int(sys.argv[2]), len(sys.argv) > 3

write = folder.atomic.write_bytes

def pause(path=None, *content):
    if path is not None and path.name != "config.toml":  # the record of who holds the lock
        return write(path, *content)
    print("created", flush=True)
    sys.stdin.read()

if paused:
    folder.atomic.write_bytes = pause
facts = {"config": {}, "config_sha256": "", "seed": seed, "data_dir": ""}
try:
    with folder.RunFolder.creating(path, f"seed = {seed}", **facts):
        pause()
except LatentkitError as error:
    print(type(error).__name__, error, flush=True)
"""


@contextmanager
def creating_process(path, seed, *paused):
    """Create a run in another process, which holds the lock until the block ends."""
    command = [sys.executable, "-c", CREATE, str(path), str(seed), *paused]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as process:
        yield process
        process.communicate()


def test_only_one_of_two_processes_creates_a_run_of_the_same_name(tmp_path):
    path = tmp_path / "runs" / "named"
    with creating_process(path, 1) as one, creating_process(path, 2) as two:
        said = {process: process.stdout.readline() for process in (one, two)}
        creator = min(said, key=lambda process: said[process] != "created\n")
        (other,) = set(said) - {creator}
        assert said[creator] == "created\n"
        assert said[other].startswith("LockedError run named is being written by")
        assert f"process {creator.pid} on" in said[other]
        seed = 1 if creator is one else 2
        assert RunFolder.open(path).manifest.seed == seed
        assert RunFolder.open(path).status() == "running"
    with creating_process(path, 3) as late:
        refusal = late.stdout.readline()
    assert refusal.startswith(f"RunExistsError {path} already contains a run")
    assert RunFolder.open(path).manifest.seed == seed
    assert RunFolder.open(path).config_toml() == f"seed = {seed}"


def test_the_process_that_creates_a_run_is_named_before_there_is_a_manifest(tmp_path):
    path = tmp_path / "named"
    facts = {"config": {}, "config_sha256": "", "seed": 0, "data_dir": ""}
    with creating_process(path, 1, "paused") as creator:
        assert creator.stdout.readline() == "created\n"
        assert not (path / "run.json").exists()
        refused = pytest.raises(LockedError, match=f"run named .* process {creator.pid} on")
        with refused, RunFolder.creating(path, "", **facts):
            pass


def test_a_run_that_is_being_created_is_locked_and_complete(tmp_path):
    facts = {"config": {}, "config_sha256": "", "seed": 7, "data_dir": ""}
    with RunFolder.creating(tmp_path / "named", "seed = 7", **facts) as folder:
        assert folder.is_being_written()
        again = RunFolder.open(folder.path)
        assert (again.manifest.id, again.manifest.seed) == ("named", 7)
        assert again.manifest.writer["pid"] == os.getpid()
        assert again.config_toml() == "seed = 7"
    assert not folder.is_being_written()
    assert {path.name for path in folder.path.iterdir()} == {"run.json", CONFIG, ".lock"}


def test_a_folder_without_a_manifest_from_a_killed_process_is_reused(tmp_path, new_run):
    facts = {"config": {}, "config_sha256": "", "seed": 0, "data_dir": ""}
    path = tmp_path / "named"
    path.mkdir()
    (path / ".lock").touch()
    (path / CONFIG).write_text("seed = 1")
    (path / f"{TEMPORARY_PREFIX}run.json").write_text("{")
    with RunFolder.creating(path, "seed = 0", **facts) as folder:
        assert folder.config_toml() == "seed = 0"
        assert list(path.glob(f"{TEMPORARY_PREFIX}*")) == []


@pytest.mark.parametrize("name", [CONFIG, "notes.txt", "images"])
def test_a_folder_of_the_user_is_not_made_a_run(tmp_path, name):
    facts = {"config": {}, "config_sha256": "", "seed": 0, "data_dir": ""}
    (tmp_path / name).write_text("mine")
    refused = pytest.raises(UserError, match=f"exists, but is not a run: it contains '{name}'")
    with refused, RunFolder.creating(tmp_path, "seed = 0", **facts):
        pass
    assert [path.read_text() for path in tmp_path.iterdir()] == ["mine"]


def test_a_deleted_folder_is_not_made_again(folder):
    with folder.writing():
        shutil.rmtree(folder.path)
        for write in (
            lambda: folder.commit_json("card.json", "evaluate", {}),
            lambda: folder.set_status("failed"),
            lambda: folder.append_event("{}"),
        ):
            with pytest.raises(StorageError):
                write()
    assert not folder.path.exists()


def test_a_copied_run_is_known_by_its_folder(folder, tmp_path):
    copied = shutil.copytree(folder.path, tmp_path / "copy")
    assert RunFolder.open(copied).manifest.id == "copy"


def test_a_reader_sees_what_another_process_has_committed_since(folder):
    reader, writer = RunFolder.open(folder.path), RunFolder.open(folder.path)
    assert not reader.refresh()
    with writer.writing():
        writer.commit_json("card.json", "evaluate", {"mse": 0.1})
        writer.finish_stage("evaluate", StageRecord())
        assert reader.refresh()
        assert reader.json("card.json") == {"mse": 0.1}
        writer.set_status("finished")
        assert reader.status() == "finished"
    assert not reader.refresh()


def test_a_writer_keeps_its_uncommitted_changes(folder):
    with folder.writing():
        folder.commit_json("card.json", "evaluate", {"mse": 0.1})
        (folder.path / "run.json").touch()
        assert not folder.refresh()
        assert "card.json" in folder.manifest.artefacts
    assert folder.refresh()
    assert "card.json" not in folder.manifest.artefacts


def test_a_reader_gets_an_error_if_the_run_was_deleted_or_damaged_meanwhile(folder):
    (folder.path / "run.json").write_text("{")
    with pytest.raises(IntegrityError, match="is damaged"):
        folder.refresh()
    (folder.path / "run.json").unlink()
    with pytest.raises(UserError, match="is not a run"):
        folder.status()


def test_a_run_without_a_writer_is_stopped_unless_it_has_ended(folder):
    reader = RunFolder.open(folder.path)
    assert reader.status() == "stopped"
    with folder.writing():
        assert reader.status() == folder.status() == "running"
        folder.set_status("failed", "no memory")
    assert (reader.status(), reader.manifest.error) == ("failed", "no memory")


def test_a_run_that_ends_or_resumes_during_the_check_is_not_stopped(folder, monkeypatch):
    def ends():
        with writer.writing():
            writer.set_status("finished")
        return False

    def is_resumed():
        monkeypatch.setattr(reader, "is_being_written", lambda: True)
        writer.set_status("interrupted")
        writer.set_status("running")
        return False

    for event, status in ((is_resumed, "running"), (ends, "finished")):
        reader, writer = RunFolder.open(folder.path), RunFolder.open(folder.path)
        monkeypatch.setattr(reader, "is_being_written", event)
        assert reader.status() == status


def test_two_readers_do_not_mistake_each_other_for_a_writer(folder):
    fcntl = pytest.importorskip("fcntl")
    with folder.writing():
        pass
    with (folder.path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # another reader holds this lock for a moment
        assert not folder.is_being_written()


def test_a_reader_without_write_permission_sees_that_a_run_is_being_written(
    public_dir, read_only, new_run
):
    folder = new_run(public_dir)
    with folder.writing(), read_only(public_dir):
        assert RunFolder.open(folder.path).status() == "running"


def test_readers_that_check_for_a_writer_do_not_block_writers(folder):
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


def test_an_error_while_writing_releases_the_lock(folder):
    with pytest.raises(ZeroDivisionError), folder.writing():
        1 / 0  # noqa: B018
    assert not folder.is_being_written()


def test_a_writer_deletes_temporary_files_of_a_killed_one(folder):
    left = folder.path / "latents" / f"{TEMPORARY_PREFIX}abc.npz"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with folder.writing():
        assert not left.exists()
