"""Logged event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pytest

pytest.importorskip(
    "latentkit_tensorboard", reason="pip install ./plugins/latentkit-tensorboard to test it"
)

from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

import latentkit as lk
from latentkit.plugin import EpochFinished, RunInfo
from latentkit.plugin.events import Notice
from latentkit.registry.catalogue import default_registry
from latentkit_tensorboard import plugin
from latentkit_tensorboard.boards import Boards

INSTALLED = any(e.name == "tensorboard" for e in entry_points(group="latentkit.plugins"))
pytestmark = pytest.mark.skipif(
    not INSTALLED, reason="pip install ./plugins/latentkit-tensorboard to test it"
)
CONFIG = {"seed": 0, "model": {"name": "conv-ae", "channels": [4]}, "training": {"epochs": 3}}
SUMMARY = {
    "epochs": 3,
    "seconds": {"train": 1.0},
    "reconstruction": {"mse": {"value": 0.25, "standard_error": 0.01}},
    "representation": {"knn": {"n_neighbors": 10}},
    "maps": {"pca": {"trustworthiness": {"value": 0.75, "standard_error": 0.0}, "n_points": 9}},
}


@pytest.fixture(autouse=True)
def _on(monkeypatch):
    monkeypatch.setenv("LATENTKIT_PLUGINS", "latentkit-tensorboard")
    monkeypatch.delenv("LATENTKIT_TENSORBOARD", raising=False)


def epoch(number):
    losses = {"loss": 1 / number, "mse": 0.5 / number}
    return EpochFinished(number, 3, losses, {"loss": 2 / number}, 1e-3, 0.5)


def told(path):
    """Return the contents of the event files of a run."""
    found = EventAccumulator(str(path / "tensorboard"), size_guidance={"tensors": 0, "images": 0})
    found.Reload()
    return found


def scalars(path, tag):
    return [(event.step, event.value) for event in told(path).Scalars(tag)]


def follow(run, epochs, status="finished", summary=SUMMARY, error=""):
    plugin.latentkit_run_started(run)
    for number in epochs:
        plugin.latentkit_epoch_finished(run, epoch(number))
    plugin.latentkit_run_finished(run, status, summary, error)


def test_every_epoch_is_a_point_of_each_curve(tmp_path):
    follow(RunInfo("r", tmp_path, CONFIG), [1, 2, 3])
    assert scalars(tmp_path, "train/loss") == [(1, 1), (2, 0.5), (3, pytest.approx(1 / 3))]
    assert [step for step, _ in scalars(tmp_path, "validation/loss")] == [1, 2, 3]
    assert scalars(tmp_path, "seconds") == [(1, 0.5), (2, 0.5), (3, 0.5)]
    assert scalars(tmp_path, "train/mse")[0] == (1, 0.5)
    assert scalars(tmp_path, "learning_rate")[0] == (1, pytest.approx(1e-3))


def test_the_evaluation_card_is_logged_as_text_and_its_figures_with_the_options(tmp_path):
    follow(RunInfo("r", tmp_path, CONFIG), [3])
    assert scalars(tmp_path, "card/reconstruction/mse") == [(3, 0.25)]
    found = told(tmp_path)
    assert "card/seconds/train" not in found.Tags()["scalars"]
    (card,) = found.Tensors("card/text_summary")
    text = card.tensor_proto.string_val[0].decode()
    assert "| reconstruction/mse | 0.25 |" in text
    assert "| maps/pca/n_points | 9 |" in text
    content = found.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    options = HParamsPluginData.FromString(content).session_start_info.hparams
    assert options["model.name"].string_value == "conv-ae"
    assert options["training.epochs"].number_value == 3
    assert options["model.channels"].string_value == "[4]"
    content = found.SummaryMetadata("_hparams_/experiment").plugin_data.content
    columns = HParamsPluginData.FromString(content).experiment.metric_infos
    names = {column.name.tag for column in columns}
    assert names == {"card/reconstruction/mse", "card/maps/pca/trustworthiness"}


def test_maps_are_logged_as_pictures_with_the_bytes_of_their_files(tmp_path):
    (tmp_path / "figures").mkdir()
    pixels = np.zeros((6, 8, 4), np.uint8)
    for name in ("map-pca.png", "loss.png"):
        Image.fromarray(pixels).save(tmp_path / "figures" / name)
    follow(RunInfo("r", tmp_path, CONFIG), [1])
    found = told(tmp_path)
    assert found.Tags()["images"] == ["maps/map-pca"]
    (image,) = found.Images("maps/map-pca")
    assert (image.width, image.height) == (8, 6)
    assert image.encoded_image_string == (tmp_path / "figures/map-pca.png").read_bytes()


def test_a_resumed_run_has_one_curve_without_repeated_epochs(tmp_path):
    killed = RunInfo("r", tmp_path, CONFIG)
    plugin.latentkit_run_started(killed)
    for number in (1, 2):
        plugin.latentkit_epoch_finished(killed, epoch(number))
    follow(RunInfo("r", tmp_path, CONFIG, resumed=True), [2, 3])
    assert [step for step, _ in scalars(tmp_path, "train/loss")] == [1, 2, 3]
    follow(RunInfo("r", tmp_path, CONFIG, resumed=True), [])  # an added map
    assert [step for step, _ in scalars(tmp_path, "train/loss")] == [1, 2, 3]


def test_a_failed_run_says_why(tmp_path):
    follow(RunInfo("r", tmp_path, CONFIG), [1], "failed", {}, "DataError: gone")
    (status,) = told(tmp_path).Tensors("status/text_summary")
    assert status.tensor_proto.string_val[0].decode() == "failed: DataError: gone"


def test_logging_can_be_switched_off(tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTKIT_TENSORBOARD", "off")
    follow(RunInfo("r", tmp_path, CONFIG), [1])
    assert not (tmp_path / "tensorboard").exists()


def test_a_full_disk_causes_one_warning_a_run(tmp_path, monkeypatch):
    def full(self, data):
        raise OSError(28, "No space left on device")

    run = RunInfo("r", tmp_path, CONFIG)
    registry = default_registry()
    assert registry.notify("latentkit_run_started", run=run) == {}
    assert registry.notify("latentkit_epoch_finished", run=run, epoch=epoch(1)) == {}
    record = "tensorboard.summary.writer.record_writer.RecordWriter.write"
    monkeypatch.setattr(record, full)
    (line,) = registry.notify("latentkit_epoch_finished", run=run, epoch=epoch(2)).values()
    assert "tensorboard cannot be written (No space left on device)" in line
    assert registry.notify("latentkit_epoch_finished", run=run, epoch=epoch(3)) == {}
    ended = {"status": "finished", "summary": {}, "error": ""}
    assert registry.notify("latentkit_run_finished", run=run, **ended) == {}
    assert [step for step, _ in scalars(tmp_path, "train/loss")] == [1]


def test_each_trial_of_a_study_is_logged_and_a_fault_does_not_stop_it(tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.api.tune.report_study", lambda *study: None)  # its drawings
    heard, begin = [], Boards.begin

    def put_a_file_in_place_of_the_folder(boards, run):
        if run.path.name == "trial-0001":
            (run.path / "tensorboard").touch()
        begin(boards, run)

    monkeypatch.setattr(Boards, "begin", put_a_file_in_place_of_the_folder)
    study = lk.tune(
        name="s",
        trials=2,
        epochs=1,
        options={"model.channels": [4], "model.hidden": [16], "threads": 1},
        tuner_options={"sampler": "random", "pruner": "none"},
        finish=False,
        out=tmp_path / "studies",
        listener=heard.append,
    )
    assert [trial.state for trial in study.result.trials] == ["complete"] * 2
    value = study.result.trials[0].values[0]
    found = scalars(study.run(0).path, "card/objective/loss")
    assert found == [(1, pytest.approx(value))]
    (notice,) = (e for e in heard if isinstance(e, Notice) and e.code == "plugin-failed")
    assert "trial-0001/tensorboard cannot be written" in notice.message


def test_the_declaration_has_no_heavy_imports():
    code = (
        "import sys, latentkit_tensorboard.plugin\n"
        "print(sorted({'tensorboard', 'torch', 'numpy'} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ}, capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
