"""Bad input ends with one line that says what to do, and a specific exit code."""

import errno
import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

GREEDY = """
    from latentkit.plugin import EmbeddingSpec, ResourceEstimate, hookimpl

    LATENTKIT_HOOKSPEC_VERSION = 1

    @hookimpl
    def latentkit_embeddings():
        yield EmbeddingSpec(name="greedy", summary="Needs it all", target="greedy:build")

    class Greedy:
        def estimate(self, n, d):
            return ResourceEstimate(bytes=int(5.9 * 2**30), seconds=1.0)

    def build(options, random_state):
        return Greedy()
"""


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("rnu", "no command 'rnu' (did you mean 'run'?)"),
        ("data lst", "no command 'lst' (did you mean 'list'?); known commands: cache, check"),
        ("run --modle x", "there is no option --modle"),
        ("run --model conv-a", "no model 'conv-a' (did you mean 'conv-ae'?)"),
        ("run --dataset digit", "no dataset 'digit' (did you mean 'digits'?)"),
        ("run --embed isomop", "no embedding 'isomop' (did you mean 'isomap'?)"),
        ("run --corrupt gausian-noise", "(did you mean 'gaussian-noise'?)"),
        ("run -o model.latent_dmi=3", "no option 'latent_dmi' (did you mean 'latent_dim'?)"),
        ("run -o isomap.n_neighbors=3", "this run has no part 'isomap'"),
        ("run --embed pca -o pca.align_to=NOSUCH", "there is no run 'NOSUCH'"),
        ("run -o model.latent_dim", "is not PART.KEY=VALUE"),
        ("run -o model.latent_dim=three", "latent_dim = 'three' is not valid"),
        ("run -o model.latent_dim=0", "should be 1 or more"),
        ("run -o training.learning_rate=-1", "learning_rate = -1"),
        ("run -o model.channels=[4,4,4,4,4]", "cannot be halved 5 times: give at most"),
        ("run --epochs -1", "--epochs -1: should be 0 or more"),
        ("run --epochs many", "'many' is not a valid integer"),
        ("run --device gpu", "'gpu' is not one of"),
        ("run --config no.toml", "cannot read configuration no.toml: No such file"),
        ("run --embed", "requires an argument"),
        ("resume nothing", "no run 'nothing' here, and none below runs/ yet: 'latentkit run'"),
        ("embed nothing --embed pca", "there is no run 'nothing'"),
        ("plugins show conv-a", "no part 'conv-a' (did you mean 'conv-ae'?)"),
        ("tune --trials 0", "--trials 0: should be 1 or more"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(latentkit, arguments, message):
    ended = latentkit(*arguments.split())
    assert ended.code == 2
    assert message in ended.error
    assert ended.out == ""
    assert "Traceback" not in ended.err
    assert not Path("runs").exists()


def test_debug_shows_the_traceback(latentkit):
    ended = latentkit("run", "--debug", "--model", "conv-a")
    assert ended.code == 2
    assert "Traceback" in ended.err
    assert "did you mean 'conv-ae'" in ended.error


def test_an_unknown_key_in_a_configuration_file_is_refused(latentkit):
    Path("run.toml").write_text("[traning]\nepochs = 3\n")
    ended = latentkit("run", "--config", "run.toml")
    assert ended.code == 2
    assert "no key 'traning' (did you mean 'training'?)" in ended.error


def test_a_device_that_is_not_available_exits_with_3(latentkit, small):
    import torch

    if torch.backends.mps.is_available():
        pytest.skip("this machine has every device that can be asked for")
    ended = latentkit("run", "--device", "mps", *small)
    assert ended.code == 3
    assert "there is no mps device here" in ended.error


def test_a_corrupt_data_file_exits_with_4(latentkit, tmp_path):
    raw = tmp_path / "data" / "FashionMNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"nothing"))
    ended = latentkit("run", "--dataset", "fashion-mnist", "--data-dir", tmp_path / "data")
    assert ended.code == 4
    assert "train-images-idx3-ubyte.gz is damaged: its MD5 is not" in ended.error
    assert "delete it" in ended.error


@pytest.mark.parametrize("place", ["runs", "file/below"])
def test_a_folder_that_cannot_be_written_exits_with_5(latentkit, place, small):
    Path(place.split("/")[0]).write_text("in the way")
    ended = latentkit("run", "--out", place, *small)
    assert ended.code == 5
    assert "choose another" in ended.error


def test_a_full_disk_exits_with_5_and_committed_files_are_kept(latentkit, monkeypatch, small):
    import numpy as np

    def refuse(*arguments, **arrays):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as full:
        full.setattr(np, "savez", refuse)
        ended = latentkit("run", *small)
    assert ended.code == 5
    assert "the disk is full" in ended.error
    (run,) = Path("runs").iterdir()
    assert f"latentkit resume {run}" in ended.err
    weights = (run / "model.safetensors").read_bytes()
    assert latentkit("resume", "last").code == 0
    assert (run / "model.safetensors").read_bytes() == weights


def test_no_network_exits_with_6_and_names_the_four_files(latentkit, tmp_path):
    ended = latentkit("run", "--dataset", "fashion-mnist", "--data-dir", tmp_path / "data", "-o",
                      "fashion-mnist.mirror=http://127.0.0.1:9")  # fmt: skip
    assert ended.code == 6
    assert ended.error.count("MD5") == 4
    assert str(tmp_path / "data/FashionMNIST/raw") in ended.error
    assert not Path("runs").exists()


def test_a_run_that_another_process_writes_exits_with_7(latentkit, finished):
    code = (
        "import sys; from pathlib import Path; from latentkit.runs.folder import RunFolder\n"
        "with RunFolder.open(Path(sys.argv[1])).writing():\n"
        "    print('locked', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(finished)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "locked\n"
        ended = latentkit("embed", "last", "--embed", "isomap")
        other.communicate()
    assert ended.code == 7
    assert str(other.pid) in ended.error


def test_an_edited_artefact_exits_with_8_and_deleting_it_repairs_the_run(latentkit, finished):
    path = finished / "latents/test.npz"
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    ended = latentkit("embed", "last", "--embed", "isomap")
    assert ended.code == 8
    assert "its SHA-256 differs" in ended.error
    path.unlink()
    assert latentkit("resume", "last").code == 0
    assert path.read_bytes() == content


def test_an_edited_configuration_exits_with_8_and_names_the_key(latentkit, finished):
    config = finished / "config.toml"
    config.write_text(config.read_text().replace("latent_dim = 3", "latent_dim = 4"))
    ended = latentkit("resume", "last")
    assert ended.code == 8
    assert "model.latent_dim: 3 became 4" in ended.error


def test_a_map_that_breaks_its_contract_is_left_out_of_a_run_but_not_of_embed(
    latentkit, install_plugin, small
):
    install_plugin(
        "odd_map",
        """
        from latentkit.plugin import EmbeddingSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_embeddings():
            yield EmbeddingSpec(name="odd", summary="Odd", target="odd_map:build")

        class Odd:
            def fit_transform(self, vectors):
                return vectors[:3]

        def build(options, random_state):
            return Odd()
        """,
    )
    ended = latentkit("run", "--embed", "odd", *small)
    said = "embedding 'odd' gave coordinates (3, 3) for 360 points"
    assert ended.code == 0
    assert f"warning: map odd is left out: {said}" in ended.err
    assert "finished, with 1 map left out" in ended.out
    assert "--embed odd tries again" in " ".join(ended.out.split())
    ended = latentkit("embed", "last", "--embed", "odd")
    assert ended.code == 9
    assert said in ended.error


LEAVING = """
    import sys
    from pathlib import Path
    import torch
    from pydantic import Field, field_validator
    from latentkit.plugin import ModelSpec, Options, hookimpl

    LATENTKIT_HOOKSPEC_VERSION = 1

    class Own(Options):
        where: str = Field("loss", description="Where it calls sys.exit.")

        @field_validator("where")
        @classmethod
        def leave(cls, value):
            return sys.exit(0) if value == "options" else value

    @hookimpl
    def latentkit_models():
        yield ModelSpec(
            name="leaving", summary="It exits", target="leaving:build", options="leaving:Own"
        )

    @hookimpl
    def latentkit_run_finished(run, status, error):
        Path("told.txt").write_text(f"{status}: {error}")

    class Net(torch.nn.Module):
        latent_dim = 2

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(64, 2))

        def encode(self, images):
            return images.flatten(1) @ self.weight

        def decode(self, latents):
            return (latents @ self.weight.T).reshape(-1, 1, 8, 8)

        def loss(self, inputs, targets, *, step):
            sys.exit(3)

    def build(options, image_shape):
        return Net()
"""


def test_a_model_that_exits_during_training_fails_the_run_with_9(latentkit, install_plugin):
    install_plugin("leaving", LEAVING)
    ended = latentkit("run", "--model", "leaving", "--epochs", "1", "-o", "threads=1")
    assert ended.code == 9
    assert "the model's loss failed: SystemExit: 3" in ended.error
    (run,) = Path("runs").iterdir()
    record = json.loads((run / "run.json").read_text())
    assert record["status"] == "failed"
    assert "SystemExit: 3" in record["error"]
    assert Path("told.txt").read_text() == f"failed: {record['error']}"
    assert f"latentkit resume {run}" in ended.err


def test_a_plugin_that_exits_while_its_options_are_read_exits_with_9(latentkit, install_plugin):
    install_plugin("leaving", LEAVING)
    ended = latentkit("run", "--model", "leaving", "-o", "model.where=options")
    assert ended.code == 9
    assert "a plugin tried to end the command with sys.exit(0)" in ended.error


def test_too_little_memory_exits_with_10(latentkit, finished, monkeypatch):
    monkeypatch.setattr("latentkit.maps.fitting.available_memory_bytes", lambda: 1000)
    ended = latentkit("embed", "last", "--embed", "isomap")
    assert ended.code == 10
    assert "GiB are free: map fewer points" in ended.error


def test_an_address_space_limit_refuses_a_map_with_a_number(finished, install_plugin):
    install_plugin("greedy", GREEDY)
    command = f"ulimit -v {6 * 2**20}; exec '{sys.executable}' -m latentkit embed last --embed"
    refused = subprocess.run(
        ["bash", "-c", f"{command} greedy"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 10, refused.stderr
    found = re.search(
        r"'greedy' of 360 points needs about 5.9 GiB of memory, but only (\d\.\d) GiB are free",
        refused.stderr,
    )
    assert found, refused.stderr
    assert 0 < float(found[1]) < 5.9


def test_training_that_diverges_exits_with_11_and_names_step_and_term(latentkit, small):
    ended = latentkit("run", *small, "-o", "training.learning_rate=1e30", "-o",
                      "training.schedule=constant", "-o", "model.norm=none")  # fmt: skip
    assert ended.code == 11
    assert "diverged at step" in ended.error
    assert "lower training.learning_rate" in ended.error


def test_a_bug_exits_with_1_and_asks_for_a_report(latentkit, monkeypatch):
    monkeypatch.setattr("latentkit.api.inputs.configure", lambda *a, **k: 1 / 0)
    ended = latentkit("run")
    assert ended.code == 1
    assert "ZeroDivisionError" in ended.error
    assert "--debug" in ended.error


@pytest.mark.parametrize(
    "option",
    [
        "threads=100000",
        "training.batch_size=99999999999999999999",
        "training.epochs=99999999999999999999",
        "training.patience=99999999999999999999",
        "training.snapshots=[99999999999999999999]",
        "digits.n_train=99999999999999999999",
    ],
)
def test_a_number_that_no_machine_can_use_is_refused(latentkit, option):
    ended = latentkit("run", "-o", option)
    assert ended.code == 2, ended.err
    assert option.partition("=")[0].rpartition(".")[2] in ended.error
