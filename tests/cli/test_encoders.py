"""Every command on a run of an encoder: it works, or says in one line what needs a decoder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

import latentkit as lk

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

PLUGIN = Path(__file__).parents[1] / "own_encoders.py"


@pytest.fixture(scope="module")
def encoded_once(tmp_path_factory):
    """Return the folder of a trained encoder with a PCA map, which tests must not change."""
    return lk.run(
        model="own-views",
        epochs=2,
        embed=["pca"],
        options={"threads": 1},
        plugins=[PLUGIN],
        out=tmp_path_factory.mktemp("encoded"),
    ).path


@pytest.fixture
def encoded(encoded_once, latentkit, tmp_path, monkeypatch):
    """Return a copy of the encoder's run in ./runs, with its plugin loaded."""
    monkeypatch.setenv("LATENTKIT_PLUGIN_FILES", str(PLUGIN))
    copy = tmp_path / "here" / "runs" / encoded_once.name
    shutil.copytree(encoded_once, copy)
    return copy


def test_the_card_names_what_needs_a_decoder_and_has_the_rest(encoded, latentkit):
    card = json.loads(latentkit("evaluate", encoded, "--json").out)
    card = card.get("evaluation", card)
    assert "reconstruction" not in card
    assert "classes" not in card
    assert card["left_out"] == [
        {"part": "reconstruction", "why": "model 'own-views' has no decoder"}
    ]
    spaces = card["representation"]["spaces"]
    assert list(spaces) == ["latents", "pca", "random_encoder", "raw_pixels"]
    assert [one["share"] for one in spaces["latents"]["knn"]] == [0.01, 0.1, 1.0]
    assert 1 < card["latents"]["effective_rank"] <= 4
    assert "nan" not in json.dumps(card).lower()


def test_the_report_names_the_figures_that_need_a_decoder_without_a_warning(encoded, latentkit):
    ended = latentkit("report", encoded)
    assert ended.code == 0
    assert "left out" not in ended.err
    record = json.loads((encoded / "report.json").read_text(encoding="utf-8"))
    (left_out,) = [one for one in record["sections"] if one["title"] == "Left out"]
    named = {row[0] for row in left_out["tables"][0]["rows"]}
    assert {"Original and reconstruction", "Decoded samples", "Along each dimension"} <= named
    drawn = {path.stem for path in (encoded / "figures").glob("*.png")}
    assert {"loss", "item", "latents", "explored-neighbours", "map-pca"} <= drawn
    assert not {"reconstructions", "errors", "explored-grid"} & drawn


@pytest.mark.parametrize(
    "words",
    [
        "explore RUN traversal",
        "explore RUN grid",
        "explore RUN interpolate 0 1",
        "explore RUN samples",
        "explore RUN samples --from prior",
        "explore RUN arithmetic 0 --plus 1 --minus 2",
        "explore RUN neighbours --samples 2",
        "explore RUN settings",
        "reconstruct RUN --dataset digits --out rebuilt",
        "sample RUN --out drawn",
    ],
)
def test_what_needs_a_decoder_is_refused_in_a_line_that_names_models_with_one(
    words, encoded, latentkit
):
    ended = latentkit(*words.replace("RUN", str(encoded)).split())
    assert ended.code == 2
    assert ended.error.startswith("latentkit: error: model 'own-views' has no decoder, so it ")
    assert "(conv-ae, conv-vae," in ended.error
    assert not (encoded.parents[1] / "rebuilt").exists()


def test_new_images_are_encoded_without_reconstruction_errors(encoded, latentkit):
    ended = latentkit("encode", encoded, "--dataset", "digits", "--out", "new.csv")
    assert ended.code == 0
    header = Path("new.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert "novelty" in header
    assert "pca_x" in header
    assert "error" not in header


def test_nearest_training_images_of_test_images_need_no_decoder(encoded, latentkit):
    assert latentkit("explore", encoded, "neighbours", 0, 5).code == 0


def test_a_transfer_classifies_with_the_encoder(encoded, latentkit, undrawn):
    done = latentkit(
        "transfer", encoded, "--mode", "probe", "--epochs", 1, "--name", "head", "-o", "threads=1"
    )
    assert done.code == 0, done.err
    ended = latentkit("classify", "head", "--dataset", "digits", "--out", "found.csv")
    assert ended.code == 0, ended.err
    assert Path("found.csv").read_text(encoding="utf-8").count("\n") > 300


def test_a_packed_encoder_can_be_opened_and_unpacked(encoded, latentkit):
    assert latentkit("pack", encoded, "--out", "packed.latentkit").code == 0
    assert latentkit("unpack", "packed.latentkit", "--runs", "copies").code == 0
    shown = latentkit("runs", "packed.latentkit").out
    assert "model 'own-views' has no decoder" in shown
    assert lk.open("packed.latentkit").latents().shape == (360, 4)


def test_a_comparison_with_an_autoencoder_shows_a_dash(encoded, finished, latentkit):
    shown = latentkit("compare", finished, encoded).out
    (row,) = [line for line in shown.splitlines() if line.startswith("MSE  ")]
    assert row.rstrip().endswith("–")
    assert "own-views, the best encoder without a decoder, " in " ".join(shown.split())


def test_only_the_encoder_is_exported(encoded, latentkit):
    pytest.importorskip("onnx", reason="onnx is not installed")
    pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    ended = latentkit("export", encoded, "--out", "onnx", "--json")
    assert ended.code == 0, ended.err
    assert [Path(one["path"]).name for one in json.loads(ended.out)] == ["encoder.onnx"]


def test_a_model_without_a_loss_is_not_trained(encoded, latentkit):
    ended = latentkit("run", "--model", "own-frozen", "--epochs", 3)
    assert ended.code == 2
    assert ended.error.endswith(
        "model 'own-frozen' has no loss, so it is not trained: use --epochs 0"
    )


def test_an_encoder_whose_latents_are_not_finite_is_refused_before_a_folder_is_made(
    encoded, latentkit
):
    before = set(encoded.parent.iterdir())
    ended = latentkit("run", "--model", "own-nan")
    assert "model 'own-nan' gives latents that are not all finite" in ended.error
    assert set(encoded.parent.iterdir()) == before


STUDY = "tune --trials 1 --no-finish -o threads=1 --objective"


def test_a_study_measures_what_needs_no_decoder(encoded, latentkit):
    words = [*STUDY.split(), "knn", "--search", "model.latent_dim=2..4"]
    ended = latentkit(*words, "--model", "own-views", "--epochs", 1, "--json")
    assert ended.code == 0, ended.err
    ended = latentkit(*words, "--model", "own-frozen", "--name", "frozen", "--json")
    assert ended.code == 0, ended.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("mse --model own-views", "model 'own-views' has no decoder; choose another, such as"),
        ("loss --model own-frozen", "a study compares trained models: set --epochs to 1 or more"),
    ],
)
def test_a_goal_that_an_encoder_cannot_have_is_refused(words, message, encoded, latentkit):
    ended = latentkit(*STUDY.split(), *words.split(), "--search", "model.latent_dim=2..4")
    assert ended.code == 2
    assert message in ended.error
