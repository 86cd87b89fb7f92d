import json
import shutil
import tomllib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

import latentkit as lk
from latentkit.errors import DataError, IntegrityError, PluginError, ResourceError, UserError
from latentkit.plugin.events import (
    EpochFinished,
    Notice,
    RunFinished,
    StageFinished,
    StageSkipped,
    StageStarted,
)
from latentkit.runs.folder import RunFolder
from latentkit.runs.saved_config import extended_config

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3}
BYTES = ("model.safetensors", "latents/test.npz", "latents/train.npz", "embeddings/isomap.npz")


def small_run(out, **arguments):
    defaults = {"model": "conv-ae", "embed": ["isomap"], "epochs": 2, "options": SMALL, "out": out}
    return lk.run(**{**defaults, **arguments})


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(original, tmp_path):
    return lk.open(shutil.copytree(original.path, tmp_path / original.id))


def contents(run):
    return {name: (run.path / name).read_bytes() for name in BYTES}


def stages(listener):
    started = [event.stage for event in listener if isinstance(event, StageStarted)]
    skipped = [event.stage for event in listener if isinstance(event, StageSkipped)]
    return started, skipped


def test_a_stage_reads_and_hashes_each_artefact_once(run, monkeypatch):
    hashed, stage, real = Counter(), ["before"], RunFolder._opened

    def listen(event):
        if isinstance(event, StageStarted):
            stage[0] = event.stage
        elif isinstance(event, StageFinished):
            stage[0] = f"after {event.stage}"

    def count(folder, relative):
        hashed[stage[0], relative] += 1
        return real(folder, relative)

    monkeypatch.setattr(RunFolder, "_opened", count)
    for name in ("embeddings/isomap.npz", "evaluation.json", "report.html"):
        (run.path / name).unlink()
    lk.resume(run.path, listener=listen)
    inside = {key: n for key, n in hashed.items() if not key[0].startswith(("before", "after"))}
    assert {("evaluate", "latents/test.npz"), ("report", "evaluation.json")} <= inside.keys()
    assert {key: n for key, n in inside.items() if n > 1} == {}


def test_a_run_holds_the_files_that_the_design_lists(original):
    manifest = json.loads((original.path / "run.json").read_text())
    assert manifest["status"] == "finished"
    assert set(manifest["artefacts"]) >= {
        "data.json",
        "model.safetensors",
        "history.json",
        "encoding.json",
        "latents/train.npz",
        "latents/validation.npz",
        "latents/test.npz",
        "embeddings/isomap.npz",
        "embeddings/isomap.json",
        "evaluation.json",
        "figures/samples.png",
        "figures/reconstructions.png",
        "figures/loss.png",
        "figures/map-isomap.png",
        "report.html",
    }
    for path, artefact in manifest["artefacts"].items():
        assert (original.path / path).stat().st_size == artefact["size"]
    assert manifest["versions"]["torch"]
    assert manifest["plugins"]["latentkit"] == lk.__version__


def test_a_run_records_what_training_and_encoding_took(original):
    assert all(epoch["memory_bytes"] > 1e7 for epoch in original.history)
    assert all(epoch["device_memory_bytes"] == 0 for epoch in original.history)
    record = json.loads((original.path / "encoding.json").read_text())
    assert 0 < record["seconds_per_image"] < 1
    numbers = sum(one.numel() for one in original.model.state_dict().values())
    assert record["parameters"] == numbers


def test_events_are_written_as_one_json_object_a_line(original):
    lines = [json.loads(line) for line in (original.path / "events.jsonl").open()]
    kinds = [line["event"] for line in lines]
    assert kinds[0] == "RunStarted"
    assert kinds[-1] == "RunFinished"
    epochs = [line for line in lines if line["event"] == "EpochFinished"]
    assert [epoch["epoch"] for epoch in epochs] == [1, 2]
    assert epochs[0]["validation"]["loss"] == original.history[0]["validation"]["loss"]
    assert all(line["peak_rss_bytes"] > 1e7 for line in lines if line["event"] == "StageFinished")


def test_the_saved_configuration_repeats_the_run_with_the_same_bytes(original, tmp_path):
    again = lk.run(config=original.path / "config.toml", out=tmp_path)
    assert contents(again) == contents(original)


def test_another_seed_gives_other_bytes(original, tmp_path):
    other = lk.run(config=original.path / "config.toml", seed=1, out=tmp_path)
    assert all(contents(other)[name] != contents(original)[name] for name in BYTES)


def test_a_finished_run_has_nothing_left_to_do(run):
    events = []
    lk.resume(run.path, listener=events.append)
    started, skipped = stages(events)
    assert started == []
    assert skipped == ["data", "train", "encode", "embed:isomap", "evaluate", "explorer", "report"]


@pytest.mark.parametrize(
    ("lost", "redone"),
    [
        ("report.html", ["report"]),
        ("embeddings/isomap.npz", ["embed:isomap", "explorer", "report"]),
        ("explorer.html", ["explorer"]),
        ("latents/train.npz", ["encode"]),
        ("model.safetensors", ["train"]),
    ],
)
def test_a_lost_file_is_made_again_with_the_same_bytes(original, run, lost, redone):
    (run.path / lost).unlink()
    events = []
    lk.resume(run.path, listener=events.append)
    # The facts of an embedding include seconds, so a map that is remade needs a new report too.
    assert stages(events)[0] == redone
    assert contents(run) == contents(original)


@pytest.mark.parametrize("name", ["model.safetensors", "latents/test.npz", "evaluation.json"])
def test_an_edited_file_is_refused_and_not_overwritten(run, name):
    path = run.path / name
    edited = path.read_bytes()[:-1] + b" "
    path.write_bytes(edited)
    with pytest.raises(IntegrityError, match="is not what was committed"):
        lk.resume(run.path)
    assert path.read_bytes() == edited


def test_an_edited_configuration_is_refused_with_the_changed_option(run):
    path = run.path / "config.toml"
    path.write_text(path.read_text().replace("latent_dim = 3", "latent_dim = 4"))
    with pytest.raises(IntegrityError, match=r"model.latent_dim: 3 became 4"):
        lk.resume(run.path)


def test_maps_can_be_added_and_remade(run):
    before = contents(run)
    events = []
    lk.embed(run.path, ["pca"], listener=events.append)
    assert stages(events)[0] == ["embed:pca", "explorer", "report"]
    run = lk.open(run.path)
    assert run.maps == ["isomap", "pca"]
    assert contents(run) == before
    config = tomllib.loads((run.path / "config.toml").read_text())
    assert [table["name"] for table in config["embedding"]] == ["isomap", "pca"]
    events.clear()
    lk.embed(run.path, ["pca"], options={"pca.n_components": 3}, listener=events.append)
    assert stages(events)[0] == ["embed:pca", "explorer", "report"]
    assert lk.open(run.path).coordinates("pca").shape == (360, 3)


def test_a_run_started_on_another_device_resumes_on_what_is_available(run, monkeypatch):
    def elsewhere(*arguments):
        config = extended_config(*arguments)
        return replace(config, run=config.run.model_copy(update={"device": "mps"}))

    monkeypatch.setattr("latentkit.runs.saved_config.extended_config", elsewhere)
    monkeypatch.setattr("torch.backends.mps.is_available", lambda: False)
    before, told = contents(run), []
    lk.embed(run.path, ["pca"], listener=told.append)
    (notice,) = (e for e in told if isinstance(e, Notice) and e.code == "other-device")
    assert "started on mps, which is not available: it resumes on " in notice.message
    assert (run.path / "embeddings/pca.npz").is_file()
    assert contents(run) == before


def test_only_embeddings_can_be_changed_on_a_run(run):
    with pytest.raises(UserError, match="only options of embeddings"):
        lk.embed(run.path, ["pca"], options={"training.epochs": 9})
    assert lk.open(run.path).maps == ["isomap"]


def test_an_interrupted_run_resumes_where_it_stopped(original, tmp_path, monkeypatch):
    monkeypatch.setattr("latentkit.training.loop._SECONDS_BETWEEN_CHECKPOINTS", 0)
    monkeypatch.setattr("latentkit.training.loop._PAUSE_OVER_SAVING", 0)

    def interrupt(event):
        if isinstance(event, EpochFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        small_run(tmp_path, listener=interrupt)
    (path,) = tmp_path.iterdir()
    assert lk.open(path).status == "interrupted"
    epochs = []
    resumed = lk.resume(
        path, listener=lambda e: epochs.append(e.epoch) if isinstance(e, EpochFinished) else None
    )
    assert epochs == [2]
    assert resumed.status == "finished"
    assert contents(resumed) == contents(original)


def test_a_failed_run_keeps_its_finished_stages_and_records_the_reason(tmp_path, monkeypatch):
    def failing(context):
        raise ResourceError("no room for the card")

    monkeypatch.setattr("latentkit.runs.autoencoder_kind.evaluate", failing)
    events = []
    with pytest.raises(ResourceError, match="no room for the card"):
        small_run(tmp_path, listener=events.append)
    (path,) = tmp_path.iterdir()
    run = lk.open(path)
    assert run.status == "failed"
    assert run.latents("test").shape == (360, 3)
    assert events[-1] == RunFinished(run.id, "failed", events[-1].seconds, {})
    monkeypatch.undo()
    assert lk.resume(path).status == "finished"


def test_a_map_that_needs_more_memory_than_is_free_is_refused_before_training(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("latentkit.maps.fitting.available_memory_bytes", lambda: 1000)
    with pytest.raises(ResourceError, match=r"'isomap' of 360 points needs about .* GiB"):
        small_run(tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_that_cannot_start_leaves_no_files(tmp_path):
    with pytest.raises(UserError, match="cannot be halved"):
        small_run(tmp_path, options={"model.channels": [2] * 6})
    assert list(tmp_path.iterdir()) == []


def test_a_changed_data_set_is_refused(run, monkeypatch):
    (run.path / "evaluation.json").unlink()
    monkeypatch.setattr("latentkit.plugin.images.ImageData.digest", lambda self: "other")
    with pytest.raises(DataError, match=r"images of 'digits' .* are not those that run"):
        lk.resume(run.path)


@pytest.mark.usefixtures("real_figures")
def test_the_report_of_a_run_without_its_images_says_what_is_left_out(run, monkeypatch):
    (run.path / "report.html").unlink()
    monkeypatch.setattr("latentkit.plugin.images.ImageData.digest", lambda self: "other")
    events = []
    assert lk.resume(run.path, listener=events.append).status == "finished"
    [notice] = [e for e in events if isinstance(e, Notice) and e.code == "figures-left-out"]
    assert "Input images" in notice.message
    assert "are not those that run" in notice.message
    page = (run.path / "report.html").read_text()
    assert "Left out" in page
    assert 'alt="Loss over epochs"' in page


def test_an_edited_file_of_the_run_is_an_error_and_not_a_left_out_figure(run):
    (run.path / "report.html").unlink()
    with (run.path / "latents/test.npz").open("ab") as file:
        file.write(b"edited")
    with pytest.raises(IntegrityError, match=r"latents/test.npz"):
        lk.resume(run.path)


def test_denoising_compares_with_the_clean_image(tmp_path):
    run = small_run(
        tmp_path,
        corrupt=["gaussian-noise"],
        embed=[],
        epochs=25,
        options={**SMALL, "gaussian-noise.std": 0.4, "model.latent_dim": 8},
    )
    found = {name: figure["value"] for name, figure in run.evaluation["reconstruction"].items()}
    assert found["mse_from_corrupted"] < 0.6 * found["mse_of_corrupted"]
    assert found["mse"] <= found["mse_from_corrupted"]


@pytest.mark.usefixtures("real_figures")
def test_a_generative_model_shows_samples_of_its_prior_and_its_likelihood(tmp_path, original):
    run = small_run(tmp_path, model="conv-vae", embed=[])
    drawn = (run.path / "figures/prior.png").read_bytes()
    assert "Samples from the prior" in (run.path / "report.html").read_text()
    assert run.evaluation["likelihood"]["elbo"]["value"] < 0
    again = small_run(tmp_path / "again", model="conv-vae", embed=[])
    assert (again.path / "figures/prior.png").read_bytes() == drawn
    assert not (original.path / "figures/prior.png").exists()


def told_of_pca(**arguments):
    events = []
    small_run(embed=[], listener=events.append, **arguments)
    (notice,) = [e for e in events if isinstance(e, Notice) and e.code == "worse-than-pca"]
    return notice.message


def test_a_model_worse_than_pca_gets_the_advice_to_train_longer(tmp_path):
    assert told_of_pca(out=tmp_path, epochs=1).endswith(
        "train for more epochs, or raise the learning rate"
    )


def test_a_model_that_memorised_few_images_gets_the_advice_to_use_more(tmp_path):
    images, labels = lk.dataset("digits", split="train").images, np.arange(40) % 2
    np.savez(tmp_path / "few.npz", images=images[:40], labels=labels)
    message = told_of_pca(
        out=tmp_path,
        dataset="npz",
        epochs=150,
        options={"npz.path": str(tmp_path / "few.npz"), "model.latent_dim": 16, "threads": 1}
        | {"model.shortcut": False},
    )
    assert "the model memorised its 26 training images" in message
    assert message.endswith("longer training will not help; train on more images")


def test_small_sets_get_small_batches_and_many_epochs(original):
    assert original.config.training.batch_size == 32
    assert original.config.training.epochs == 2


def test_an_embedding_that_returns_invalid_coordinates_is_named(original):
    from latentkit.maps.fitting import fit_embedding

    class Nonsense:
        def fit_transform(self, vectors):
            return np.full((len(vectors), 2), np.nan)

    with pytest.raises(PluginError, match="'isomap' gave coordinates that are not all finite"):
        fit_embedding(Nonsense(), "isomap", original.latents())


def test_a_map_keeps_its_quality_and_each_points_trustworthiness(original):
    points = np.load(original.path / "embeddings/isomap.npz")["trustworthiness"]
    assert points.shape == (len(original.coordinates("isomap")),)
    quality = original.evaluation["maps"]["isomap"]
    assert quality["trustworthiness"]["value"] == pytest.approx(points.mean(), abs=1e-6)
    assert [row["k"] for row in quality["neighbourhood_preservation"]][:4] == [1, 2, 5, 10]
