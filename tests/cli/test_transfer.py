"""``latentkit transfer``, and runs that start from saved weights."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

FAST = ("--epochs", "2", "--no-maps", "-o", "threads=1", "-o", "transfer.hidden=[8]")


def transferred(latentkit, *arguments):
    ended = latentkit("transfer", *arguments, *FAST, "-q")
    assert ended.code == 0, ended.err
    return Path(ended.out.strip())


def test_a_transfer_is_a_run_that_names_its_parent(latentkit, finished):
    ended = latentkit(
        "transfer", "last", "--labels", "10%", "--epochs", "2", "-o", "threads=1", "--embed", "pca",
        "-o", "transfer.map_points=100",
    )  # fmt: skip
    assert ended.code == 0, ended.err
    assert re.search(
        rf"start: the encoder's \d+ tensors are those of {finished.name}; the head starts at "
        r"random; what the features do not need, such as the decoder, is left out\n",
        ended.err,
    )
    assert "Test accuracy" in ended.out
    run = next(path for path in finished.parent.iterdir() if path != finished)
    assert run.name[11:].startswith("finetune-conv-ae-digits")
    card = json.loads((run / "evaluation.json").read_text())
    assert card["parent"] == finished.name
    assert card["labels"]["asked"] == "10%"
    assert card["features"] == {"of": "features", "n": 16}
    assert card["before_is"] == "logistic regression"
    for when in ("before", "after"):
        found = card[when]
        assert np.array(found["confusion"]).sum() == 360
        assert found["accuracy"]["low"] <= found["accuracy"]["value"] <= found["accuracy"]["high"]
        assert {"balanced_accuracy", "expected_calibration_error", "classes"} <= set(found)
    facts = json.loads((run / "embeddings/pca.json").read_text())
    assert 0 <= facts["aligned_to"]["disparity"] <= 1
    arrays = np.load(run / "embeddings/pca.npz")
    assert arrays["coordinates"].shape == arrays["coordinates_before"].shape == (100, 2)
    names = {path.stem for path in (run / "figures").iterdir()}
    assert names == {
        "loss", "confusion-change", "recall", "calibration", "confused", "features-pca",
    }  # fmt: skip
    page = (run / "report.html").read_text()
    assert "Most confused" in page
    assert finished.name in page


def test_the_other_commands_accept_a_transfer(latentkit, finished):
    run = transferred(latentkit, "last", "--mode", "probe", "--labels", "100")
    (line,) = [x for x in json.loads(latentkit("runs", "--json").out) if x["run"] == run.name]
    assert line["transfer"]["labels"]["n"] == 100
    assert "accuracy" in latentkit("runs").out
    assert "Most confused" in latentkit("evaluate", run).out
    again = latentkit("resume", run)
    assert again.code == 0
    assert "done in" not in again.err
    other = transferred(latentkit, run)
    assert "Difference from [1], image" in latentkit("compare", run, other).out
    beside = json.loads(latentkit("compare", finished, run, "--json").out)
    assert (beside["runs"], beside["transfers"]) == ([finished.name], [run.name])
    assert "transfer probe, 100" in beside["encoders"][0]["figures"]
    assert f"{other.name} is a transfer and started from run {run.name}, which is not compared" in (
        latentkit("compare", finished, other).error
    )
    assert "is a transfer" in latentkit("explore", run, "traversal").error
    assert latentkit("embed", run, "--embed", "pca", "-q").code == 0
    assert "maps features of test images" in latentkit(
        "embed", run, "--embed", "pca", "--on", "all"
    ).error  # fmt: skip


@pytest.mark.usefixtures("undrawn")
def test_a_probe_keeps_the_encoder_and_finetune_changes_it(latentkit, finished):
    before = load_file(finished / "model.safetensors")
    name = "encoder.convolutions.0.weight"
    for mode, kept in (("probe", True), ("finetune", False), ("scratch", False)):
        after = load_file(transferred(latentkit, finished, "--mode", mode) / "model.safetensors")
        assert torch.equal(after[f"network.{name}"], before[name]) == kept
        assert not any("decoder" in key for key in after)


def test_all_modes_are_compared_over_labels_and_seeds(latentkit, finished):
    run = transferred(
        latentkit, "last", "--mode", "all", "--labels", "50%", "--labels", "5%", "--seeds", "2"
    )
    assert run.name[11:].startswith("transfer-conv-ae-digits")
    found = json.loads((run / "evaluation.json").read_text())["comparison"]
    assert found["seeds"] == [0, 1]
    assert [(row["mode"], row["labels"]) for row in found["rows"]] == [
        (mode, labels) for labels in ("5%", "50%") for mode in ("probe", "finetune", "scratch")
    ]
    for row in found["rows"]:
        assert row["accuracy"]["low"] <= row["accuracy"]["value"] <= row["accuracy"]["high"]
        assert ("above_scratch" in row) == (row["mode"] != "scratch")
    assert (run / "figures/efficiency.png").exists()
    assert not [path for path in (run / "checkpoints").iterdir() if path.is_dir()]
    assert "above scratch" in latentkit("evaluate", run).out
    assert "start another comparison" in latentkit("resume", run, "--epochs", "9").error


@pytest.mark.usefixtures("undrawn")
def test_running_the_configuration_of_a_transfer_gives_the_same_bytes(latentkit, finished):
    run = transferred(latentkit, "last", "--labels", "20%")
    ended = latentkit("run", "-q", "--config", run / "config.toml")
    assert ended.code == 0, ended.err
    for name in ("model.safetensors", "features.npz", "evaluation.json"):
        assert Path(ended.out.strip(), name).read_bytes() == (run / name).read_bytes(), name


@pytest.mark.usefixtures("undrawn")
def test_a_classifier_trained_from_scratch_can_be_trained_further(latentkit):
    first = transferred(latentkit, "--mode", "scratch", "-o", "model.channels=[4,8]")
    ended = latentkit("transfer", first, *FAST, "--seed", "1")
    assert re.search(
        rf"start: the encoder's and the head's \d+ tensors are .* {first.name}\n", ended.err
    )
    second = next(path for path in first.parent.iterdir() if path.name != first.name)
    card = json.loads((second / "evaluation.json").read_text())
    known = json.loads((first / "evaluation.json").read_text())
    assert card["parent"] == first.name
    assert card["before_is"] == "the classifier it starts from"
    assert card["before"]["confusion"] == known["after"]["confusion"]
    start = json.loads((second / "initial.json").read_text())
    assert start["missing"] == []


def test_a_run_starts_from_saved_weights(latentkit, finished, small):
    ended = latentkit("run", *small, "--init-from", "last", "--seed", "5")
    assert ended.code == 0, ended.err
    assert "tensors fit" in ended.err
    run = next(path for path in Path("runs").iterdir() if path.name != finished.name)
    start, trained = (
        load_file(run / "initial.safetensors"),
        load_file(finished / "model.safetensors"),
    )
    assert all(torch.equal(start[name], trained[name]) for name in trained)
    assert latentkit("resume", run).err.count("is already there") >= 6


@pytest.mark.usefixtures("undrawn")
def test_a_transfer_takes_weights_from_elsewhere(latentkit, finished):
    other = transferred(latentkit, finished, "--labels", "5%")
    ended = latentkit("transfer", finished, *FAST, "--init-from", other, "--mode", "probe")
    assert "tensors fit" in ended.err
    run = max(finished.parent.glob("*-probe-*"))
    names = ("network.encoder.bottleneck.1.weight",)
    one, two = (load_file(path / "model.safetensors") for path in (other, run))
    assert all(torch.equal(one[name], two[name]) for name in names)


@pytest.mark.usefixtures("undrawn")
def test_augmentation_learning_rates_and_unfreezing_are_options(latentkit, finished):
    options = ("shift=1", "flip=true", "encoder_rate=0.1", "unfreeze_every=1", "hidden=[]")
    run = transferred(latentkit, "last", *(w for o in options for w in ("-o", f"transfer.{o}")))
    assert "shift = 1" in (run / "config.toml").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("transfer nothing", "there is no run 'nothing', here or in runs"),
        ("transfer", "mode finetune needs an encoder: give a RUN or --init-from, or use"),
        ("transfer --mode prob", "'prob' is not one of"),
        ("transfer last --labels 0", "should be a share such as 10% or 0.1, or a number"),
        ("transfer last --labels 120%", "should be a share such as 10% or 0.1, or a number"),
        ("transfer last --labels 5", "the 5 labels include none of class"),
        ("transfer last --labels 5000", "5,000 labels are asked for and there are 1,150"),
        ("transfer last --labels 1% --labels 10%", "compare several with --mode all"),
        ("transfer last --mode all --seeds 0", "--seeds 0: should be 1 or more"),
        ("transfer last --model dense-ae", "already has a model: leave --model out"),
        ("transfer last -o model.hidden=[9]", "does not fit the network"),
        ("transfer last -o transfer.shfit=1", "no option 'shfit' (did you mean 'shift'?)"),
        ("transfer last --mode scratch --init-from last", "random weights: leave out --init-from"),
        ("transfer last --init-from no.pt", "there is no file and no run 'no.pt' to take"),
        ("transfer last --embed isomop", "no embedding 'isomop' (did you mean 'isomap'?)"),
        ("transfer last --embed pca -o pca.on=train", "remove --on and --align-to"),
        ("transfer last --embed pca -o pca.align_to=NOSUCH", "remove --on and --align-to"),
        ("run -o transfer.shift=1", "this run has no part 'transfer'"),
        ("run --init-from no.pt", "there is no file and no run 'no.pt' to take weights from"),
    ],
)
def test_a_mistake_of_the_user_is_one_line_and_exit_code_2(latentkit, finished, arguments, message):
    ended = latentkit(*arguments.split())
    assert ended.code == 2
    assert message in ended.error
    assert "Traceback" not in ended.err
    assert [path.name for path in Path("runs").iterdir()] == [finished.name]


def test_images_without_labels_are_refused(latentkit, finished, own_images):
    ended = latentkit("transfer", "last", *own_images(None))
    assert ended.code == 2
    assert "dataset 'npz' has no labels for its training images" in ended.error


def test_images_of_a_single_class_are_refused(latentkit, finished, own_images):
    ended = latentkit("transfer", "last", *own_images(np.zeros(60, int)))
    assert "has one class only: choose one with two or more" in ended.error


def test_images_of_another_shape_than_the_encoders_are_refused(
    latentkit, finished, own_images, small
):
    other = own_images(np.arange(60) % 2, (12, 8))
    for command in (("transfer", "last"), ("run", "--init-from", "last", *small)):
        ended = latentkit(*command, *other)
        assert ended.code == 2
        assert "takes images (1, 8, 8), and dataset 'npz' has (1, 12, 8)" in ended.error


@pytest.mark.usefixtures("undrawn")
def test_another_number_of_classes_than_the_classifiers_is_refused(latentkit, finished, own_images):
    classifier = transferred(latentkit, "last", "--labels", "5%")
    two = own_images(np.arange(60) % 2)
    ended = latentkit("transfer", classifier, *two)
    assert ended.code == 2
    assert "has 10 classes, but dataset 'npz' has 2: use -o transfer.new_head" in ended.error
    run = transferred(latentkit, classifier, *two, "-o", "transfer.new_head=true")
    assert json.loads((run / "evaluation.json").read_text())["before_is"] == "logistic regression"
    assert "has other layer widths" in latentkit(
        "transfer", classifier, "-o", "transfer.hidden=[9]"
    ).error  # fmt: skip


def test_weights_that_fit_no_tensor_are_refused(latentkit, finished, small):
    save_file({"layer1.0.conv.weight": torch.ones(3)}, "other.safetensors")
    for command in (("transfer", "last"), ("run", *small)):
        ended = latentkit(*command, "--init-from", "other.safetensors")
        assert ended.code == 2
        assert "no weight in" in ended.error
        assert "'layer1.0.conv.weight'" in ended.error


def test_weights_that_are_not_finite_exit_with_4(latentkit, finished):
    tensors = load_file(finished / "model.safetensors")
    tensors["encoder.bottleneck.1.weight"][0] = float("nan")
    save_file(tensors, "broken.safetensors")
    ended = latentkit("transfer", "last", "--init-from", "broken.safetensors")
    assert ended.code == 4
    assert "encoder.bottleneck.1.weight holds NaN or infinity" in ended.error


@pytest.mark.usefixtures("undrawn")
def test_weights_that_have_changed_exit_with_8(latentkit, finished):
    save_file(load_file(finished / "model.safetensors"), "w.safetensors")
    run = transferred(latentkit, "last", "--init-from", "w.safetensors")
    (run / "initial.safetensors").unlink()
    save_file({"a": torch.ones(1)}, "w.safetensors")
    ended = latentkit("resume", run)
    assert ended.code == 8
    assert "is not the file that the run was prepared with" in ended.error


def test_a_parent_that_is_not_trained_yet_exits_with_8(latentkit, finished):
    (finished / "model.safetensors").unlink()
    ended = latentkit("transfer", "last")
    assert ended.code == 8
    assert "'latentkit resume" in ended.error
