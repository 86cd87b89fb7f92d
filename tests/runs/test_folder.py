"""A run's folder: hashes on every load, one writer, names that find it."""

import json
import subprocess
import sys

import numpy as np
import pytest

from latentkit.errors import IntegrityError, LockedError, StorageError, UserError
from latentkit.runs.commit import TEMPORARY_PREFIX
from latentkit.runs.folder import RunFolder, find_run, run_folders
from latentkit.runs.manifest import StageRecord


@pytest.fixture
def folder(tmp_path):
    return RunFolder.create(
        tmp_path / "runs", "net-images", "seed = 0\n", config={}, config_sha256="", seed=0,
        data_dir="",
    )  # fmt: skip


def commit(folder, name="latents/test.npz", stage="encode"):
    folder.commit_arrays(name, stage, latents=np.arange(6.0).reshape(3, 2))
    folder.finish_stage(stage, StageRecord())


def test_what_is_committed_reads_back_from_a_fresh_look(folder):
    commit(folder)
    again = RunFolder.open(folder.path)
    assert again.arrays("latents/test.npz")["latents"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert list(again.manifest.stages) == ["encode"]


def test_equal_arrays_are_equal_bytes(folder):
    commit(folder, "a.npz")
    commit(folder, "b.npz")
    assert (folder.path / "a.npz").read_bytes() == (folder.path / "b.npz").read_bytes()


def test_an_artefact_of_a_stage_that_did_not_finish_is_not_there(folder):
    folder.commit_json("half.json", "evaluate", {})
    assert "half.json" not in RunFolder.open(folder.path).manifest.artefacts


def test_arrays_of_objects_are_never_written(folder):
    with pytest.raises(TypeError, match="objects"):
        folder.commit_arrays("a.npz", "encode", latents=np.array([object()]))


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


def test_a_forgotten_stage_takes_its_artefacts_out_of_the_manifest(folder):
    commit(folder)
    commit(folder, "embeddings/pca.npz", "embed pca")
    folder.forget_stage("encode")
    assert list(RunFolder.open(folder.path).manifest.artefacts) == ["embeddings/pca.npz"]


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


def test_a_writer_sweeps_what_a_killed_one_left_behind(folder):
    left = folder.path / "latents" / f"{TEMPORARY_PREFIX}abc.npz"
    left.parent.mkdir()
    left.write_bytes(b"half")
    with folder.writing():
        assert not left.exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is damaged"),
        ("[]", "is damaged"),
        ('{"latentkit_run": 1}', "is damaged: id"),
        ('{"latentkit_run": 99}', "by a later latentkit .schema 99.: upgrade"),
    ],
)
def test_a_manifest_that_is_none_or_of_a_later_schema_is_explained(folder, text, message):
    (folder.path / "run.json").write_text(text)
    with pytest.raises(IntegrityError, match=message):
        RunFolder.open(folder.path)


def test_fields_of_a_later_minor_version_are_passed_over(folder):
    path = folder.path / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "mood": "good"}))
    assert RunFolder.open(folder.path).manifest.status == "running"


def test_a_folder_that_is_no_run_says_so(tmp_path):
    with pytest.raises(UserError, match=r"is not a run: it has no run\.json"):
        RunFolder.open(tmp_path)


def test_runs_cannot_be_made_where_a_file_is(tmp_path):
    (tmp_path / "runs").write_text("")
    with pytest.raises(StorageError, match="choose another"):
        RunFolder.create(tmp_path / "runs", "x", "", config={}, config_sha256="", seed=0,
                         data_dir="")  # fmt: skip


def test_a_run_is_found_by_path_id_start_end_and_as_the_last(folder, tmp_path):
    root = tmp_path / "runs"
    name = folder.path.name
    for reference in (str(folder.path), name, name[:-2], name[-4:], "last"):
        assert find_run(reference, root).name == name
    assert run_folders(root) == [folder.path]
    with pytest.raises(UserError, match="there is no run 'nonsense'"):
        find_run("nonsense", root)
    assert run_folders(tmp_path / "nowhere") == []


def test_an_ambiguous_start_lists_the_runs(folder, tmp_path):
    other = RunFolder.create(
        tmp_path / "runs", "net-images", "", config={}, config_sha256="", seed=0, data_dir=""
    )
    with pytest.raises(UserError, match="several runs") as raised:
        find_run(folder.path.name[:10], tmp_path / "runs")
    assert other.path.name in str(raised.value)
