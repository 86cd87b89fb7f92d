"""A run says and records which network it chose for its images, and keeps it."""

import tomllib

import pytest
import tomli_w

import latentkit as lk
from latentkit.config import canonical_sha256
from latentkit.hashed_json import read_hashed, write_hashed

pytestmark = pytest.mark.usefixtures("blank_figures")

CHOSEN = {"patch": 2, "channels": [48], "blocks": 0, "hidden": [352, 128], "shortcut": "pca"}
LATER = {"blocks", "squeeze", "loss", "loss_weight", "shift", "flip"}
"""Options that runs of earlier versions lack."""


@pytest.fixture(scope="module")
def once(tmp_path_factory):
    events = []
    out = tmp_path_factory.mktemp("runs")
    run = lk.run(epochs=1, options={"threads": 1}, out=out, name="own", listener=events.append)
    return run, events


def test_the_choice_is_said_before_training_and_recorded(once):
    run, events = once
    (notice,) = [event for event in events if getattr(event, "code", "") == "network"]
    assert notice.message.startswith("conv-ae for images 1x8x8: latent_dim=16, patch=2")
    recorded = tomllib.loads((run.path / "config.toml").read_text())["model"]
    assert {name: recorded[name] for name in CHOSEN} == CHOSEN


def test_the_same_command_and_the_recorded_configuration_are_the_same_run(once):
    run, _ = once
    same = {"epochs": 1, "out": run.path.parent, "name": "own"}
    assert lk.run(options={"threads": 1}, **same).id == run.id
    explicit = {f"model.{name}": value for name, value in CHOSEN.items()}
    assert lk.run(options={"threads": 1, **explicit}, **same).id == run.id


def test_another_network_is_a_difference(once):
    run, _ = once
    with pytest.raises(lk.errors.UserError, match=r"model\.blocks: 0 became 1"):
        lk.run(options={"model.blocks": 1}, epochs=1, out=run.path.parent, name="own")


def as_of_an_earlier_version(path):
    """Take the options that were added later out of a run's records."""
    config, manifest = path / "config.toml", path / "run.json"
    document = tomllib.loads(config.read_text())
    facts = read_hashed(path, manifest.name)
    for recorded in (document, facts["config"]):
        for table in (recorded["model"], recorded["training"]):
            for name in LATER & table.keys():
                del table[name]
    facts["config_sha256"] = canonical_sha256(facts["config"])
    config.write_text(tomli_w.dumps(document))
    write_hashed(manifest, facts)


def test_a_run_of_an_earlier_version_opens_and_trains_on(tmp_path):
    former = {**CHOSEN, "shortcut": False, "channels": [8], "hidden": [16], "latent_dim": 3}
    options = {"threads": 1, **{f"model.{name}": value for name, value in former.items()}}
    run = lk.run(epochs=1, options=options, out=tmp_path)
    as_of_an_earlier_version(run.path)
    opened = lk.open(run.path)
    assert opened.model.linear is None
    assert opened.latents("test").shape[1] == 3
    assert len(lk.resume(run.path, epochs=2).history) == 2


def test_a_few_larger_images_are_shifted_in_training_and_the_run_says_so(tmp_path):
    events = []
    options = {"threads": 1, "sprites.size": 64, "sprites.n_train": 40, "sprites.n_test": 20}
    options |= {"model.channels": [4], "model.hidden": [], "training.batch_size": 16}
    same = {"options": options, "epochs": 1, "out": tmp_path, "name": "own"}
    run = lk.run(dataset="sprites", listener=events.append, **same)
    assert run.config.training.shift == 3
    (notice,) = [event for event in events if getattr(event, "code", "") == "augmentation"]
    assert notice.message == "training images are shifted by up to 3 pixels"
    assert lk.run(dataset="sprites", **same).id == run.id
    with pytest.raises(lk.errors.UserError, match=r"training\.shift"):
        lk.run(dataset="sprites", **{**same, "options": {**options, "training.shift": 0}})
