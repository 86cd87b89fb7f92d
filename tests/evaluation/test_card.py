"""The evaluation card of real runs: what it holds, and what it leaves out."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.evaluation import measuring as measuring
from latentkit.evaluation import representation
from latentkit.evaluation.card_tables import card_note, card_tables
from latentkit.evaluation.representation import linear_probe

pytestmark = [pytest.mark.early, pytest.mark.usefixtures("blank_figures")]

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}
RNG = np.random.default_rng(0)


def small_run(out, options=None, **arguments):
    options = {**SMALL, **(options or {})}
    return lk.run(**{"epochs": 2, "options": options, "out": out, **arguments})


def npz_run(folder, options=None, embed=("pca",), **arrays):
    np.savez(folder / "mine.npz", **arrays)
    options = {"npz.path": str(folder / "mine.npz"), **(options or {})}
    return small_run(folder / "runs", options, dataset="npz", embed=embed)


def is_interval(figure):
    return figure["low"] <= figure["value"] <= figure["high"]


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs"))


def test_the_card_gives_every_figure_with_an_interval(plain):
    card = plain.evaluation
    assert card["protocol"] == 3
    assert card["n_images"] == 360
    assert card["intervals"]["resamples"] == 1000
    assert card["left_out"] == []
    for figures in (card["reconstruction"], card["baselines"]["pca"]):
        assert all(
            is_interval(figures[name]) for name in ("mse", "psnr", "ssim", "ms_ssim", "spectrum")
        )
    classes = card["classes"]
    assert [one["class"] for one in classes] == [str(digit) for digit in range(10)]
    assert sum(one["n_images"] for one in classes) == 360
    weighted = sum(one["mse"]["value"] * one["n_images"] for one in classes) / 360
    assert weighted == pytest.approx(card["reconstruction"]["mse"]["value"])


def test_latents_and_baselines_get_the_same_probes(plain):
    found = plain.evaluation["representation"]
    assert list(found["spaces"]) == ["latents", "pca", "random_encoder", "raw_pixels"]
    assert found["n_classes"] == 10
    for space in found["spaces"].values():
        for probe in ("linear", "knn"):
            assert [one["share"] for one in space[probe]] == [0.01, 0.1, 1.0]
            assert space[probe][-1]["n_labels"] == 1150
            assert all(is_interval(one["accuracy"]) for one in space[probe])
        assert all(is_interval(space["kmeans"][name]) for name in ("accuracy", "nmi", "ari"))
    pixels, latents = found["spaces"]["raw_pixels"], found["spaces"]["latents"]
    assert pixels["n_features"] == 64
    assert pixels["knn"][-1]["accuracy"]["value"] > 0.95
    assert pixels["linear"][-1]["accuracy"]["value"] > 0.9
    arrays = np.load(plain.path / "evaluation.npz")
    for name, space in found["spaces"].items():
        for probe in ("linear", "knn"):
            hits = arrays[f"{probe}_hits" if name == "latents" else f"{name}_{probe}_hits"]
            assert hits.mean() == pytest.approx(space[probe][-1]["accuracy"]["value"])
    counts = np.array(latents["confusion"]["counts"])
    assert counts.sum() == 360
    assert counts.trace() / 360 == pytest.approx(latents["linear"][-1]["accuracy"]["value"])


def test_figures_of_each_image_are_kept(plain):
    arrays = np.load(plain.path / "evaluation.npz")
    assert arrays["mse"].mean() == pytest.approx(plain.evaluation["reconstruction"]["mse"]["value"])
    assert set(arrays.files) >= {"mse", "ssim", "pca_mse", "linear_hits", "knn_hits"}
    assert all(len(arrays[name]) == 360 for name in arrays.files)


def test_a_repeated_run_gives_a_byte_identical_card(plain, tmp_path):
    copy = lk.open(shutil.copytree(plain.path, tmp_path / plain.id))
    before = (copy.path / "evaluation.json").read_bytes()
    measuring._kept.clear()
    lk.evaluate(copy.path, again=True)
    assert (copy.path / "evaluation.json").read_bytes() == before


def test_measurements_that_do_not_depend_on_the_model_are_made_once(plain, tmp_path, monkeypatch):
    asked = []

    def counting(train, labels, test):
        asked.append(train.shape[1])
        return linear_probe(train, labels, test)

    monkeypatch.setattr(representation, "linear_probe", counting)
    options = {"model.latent_dim": 3, "model.hidden": [16], "threads": 1}
    other = lk.run(model="dense-ae", epochs=1, options=options, out=tmp_path / "other")
    spaces, before = (run.evaluation["representation"]["spaces"] for run in (other, plain))
    assert asked == [3] * 6  # latents and random encoder, for three shares of labels each
    assert spaces["raw_pixels"] == before["raw_pixels"]
    assert spaces["pca"] == before["pca"]
    assert other.evaluation["baselines"] == plain.evaluation["baselines"]

    asked.clear()
    measuring._kept.clear()
    again = small_run(tmp_path / "again")
    assert asked == [3] * 9 + [64] * 3
    assert again.evaluation == plain.evaluation


def test_a_denoising_run_has_an_error_curve_over_noise_strength(tmp_path):
    run = small_run(
        tmp_path,
        {"salt-and-pepper.amount": 0.6},
        corrupt=["salt-and-pepper"],
        epochs=4,
    )
    card = run.evaluation
    assert all(is_interval(card["reconstruction"][f"ssim_{x}_corrupted"]) for x in ("from", "of"))
    points = card["robustness"]["points"]
    values = [point["strengths"][0]["value"] for point in points]
    assert values == pytest.approx([0, 0.3, 0.6, 0.9, 1.0])  # clipped to the option's maximum
    of_corrupted = [point["mse_of_corrupted"]["value"] for point in points]
    assert of_corrupted[0] == 0
    assert of_corrupted == sorted(of_corrupted)
    assert points[0]["mse"]["value"] < points[-1]["mse"]["value"]
    assert (run.path / "figures/robustness.png").exists()


def test_the_strengths_of_all_corruptions_of_a_chain_are_scaled_together(tmp_path):
    run = small_run(tmp_path, corrupt=["gaussian-noise", "blur"], epochs=1)
    last = run.evaluation["robustness"]["points"][-1]
    assert [(one["option"], one["value"]) for one in last["strengths"]] == [
        ("std", pytest.approx(0.6)),
        ("sigma", 2.0),
    ]


def test_a_corruption_without_a_strength_is_named(tmp_path, install_plugin):
    install_plugin(
        "darken",
        """
        from latentkit.plugin import CorruptionSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1
        @hookimpl
        def latentkit_corruptions():
            yield CorruptionSpec(name="darken", summary="Half as bright", target="darken:build")
        def build(options):
            return lambda images, generator: images / 2
        """,
    )
    card = small_run(tmp_path, corrupt=["darken"], epochs=1).evaluation
    assert "robustness" not in card
    assert card["left_out"] == [
        {
            "part": "robustness",
            "why": "no option of the corruption is marked as its strength",
        }
    ]


def test_the_card_splits_the_elbo_and_gives_the_kl_of_each_dimension(tmp_path):
    found = small_run(tmp_path, model="conv-vae").evaluation["likelihood"]
    parts = found["log_likelihood_under_posterior"]["value"] - found["kl"]["value"]
    assert parts == pytest.approx(found["elbo"]["value"])
    assert sum(found["kl_by_dimension"]) == pytest.approx(found["kl"]["value"])
    assert found["aggregate_posterior"]["kl_of_gaussian_fit_from_prior"] > 0
    assert len(found["aggregate_posterior"]["variance"]) == 3


def test_sprites_are_measured_by_their_factors(tmp_path):
    run = small_run(
        tmp_path, {"sprites.n_train": 600, "sprites.n_test": 300}, dataset="sprites", epochs=2
    )
    found = run.evaluation["disentanglement"]
    assert [one["factor"] for one in found["factors"]] == ["shape", "scale", "rotation", "x", "y"]
    assert all(0 <= found[key] <= 1 for key in ("mig", "dci_disentanglement", "sap"))
    assert all(len(one["importance"]) == 3 for one in found["factors"])


def test_unlabelled_colour_images_get_a_card_without_probes(tmp_path):
    run = npz_run(tmp_path, images=RNG.integers(0, 256, (30, 12, 9, 3), np.uint8))
    card = run.evaluation
    assert card["n_images"] == 6
    assert "representation" not in card
    parts = [one["part"] for one in card["left_out"]]
    assert parts == ["results of each class", "representation"]
    assert "confusion" not in run.figures
    assert {"errors", "latents", "item", "map-pca", "map-pca-images"} <= set(run.figures)


def test_probes_are_left_out_if_all_images_are_of_one_class(tmp_path):
    images = RNG.integers(0, 256, (40, 8, 8), np.uint8)
    card = npz_run(tmp_path, images=images, labels=np.zeros(40, int)).evaluation
    assert card["left_out"] == [{"part": "representation", "why": "all images are of one class"}]
    assert len(card["classes"]) == 1


def test_constant_images_do_not_fail(tmp_path):
    images = np.full((40, 8, 8), 51, np.uint8)
    card = npz_run(tmp_path, embed=[], images=images, labels=np.arange(40) % 2).evaluation
    assert card["baselines"]["pca"]["psnr"]["value"] == pytest.approx(100)
    assert card["representation"]["spaces"]["pca"]["knn"][-1]["accuracy"]["value"] == 0.5


def test_more_latents_than_images_do_not_fail(tmp_path):
    images = RNG.integers(0, 256, (60, 8, 8), np.uint8)
    options = {"model.latent_dim": 512}
    card = npz_run(tmp_path, options, images=images, labels=np.arange(60) % 3).evaluation
    assert card["latent_dim"] == 512
    assert card["baselines"]["pca"]["n_components"] < 64


def test_the_tables_of_a_card_show_all_of_it(plain):
    tables = {table.title: table for table in card_tables(plain.evaluation)}
    assert list(tables) == [
        "Reconstruction",
        "Reconstruction by class",
        "Latents, 360 test images",
        "Accuracy of probes, 1,150 training images",
        "k-means against the labels, 10 clusters",
    ]
    assert len(tables["Reconstruction by class"].rows) == 10
    assert all(len(row) == len(t.header) for t in tables.values() for row in t.rows)
    assert card_note(plain.evaluation).startswith("Measured on 360 test images. Brackets contain ")


def test_runs_are_compared_image_by_image(plain, tmp_path):
    other = small_run(tmp_path, {"model.latent_dim": 6}, epochs=3)
    found = lk.compare(plain.path, other.path)
    assert found["paired"]
    assert found["config"]["model.latent_dim"] == [3, 6]
    assert set(found["config"]) == {"model.latent_dim", "training.epochs"}
    errors = [np.load(run.path / "evaluation.npz")["mse"] for run in (plain, other)]
    (difference,) = found["differences"]["mse"]
    assert difference["value"] == pytest.approx((errors[1] - errors[0]).mean())
    alone = other.evaluation["reconstruction"]["mse"]
    assert difference["high"] - difference["low"] < alone["high"] - alone["low"]
    assert json.loads(json.dumps(found)) == found


def test_runs_on_different_images_are_compared_without_pairing(plain, tmp_path):
    other = npz_run(tmp_path, images=RNG.integers(0, 256, (50, 8, 8), np.uint8))
    found = lk.compare(plain.path, other.path)
    assert not found["paired"]
    (difference,) = found["differences"]["mse"]
    assert difference["low"] < difference["value"] < difference["high"]
    assert found["figures"]["linear_accuracy"][1] is None
    assert "linear_accuracy" not in found["differences"]


def test_kept_weights_are_drawn_and_match_their_epoch(plain, tmp_path):
    run = small_run(tmp_path, {"training.snapshots": [0, 1, 2, 9]}, epochs=2)
    kept = sorted(path.name for path in (run.path / "weights").iterdir())
    assert kept == [f"epoch-000{epoch}.safetensors" for epoch in (0, 1, 2)]
    assert {"epochs", "weights-epoch-0", "weights-epoch-2", "kernels-epoch-1"} <= set(run.figures)
    # Keeping weights changes no weight.
    same = (plain.path / "model.safetensors").read_bytes()
    assert (run.path / "model.safetensors").read_bytes() == same
    assert (run.path / "weights/epoch-0002.safetensors").read_bytes() == same


MAPPED = """
    import numpy as np
    from pydantic import Field
    from latentkit.plugin import DatasetSpec, ImageData, Options, hookimpl

    LATENTKIT_HOOKSPEC_VERSION = 1

    class Mapped(Options):
        folder: str = Field("", description="Folder of the files.")
        mapped: bool = Field(True, description="Whether the files are memory-mapped.")

    def load(options, split, cache):
        mode = "r" if options.mapped else None
        images = np.load(f"{options.folder}/{split}.npy", mmap_mode=mode)
        return ImageData(images, np.arange(len(images)) % 3, ("a", "b", "c"))

    @hookimpl
    def latentkit_datasets():
        target, options = f"{__name__}:load", f"{__name__}:Mapped"
        return [DatasetSpec(name="mapped", summary="A file", target=target, options=options)]
"""


def test_a_memory_mapped_set_gets_the_card_of_the_same_set_in_memory(
    tmp_path, install_plugin, monkeypatch
):
    install_plugin("mapped_images", MAPPED)
    images = RNG.integers(0, 256, (400, 1, 8, 8)).astype(np.uint8)
    np.save(tmp_path / "train.npy", images[:300])
    np.save(tmp_path / "test.npy", images[300:])
    monkeypatch.setattr(measuring, "MOST_TRAIN", 100)
    monkeypatch.setattr(measuring, "MOST_TEST", 40)
    monkeypatch.setattr(measuring, "MOST_VALUES", 64 * 120)

    def run(name, seed=0, *, mapped):
        options = {"mapped.folder": str(tmp_path), "mapped.mapped": mapped}
        return small_run(tmp_path, options, dataset="mapped", name=name, seed=seed, epochs=1)

    cards = []
    for mapped in (True, False):
        monkeypatch.setattr(measuring, "_kept", {})
        cards.append(run(f"mapped-{mapped}", mapped=mapped))
    card = cards[0].evaluation
    assert card == cards[1].evaluation
    assert card["sampled"] == [
        "PCA is fitted on 120 of 240 training images, drawn at random",
        "probes and k-means are fitted on 100 of 240 training images, drawn at random",
        "probes and k-means are measured on 40 of 100 test images, drawn at random",
    ]
    assert "Probes and k-means are measured on 40 of 100 test images" in card_note(card)
    found = card["representation"]
    assert (card["n_images"], found["n_train"], found["n_test"]) == (100, 100, 40)
    assert np.array(found["spaces"]["latents"]["confusion"]["counts"]).sum() == 40
    other = run("other", seed=1, mapped=True)
    rows = [np.load(one.path / "evaluation.npz")["probed_rows"] for one in (cards[0], other)]
    assert np.array_equal(*rows)  # so that runs are compared image by image
    assert lk.compare(cards[0].path, other.path)["paired"]


def test_the_card_says_what_pca_is_fitted_on_also_if_its_probes_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(measuring, "MOST_VALUES", 64 * 120)
    monkeypatch.setattr(measuring, "_kept", {})
    plugin = Path(__file__).parents[1] / "own_encoders.py"
    cards = [
        lk.run(model="own-frozen", plugins=[plugin], options={"threads": 1}, runs=tmp_path)
        for _ in range(2)
    ]
    first, second = (card.evaluation["sampled"] for card in cards)
    assert first == second == ["PCA is fitted on 120 of 1,150 training images, drawn at random"]


def test_figures_are_shown_without_test_images_that_are_also_in_training(tmp_path):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (80, 20, 20), np.uint8)
    labels = np.arange(80) % 2
    images[60:65] = images[:5]
    split = {"x_train": images[:60], "x_test": images[60:]}
    split |= {"y_train": labels[:60], "y_test": labels[60:]}
    np.savez(tmp_path / "mine.npz", **split)
    said = []
    options = {**SMALL, "npz.path": str(tmp_path / "mine.npz")}
    out = tmp_path / "runs"
    run = lk.run(dataset="npz", epochs=1, options=options, out=out, listener=said.append)
    (notice,) = [one for one in said if getattr(one, "code", "") == "duplicates"]
    assert "5 of 20 test images of npz are also among its training" in notice.message
    found = run.evaluation["without_duplicates"]
    assert (found["n_images"], found["n_equal"], found["n_near"]) == (15, 5, 0)
    arrays = np.load(run.path / "evaluation.npz")
    for name, values in (("mse", "mse"), ("ssim", "ssim"), ("linear_accuracy", "linear_hits")):
        figure = found["figures"][name]
        assert figure["all"]["value"] == pytest.approx(arrays[values].mean())
        assert figure["without"]["value"] == pytest.approx(arrays[values][5:].mean())
    page = (run.path / "report.html").read_text()
    assert "Without 5 test images that are also in training" in page
    (run.path / "data.json").unlink()  # it is made again as it was
    lk.resume(run.path)
