"""What a run needs is said and checked before its folder is made, and faults of its images too."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from latentkit.api.inputs import configure
from latentkit.config import TrainingOptions
from latentkit.data.batches import CorruptionChain, DeviceImages, spread_rows
from latentkit.errors import ResourceError, StorageError, UserError
from latentkit.plugin import ImageData
from latentkit.plugin.events import Notice
from latentkit.registry.catalogue import default_registry
from latentkit.runs import needs
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.lifecycle import Place, start_run
from latentkit.runs.needs import Needs, image_fault
from latentkit.runs.prepare import _check_class_names
from latentkit.training.loop import TrainingJob
from latentkit.tune.trial import TrialKind

GB = 10**9


class TrainingOnly(AutoencoderKind):
    def plan(self, config, *, svg=False):
        return [stage for stage in super().plan(config) if stage.name in ("data", "train")]


def begun(out, emit, kind=None, **asked):
    options = {"model.hidden": [16], "model.latent_dim": 3, "threads": 1}
    registry = default_registry()
    options |= {"training.batch_size": 256}
    config = configure(
        registry, model="dense-vae", epochs=1, options=options, corrupt=["gaussian-noise"], **asked
    )
    return start_run(config, registry, Place(out, out / "data"), emit, kind or TrainingOnly())


def said(events):
    notices = [event for event in events if isinstance(event, Notice)]
    return [notice.message for notice in notices if notice.code == "needs"]


def test_the_time_is_measured_on_long_trainings_and_changes_no_weight(tmp_path, monkeypatch):
    short, long = [], []
    first = begun(tmp_path / "short", short.append)
    monkeypatch.setattr(needs, "_LONG", 1)
    second = begun(tmp_path / "long", long.append)
    assert second.read("model.safetensors") == first.read("model.safetensors")
    assert " an epoch (1 epoch, " in said(long)[0]
    assert "epoch" not in said(short)[0]
    assert "needs about" not in (second.path / "events.jsonl").read_text("utf-8")


@pytest.mark.parametrize(
    ("lacking", "kind", "message"),
    [
        ("memory", ResourceError, r"training needs about .* lower training\.batch_size \(now 256"),
        ("disk", StorageError, r"needs about \d+ MB of disk, and .* has room for 1 MB: .* --runs"),
    ],
)
def test_a_run_that_cannot_fit_is_refused_before_its_folder_is_made(
    tmp_path, monkeypatch, lacking, kind, message
):
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    if lacking == "memory":
        monkeypatch.setattr(needs, "available_memory_bytes", lambda: 1000)
    else:
        monkeypatch.setattr(needs.shutil, "disk_usage", lambda path: full)
    with pytest.raises(kind, match=message):
        begun(tmp_path / "runs", lambda event: None)
    assert not (tmp_path / "runs").exists()


def test_what_follows_training_must_fit_too(monkeypatch):
    monkeypatch.setattr(needs, "available_memory_bytes", lambda: GB)
    large = Needs(memory=3 * GB, training=0, others=2 * GB, disk=0, cached=0, epochs=1)
    context = type("Context", (), {"device": torch.device("cpu")})
    with pytest.raises(ResourceError, match=r"maps and card need about 2\.0 GB .* leave maps out"):
        needs._check_memory(large, context)
    needs._check_memory(replace(large, others=GB), context)


def test_trials_of_a_study_are_not_measured_one_by_one():
    assert TrialKind().trial_training(None, 8) is None


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({}, "needs about 1.2 GB of memory and 310 MB of disk"),
        (
            {"seconds": 180.0, "epochs": 12},
            (
                "needs about 1.2 GB of memory, 310 MB of disk, and 3 minutes an epoch (12 epochs, "
                "36 minutes)"
            ),
        ),
        (
            {"cached": 46 * 10**6, "seconds": 0.2},
            (
                "needs about 1.2 GB of memory, 310 MB of disk (beside 46 MB of decoded images), "
                "and 1 second an epoch (1 epoch, 1 second)"
            ),
        ),
        (
            {"seconds": 80.0, "epochs": 200},
            (
                "needs about 1.2 GB of memory, 310 MB of disk, and 80 seconds an epoch (200 "
                "epochs, 4.4 hours)"
            ),
        ),
    ],
)
def test_needs_are_one_line(changed, text):
    known = Needs(12 * 10**8, training=0, others=0, disk=310 * 10**6, cached=0, epochs=1)
    assert str(replace(known, **changed)) == text


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner, self.outer = nn.Linear(64, 16), nn.Linear(16, 64)

    def loss(self, inputs, targets, *, step):
        rebuilt = self.outer(self.inner(inputs.flatten(1)).sigmoid())
        return {"loss": (rebuilt - targets.flatten(1)).square().mean()}


def test_memory_of_a_step_is_that_of_the_tensors_kept_for_the_backward_pass():
    device = torch.device("cpu")
    images = DeviceImages(np.zeros((8, 1, 8, 8), np.uint8), device)
    options = TrainingOptions(batch_size=100, epochs=1)
    job = TrainingJob(Net(), images, images, CorruptionChain(), options, "float32", seed=0)
    # Kept: the input (64), the sigmoid (16), and the difference (64) that is squared.
    assert needs._kept_bytes(job, 8) == (8 * 4 * (64 + 16 + 64), 8 * 4 * 64)
    assert needs._bytes_of_step(job, 100) == 100 * 4 * (64 + 16 + 64 + 2 * 64 + 64)


def test_spread_rows_reach_over_all():
    rows = np.arange(10) * 7
    assert spread_rows(rows, 3).tolist() == [0, 21, 42]
    assert spread_rows(rows, 99).tolist() == rows.tolist()


def pictures(dtype, low, high):
    images = np.full((1500, 1, 8, 8), low, dtype)
    images[:, :, 0, 0] = high
    return ImageData(images)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (pictures(np.uint8, 0, 31), "the brightest pixel of 1,000 training images is 31 of 255"),
        (pictures(np.uint8, 9, 9), "each of 1,000 training images has one value only"),
        (pictures(np.uint8, 0, 32), ""),
        (pictures(np.uint16, 0, 31), ""),
    ],
)
def test_nearly_black_and_constant_images_are_noticed(images, found):
    assert image_fault(images).startswith(found)
    assert bool(image_fault(images)) == bool(found)


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        ("ab", "abc", r"only the test images have 'c'"),
        ("abcdef", "a", r"only the training images have 'b', 'c', 'd' and 2 more"),
        ("ab", "cb", r"only the training images have 'a'; only the test images have 'c'"),
        ("ab", "ba", r"in another order"),
    ],
)
def test_classes_of_training_and_test_images_must_have_the_same_names(train, test, found):
    def data(names):
        return ImageData(np.zeros((2, 1, 8, 8), np.uint8), [0, 0], class_names=tuple(names))

    with pytest.raises(UserError, match=rf"dataset 'own' names .* \({found}\): give both the same"):
        _check_class_names("own", data(train), data(test))
    _check_class_names("own", data(train), ImageData(np.zeros((2, 1, 8, 8), np.uint8)))
    _check_class_names("own", data(train), data(train))
