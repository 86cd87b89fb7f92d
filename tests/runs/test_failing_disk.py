"""A disk that fails at any operation of a command costs only a retry.

`tests/benchmarks/io_faults.py` lets every operation fail; here are a few.
"""

import hashlib
import sys
from pathlib import Path

import pytest

from latentkit.cli import shared_options
from latentkit.cli.main import main
from latentkit.errors import StorageError

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
COMMAND = ["run", "-q", "--name", "r", "--epochs", "3", "--embed", "pca", "-o", "threads=1"]
COMMAND += ["-o", "model.channels=[4,8]", "-o", "model.hidden=[16]", "-o", "model.latent_dim=3"]
RESULTS = ("model.safetensors", "latents/test.npz", "embeddings/pca.npz", "evaluation.npz")


@pytest.fixture(scope="module")
def io_faults():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.syspath_prepend(str(BENCHMARKS))
        import io_faults

        yield io_faults


def run(folder, monkeypatch, capsys, disk):
    """Run the command in ``folder`` on a disk; return its exit code and its errors."""
    folder.mkdir(exist_ok=True)
    with monkeypatch.context() as patched:
        patched.chdir(folder)
        patched.setattr(sys, "argv", ["latentkit", *COMMAND])
        patched.setattr(shared_options, "_debug", False)
        for (module, name), function in disk.replaced().items():
            patched.setattr(module, name, function)
        with pytest.raises(SystemExit) as left:
            main()
    return left.value.code or 0, capsys.readouterr().err


def results(folder):
    run_folder = folder / "runs/r"
    return [hashlib.sha256((run_folder / name).read_bytes()).hexdigest() for name in RESULTS]


@pytest.fixture(scope="module")
def undisturbed(io_faults, tmp_path_factory):
    """Return the results of a run on a good disk, and the operations on its files."""

    def make(monkeypatch, capsys):
        if not kept:
            folder = tmp_path_factory.mktemp("whole")
            disk = io_faults.Disk(folder)
            assert run(folder, monkeypatch, capsys, disk)[0] == 0
            kept.append((results(folder), disk.log))
        return kept[0]

    kept = []
    return make


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        ("open runs/r/.lock", "once"),
        ("write runs/r/checkpoints", "full"),
        ("fsync runs/r/embeddings", "once"),
        ("write runs/r/events.jsonl", "read-only"),
        ("replace runs/r/.writing", "read-only"),
    ],
)
def test_a_retry_gives_the_bytes_of_an_undisturbed_run(
    io_faults, undisturbed, tmp_path, monkeypatch, capsys, operation, fault
):
    whole, operations = undisturbed(monkeypatch, capsys)
    chosen = [i for i, done in enumerate(operations, 1) if done.startswith(operation)]
    number = chosen[len(chosen) // 2]
    disk = io_faults.Disk(tmp_path, number, fault)
    code, err = run(tmp_path, monkeypatch, capsys, disk)
    assert code in (0, StorageError.exit_code), err
    assert "Traceback" not in err
    assert "bug" not in err
    assert run(tmp_path, monkeypatch, capsys, io_faults.Disk(tmp_path))[0] == 0
    assert results(tmp_path) == whole
    assert not list(tmp_path.rglob(".writing-*"))
