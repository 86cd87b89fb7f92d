"""An optional part that cannot be made is left out, with the reason, and the run is finished."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.api.inputs import configure
from latentkit.errors import IntegrityError, PluginError, StorageError, UserError, leaving_out
from latentkit.evaluation import card, reconstruction, representation
from latentkit.explore import exploration_figures
from latentkit.maps import make
from latentkit.registry.catalogue import default_registry
from latentkit.runs.autoencoder_kind import AutoencoderKind
from latentkit.runs.kind import MapImages
from latentkit.runs.summary import status_text
from latentkit.tune.trial import TrialKind

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3}


class Failing:
    """An embedding that fails in one of several ways."""

    def __init__(self, fail):
        self.fail = fail

    def fit_transform(self, vectors):
        return self.fail(vectors)


def raising(error):
    def fail(*arguments, **options):
        raise error

    return fail


def failing_with(monkeypatch, fail):
    """Let the embedding ``pca`` fail."""
    build = make.MapConfig.build

    def faulty(part, *arguments):
        return Failing(fail) if part.name == "pca" else build(part, *arguments)

    monkeypatch.setattr(make.MapConfig, "build", faulty)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return lk.run(epochs=1, options=SMALL, out=tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def lacking(original, tmp_path_factory):
    """Return a run whose map pca was left out."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        failing_with(monkeypatch, raising(ValueError("no\nluck")))
        path = tmp_path_factory.mktemp("lacking")
        return lk.run(epochs=1, embed=["pca", "isomap"], options=SMALL, out=path)


@pytest.fixture
def run(lacking, tmp_path):
    return lk.open(shutil.copytree(lacking.path, tmp_path / lacking.id))


def record_of(run):
    return json.loads((run.path / "run.json").read_text())


@pytest.mark.parametrize(
    ("fail", "why"),
    [
        (raising(ValueError("no luck")), "ValueError: no luck"),
        (raising(SystemExit(0)), "SystemExit: 0"),
        (raising(MemoryError()), "ran out of memory"),
        (lambda vectors: np.full((len(vectors), 2), np.nan), "not all finite"),
        (lambda vectors: vectors[:3], r"gave coordinates \(3, 3\)"),
        (lambda vectors: "map", "could not convert"),
    ],
    ids=["raises", "exits", "memory", "nan", "shape", "text"],
)
def test_a_map_that_fails_is_an_error_if_asked_for_and_left_out_when_resumed(
    original, tmp_path, monkeypatch, fail, why
):
    run = lk.open(shutil.copytree(original.path, tmp_path / original.id))
    failing_with(monkeypatch, fail)
    with pytest.raises(lk.errors.LatentkitError, match=why):
        lk.embed(run.path, ["pca"])
    assert lk.open(run.path).status == "finished"
    # An older latentkit left such a run failed, with the map in its configuration.
    with (run.path / "config.toml").open("a") as file:
        file.write('\n[[embedding]]\nname = "pca"\n')
    run = lk.resume(run.path)
    assert run.status == "finished"
    assert run.maps == []
    assert why.replace("\\", "") in record_of(run)["left_out"]["embed:pca"]["why"]


def test_a_run_is_finished_without_a_map_and_says_so_everywhere(run):
    assert run.status == "finished"
    assert run.maps == ["isomap"]
    record = record_of(run)
    assert "embed:pca" not in record["stages"]
    assert record["left_out"].keys() == {"embed:pca"}
    assert status_text(run.summary) == "finished, with 1 map left out"
    (left_out,) = run.summary["left_out"]
    assert left_out["part"] == "map pca"
    assert "no luck" in left_out["why"]
    assert left_out["again"] == f"latentkit embed {run.path} --embed pca"
    assert "map pca: embedding &#39;pca&#39; failed" in (run.path / "report.html").read_text()
    assert "reconstruction" in run.evaluation


def test_no_command_is_given_for_what_comes_again(run, monkeypatch):
    failing_with(monkeypatch, raising(UserError("all vectors are equal: give others")))
    told = []
    resumed = lk.resume(run.path, listener=told.append)
    (left_out,) = resumed.summary["left_out"]
    assert (left_out["why"], left_out["again"]) == ("all vectors are equal: give others", "")
    assert status_text(resumed.summary) == "finished, with 1 map left out"
    said = [event.message for event in told if getattr(event, "code", "") == "left-out"]
    assert said == ["map pca is left out: all vectors are equal: give others"]


def test_only_resume_and_embed_try_a_left_out_map_again(run, monkeypatch):
    tried = []

    def fail(vectors):
        tried.append(len(vectors))
        raise ValueError("no luck")

    failing_with(monkeypatch, fail)
    lk.evaluate(run.path)
    lk.write_report(run.path)
    lk.embed(run.path, ["isomap"], options={"isomap.n_neighbors": 5})
    assert tried == []
    assert lk.resume(run.path).status == "finished"
    assert len(tried) == 1
    with pytest.raises(PluginError, match="no luck"):
        lk.embed(run.path, ["pca"])
    assert len(tried) == 2
    again = lk.open(run.path)
    assert again.status == "finished"
    assert [one["part"] for one in again.summary["left_out"]] == ["map pca"]


@pytest.mark.parametrize("repair", [lk.resume, lambda path: lk.embed(path, ["pca"])])
def test_a_left_out_map_is_made_once_it_can_be(run, repair):
    repaired = repair(run.path)
    assert repaired.maps == ["isomap", "pca"]
    assert repaired.summary["left_out"] == []
    assert record_of(run)["left_out"] == {}
    assert "map pca: embedding" not in (run.path / "report.html").read_text()


def test_a_map_aligned_to_one_that_is_left_out_is_left_out_too(tmp_path, monkeypatch):
    failing_with(monkeypatch, raising(ValueError("no luck")))
    maps = [{"name": "pca"}, {"name": "isomap", "align_to": "#pca"}]
    run = lk.run(config={"embedding": maps}, epochs=1, options=SMALL, out=tmp_path)
    assert run.status == "finished"
    why = {one["part"]: one["why"] for one in run.summary["left_out"]}
    assert why["map isomap"] == "it needs embeddings/pca.npz, which this run does not have"


def test_a_map_that_was_killed_does_not_keep_the_report_from_being_written(run, monkeypatch):
    failing_with(monkeypatch, raising(KeyboardInterrupt()))
    with pytest.raises(KeyboardInterrupt):
        lk.resume(run.path)
    interrupted = lk.open(run.path)
    assert interrupted.status == "interrupted"
    finished = lk.write_report(run.path)
    assert finished.status == "finished"
    assert finished.summary["left_out"][0]["why"] == "it was started, but did not end"


@pytest.mark.parametrize("error", [StorageError("full"), IntegrityError("changed")])
def test_a_full_disk_and_a_changed_file_still_end_the_run(run, monkeypatch, error):
    failing_with(monkeypatch, raising(error))
    with pytest.raises(type(error)):
        lk.resume(run.path)
    assert lk.open(run.path).status == "failed"


def test_a_report_that_cannot_be_written_is_left_out(run, monkeypatch):
    monkeypatch.setattr("latentkit.report.assemble.render_page", raising(ValueError("no page")))
    (run.path / "report.html").unlink()
    finished = lk.resume(run.path)
    assert finished.status == "finished"
    assert finished.summary["left_out"][-1]["part"] == "report"
    with pytest.raises(ValueError, match="no page"):
        lk.write_report(run.path)


def test_parts_of_the_card_that_fail_are_left_out_and_the_rest_is_kept(run, monkeypatch):
    monkeypatch.setattr(representation, "k_means", raising(ValueError("constant")))
    monkeypatch.setattr(
        reconstruction.MeasuringHarness, "pca", property(raising(MemoryError())), raising=True
    )
    card_of = lk.evaluate(run.path, again=True)
    found = card_of.evaluation
    assert found["reconstruction"]["mse"]["value"] > 0
    assert found["baselines"] == {}
    assert "representation" not in found
    assert found["left_out"] == [
        {"part": "reconstruction by PCA", "why": "it ran out of memory"},
        {"part": "representation", "why": "ValueError: constant"},
    ]
    assert card_of.status == "finished"
    assert card_of.kind.tables(found)
    assert card_of.kind.rows(card_of.summary)


def test_a_model_that_cannot_reconstruct_is_an_error(run, monkeypatch):
    monkeypatch.setattr(card, "reconstructions", raising(PluginError("decode failed")))
    with pytest.raises(PluginError, match="decode failed"):
        lk.evaluate(run.path, again=True)


def test_figures_that_fail_are_left_out_and_the_others_are_drawn(
    run, monkeypatch, real_figures, tmp_path
):
    monkeypatch.setattr("latentkit.report.sections._losses", raising(RuntimeError("no ink")))
    monkeypatch.setattr(exploration_figures, "overview", raising(ValueError("no walk")))
    figures = lk.write_report(run.path).figures
    assert "loss" not in figures
    assert {"reconstructions", "map-isomap"} <= figures.keys()
    page = (run.path / "report.html").read_text()
    assert "RuntimeError: no ink" in page
    assert "ValueError: no walk" in page


def test_more_points_are_asked_for_only_where_there_are_some():
    (part,) = configure(default_registry(), embed=["pca"], options={"pca.on": "all"}).embeddings
    for test, said in ((1, "use a data set of more images, or leave"), (9, "pca.on=all")):
        counts = {"train": 1, "validation": 1, "test": test}
        few = replace(part, map=part.map.model_copy(update={"on": "train"}))
        with pytest.raises(UserError, match=f"would have 1: .*{said}"):
            make.check_maps([few], MapImages(counts, str, Path()))


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"model.latent_dim": 1}, "vectors of 1 dimension cannot be mapped to 2"),
        ({"pca.n_components": 3, "model.latent_dim": 2}, "lower pca.n_components to 2"),
        ({"pca.on": 4}, "a map needs 5 points or more and would have 4"),
    ],
    ids=str,
)
def test_a_map_that_is_known_to_be_impossible_is_refused_before_training(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        lk.run(embed=["pca"], epochs=1, options={**SMALL, **options}, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_interrupts_pass_and_other_errors_are_recorded_in_one_line():
    why = []
    with leaving_out(why.append):
        raise SystemExit
    with leaving_out(why.append):
        raise UserError("two\nlines")
    assert why == ["SystemExit", "two lines"]
    for error in (KeyboardInterrupt, StorageError):
        with pytest.raises(error), leaving_out(why.append):
            raise error


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"training.batch_size": 1},
            "one image with model.norm=batch: set training.batch_size to 2 or more, or set model.n",
        ),
        (
            {"split.validation": 0.999},
            "split.validation=0.999 leaves only 1 training image, so set a smaller share, or set m",
        ),
    ],
    ids=str,
)
def test_batches_of_one_image_are_refused_with_batch_normalisation(tmp_path, options, said):
    with pytest.raises(UserError, match=said):
        lk.run(model="dense-ae", epochs=1, options=options, out=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
    options = {**options, "model.norm": "none", "model.hidden": [8]}
    if "split.validation" in options:
        assert (
            lk.run(model="dense-ae", epochs=1, options=options, out=tmp_path).status == "finished"
        )


def test_a_transfer_is_finished_without_a_map(original, tmp_path, monkeypatch):
    failing_with(monkeypatch, raising(ValueError("no luck")))
    run = lk.transfer(original.path, mode="probe", epochs=1, embed=["pca"], out=tmp_path)
    assert status_text(run.summary) == "finished, with 1 map left out"
    assert "before" in run.evaluation
    with pytest.raises(PluginError, match="no luck"):
        lk.embed(run.path, ["pca"])
    assert lk.open(run.path).status == "finished"


def test_a_trial_is_not_refused_for_a_map_of_latents_that_the_tuner_chose():
    part = configure(default_registry(), embed=["pca"])
    counts = {"train": 100, "validation": 20, "test": 20}
    images = MapImages(counts, str, Path(), latent_dim=1)
    TrialKind().check_maps(part, images)
    with pytest.raises(UserError, match="vectors of 1 dimension"):
        AutoencoderKind().check_maps(part, images)
