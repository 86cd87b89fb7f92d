"""A read-only folder or a full disk loses only what was not yet committed."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from latentkit.errors import StorageError
from latentkit.runs import folder as folder_module
from latentkit.runs.find import find_run
from latentkit.runs.folder import RunFolder
from latentkit.runs.manifest import StageRecord

LATENTS = "latents/test.npz"


@pytest.fixture
def committed(folder):
    """Return a run with one finished stage, and its files."""
    folder.commit_arrays(LATENTS, "encode", latents=np.arange(6.0))
    folder.finish_stage("encode", StageRecord())
    return folder


def contents(folder):
    files = (path for path in folder.path.rglob("*") if path.is_file() and path.name != ".lock")
    return {path: path.read_bytes() for path in files}


def full_disk(*_arguments, **_options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("call", ["os.fsync", "os.open", "pathlib.Path.replace"])
def test_a_full_disk_at_any_step_keeps_committed_files(committed, monkeypatch, call):
    before = contents(committed)
    monkeypatch.setattr(call, full_disk)
    with pytest.raises(StorageError, match=r"the disk is full: .* make room and try again"):
        committed.commit_arrays(LATENTS, "encode", latents=np.ones(1000))
    with pytest.raises(StorageError, match=r"run\.json was not written"):
        committed.set_status("finished")
    monkeypatch.undo()
    assert contents(committed) == before
    assert RunFolder.open(committed.path).arrays(LATENTS)["latents"].tolist() == list(range(6))


def test_a_disk_that_fills_up_during_a_write_leaves_no_partial_file(committed):
    before = contents(committed)

    def write(path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            file.write(b"first half")
            full_disk()

    with pytest.raises(StorageError, match="the disk is full"):
        committed.commit(LATENTS, "encode", write)
    assert contents(committed) == before


@pytest.mark.skipif(
    not Path("/dev/full").is_char_device(), reason="needs a device that is always full"
)
def test_events_on_a_full_disk_are_a_storage_error(committed, monkeypatch):
    monkeypatch.setattr(folder_module, "_open_without_following", os.open)  # or it is refused
    (committed.path / "events.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageError, match=r"the disk is full: .*events\.jsonl"):
        committed.append_event("{}")


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from latentkit.errors import StorageError
from latentkit.runs.folder import RunFolder
from latentkit.training.checkpoint import save_tensors

folder = RunFolder.open(Path(sys.argv[1]))
before = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, before[1]))
writers = {
    "arrays.npz": lambda: folder.commit_arrays("arrays.npz", "s", a=np.zeros(10_000)),
    "card.json": lambda: folder.commit_json("card.json", "s", {"text": "x" * 10_000}),
    "model.safetensors": lambda: folder.commit(
        "model.safetensors", "s", lambda path: save_tensors({"a": torch.zeros(10_000)}, path)
    ),
}
for name, write in writers.items():
    try:
        write()
    except StorageError as error:
        print(name, error)
resource.setrlimit(resource.RLIMIT_FSIZE, before)  # for whoever measures coverage
"""


def test_a_file_size_limit_is_a_storage_error_for_every_kind_of_file(committed):
    pytest.importorskip("resource")
    before = contents(committed)
    arguments = [sys.executable, "-c", LIMITED, str(committed.path)]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True)
    lines = shown.stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["arrays.npz", "card.json", "model.safetensors"]
    for line in lines:
        assert "File too large; choose another folder" in line
    assert contents(committed) == before


def test_a_read_only_run_can_be_read_but_not_written(public_dir, read_only, new_run):
    folder = new_run(public_dir / "runs")
    folder.commit_arrays(LATENTS, "encode", latents=np.arange(6.0))
    folder.finish_stage("encode", StageRecord())
    before = contents(folder)
    with read_only(public_dir):
        again = RunFolder.open(find_run("last", public_dir / "runs"))
        assert again.arrays(LATENTS)["latents"].tolist() == list(range(6))
        assert not again.is_being_written()
        with pytest.raises(StorageError, match="Permission denied; choose"), again.writing():
            pass
        with pytest.raises(StorageError, match=r"cannot write .*Permission denied"):
            again.commit_json("card.json", "evaluate", {})
        with pytest.raises(StorageError, match=r"events\.jsonl: Permission denied"):
            again.append_event("{}")
        with pytest.raises(StorageError, match=r"cannot write .*choose another folder"):
            new_run(public_dir / "runs")
    assert contents(folder) == before


def test_a_read_only_run_with_a_leftover_lock_is_not_being_written(public_dir, read_only, new_run):
    folder = new_run(public_dir)
    with folder.writing():
        pass
    with read_only(public_dir):
        assert not folder.is_being_written()
        with pytest.raises(StorageError, match="Permission denied"), folder.writing():
            pass


def test_runs_cannot_be_created_in_place_of_a_file(tmp_path, new_run):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="choose another"):
        new_run(tmp_path / "runs")
    with pytest.raises(StorageError, match="choose another"):
        new_run(tmp_path / "runs" / "below")
