"""A run with a name starts once; the same command then resumes it."""

import json
import shutil
import subprocess
import sys
from textwrap import dedent

import pytest

import latentkit as lk
from latentkit.errors import LockedError, UserError
from latentkit.plugin.events import StageStarted
from latentkit.runs import lifecycle

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


def begun(out, **arguments):
    return lk.run(**{"epochs": 1, "options": SMALL, "out": out, "name": "small", **arguments})


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    return begun(tmp_path_factory.mktemp("runs"), embed=["pca"])


def test_a_named_run_is_in_a_folder_of_that_name(once):
    assert once.id == once.path.name == "small"


def test_the_same_call_does_nothing_again(once):
    before = (once.path / "model.safetensors").stat().st_mtime_ns
    done = []
    begun(once.path.parent, embed=["pca"], listener=done.append)
    assert not [event for event in done if isinstance(event, StageStarted)]
    assert (once.path / "model.safetensors").stat().st_mtime_ns == before
    assert lk.open(once.path).status == "finished"


def test_an_option_that_was_left_to_auto_is_not_a_difference(once):
    options = {key: value for key, value in SMALL.items() if key != "threads"}
    assert begun(once.path.parent, options=options).maps == ["pca"]


def test_a_name_with_other_options_is_refused_with_the_differences(once):
    with pytest.raises(UserError, match=r"'small'.*training\.epochs: 1 became 2.*--name"):
        begun(once.path.parent, epochs=2)
    other = {**SMALL, "model.hidden": []}
    with pytest.raises(UserError, match=r"model\.hidden"):
        begun(once.path.parent, options=other)
    with pytest.raises(UserError, match=r'dataset\.name: "digits" became "sprites"'):
        begun(once.path.parent, dataset="sprites", options={**SMALL, "sprites.n_train": 20})


@pytest.mark.parametrize("name", ["a/b", ".."])
def test_a_name_that_is_a_path_is_refused(tmp_path, name):
    with pytest.raises(UserError, match="--out sets its parent"):
        begun(tmp_path / "runs", name=name)
    assert not (tmp_path / "runs").exists()


@pytest.mark.usefixtures("undrawn")
def test_a_named_transfer_is_found_after_it_and_its_parent_were_moved(once, tmp_path):
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


def test_a_new_map_that_cannot_be_made_leaves_the_run_as_it_was(once, tmp_path):
    place = shutil.copytree(once.path.parent, tmp_path / "copied")
    config = place / "small" / "config.toml"
    before = config.read_bytes()
    with pytest.raises(UserError, match="a map of 99,999 points is not possible") as refused:
        begun(place, embed=["isomap"], options={**SMALL, "isomap.on": 99_999})
    assert refused.value.exit_code == 2
    assert "\n" not in str(refused.value)
    assert config.read_bytes() == before
    assert lk.open(place / "small").status == "finished"
    assert lk.resume(place / "small").maps == ["pca"]
    assert lk.embed(place / "small", ["isomap"]).maps == ["isomap", "pca"]


def test_a_refused_command_leaves_a_run_as_it_was_even_if_its_epochs_were_edited(once, tmp_path):
    place = shutil.copytree(once.path.parent, tmp_path / "copied")
    config, manifest = place / "small" / "config.toml", place / "small" / "run.json"
    config.write_text(config.read_text().replace("epochs = 1", "epochs = 5"))
    before = manifest.read_bytes()
    with pytest.raises(UserError, match=r"training\.epochs"):
        begun(place)
    changes = ("writer", "sha256")
    kept = {k: value for k, value in json.loads(manifest.read_text()).items() if k not in changes}
    assert kept == {k: v for k, v in json.loads(before).items() if k not in changes}


OTHER = """
    import sys
    import latentkit as lk
    from latentkit.plugin.events import EpochFinished

    def wait(event):
        if isinstance(event, EpochFinished):
            print("at work", flush=True)
            sys.stdin.readline()

    options = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
    lk.run(epochs=1, options=options, out=sys.argv[1], name="small", listener=wait)
"""


def test_if_two_processes_start_the_same_name_the_first_keeps_its_configuration(
    tmp_path, monkeypatch
):
    prepare = lifecycle.prepare
    with subprocess.Popen(
        [sys.executable, "-c", dedent(OTHER), str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:

        def prepare_slowly(*arguments, **options):
            prepared = prepare(*arguments, **options)
            assert other.stdout.readline() == "at work\n"  # the other made the folder by now
            return prepared

        monkeypatch.setattr(lifecycle, "prepare", prepare_slowly)
        with pytest.raises(LockedError, match=rf"run small is being written .* {other.pid} "):
            begun(tmp_path, epochs=2)
        other.communicate("go on\n")
    assert other.returncode == 0
    first = lk.open("small", tmp_path)
    assert first.status == "finished"
    assert first.config.training.epochs == len(first.history) == 1
    monkeypatch.undo()
    with pytest.raises(UserError, match=r"training\.epochs: 1 became 2"):
        begun(tmp_path, epochs=2)


OWN = """
    from typing import Literal
    import torch
    from pydantic import Field
    from latentkit.plugin import ModelSpec, Options, hookimpl

    LATENTKIT_HOOKSPEC_VERSION = 1

    class Own(Options):
        epochs: int | Literal["auto"] = Field(3, description="Cycles of the noise.")
        threads: int = Field(4, description="Strands of the net.")

    @hookimpl
    def latentkit_models():
        yield ModelSpec(
            name="own", summary="Own names", target="own_net:build", options="own_net:Own"
        )

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
            return {"loss": (self.decode(self.encode(inputs)) - targets).square().mean()}

    def build(options, image_shape):
        return Net()
"""


def test_plugin_options_that_share_names_with_ours_are_compared(install_plugin, tmp_path):
    install_plugin("own_net", OWN)
    own = {"model": "own", "out": tmp_path}
    begun(**own, options={"threads": 1})
    assert begun(**own, options={}).status == "finished"  # the run chose its own number of threads
    for option, value, known in (("threads", 0, "4"), ("epochs", "auto", "3")):
        with pytest.raises(UserError, match=rf"model\.{option}: {known} became "):
            begun(**own, options={f"model.{option}": value})
