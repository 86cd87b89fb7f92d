"""Rows of encoders: seeds share a row, intervals hold both spreads, and old runs lack figures."""

import numpy as np
import pytest

from latentkit.evaluation.bootstrap import replicated
from latentkit.evaluation.encoder_differences import best_row, difference
from latentkit.evaluation.encoder_rows import encoder_rows

from .made_up_cards import hits, made_up, transfer


def by_name(runs, transfers=()):
    return {row.name: row for row in encoder_rows(runs, transfers)}


def test_runs_that_differ_only_in_their_seed_are_one_row():
    rows = by_name([made_up(seed=seed, device="cpu", threads=seed) for seed in (0, 1)])
    assert list(rows) == ["ae", "PCA of 2", "raw pixels"]
    assert rows["ae"].seeds == (0, 1)
    assert [rows[name].kind for name in rows] == ["autoencoder", "baseline", "baseline"]


def test_rows_of_one_model_are_named_by_what_differs():
    runs = [
        made_up(training={"epochs": 1}),
        made_up(training={"epochs": 2}),
        made_up(corruption=[{"name": "noise"}], training={"epochs": 1}),
    ]
    assert list(by_name(runs))[:3] == ["ae (epochs=1)", "ae (epochs=2)", "ae with noise"]


def test_rows_that_differ_in_many_options_are_named_by_their_runs():
    first, second = (made_up(training={"a": n, "b": n, "c": n}) for n in (1, 2))
    first.folder.manifest.id, second.folder.manifest.id = "reference", "default"
    assert list(by_name([first, second]))[:2] == ["ae (reference)", "ae (default)"]


def test_pca_is_a_row_for_each_number_of_dimensions_and_raw_pixels_are_one():
    runs = [made_up(seed=seed, size=size) for size in (2, 3) for seed in (0, 1)]
    rows = by_name(runs)
    assert list(rows) == [
        "ae (latent_dim=2)",
        "ae (latent_dim=3)",
        "PCA of 2",
        "PCA of 3",
        "raw pixels",
    ]
    assert rows["PCA of 3"].runs == ("ae-0", "ae-1")
    assert rows["raw pixels"].seeds == (0, 1)


def test_pca_takes_its_error_from_a_run_that_has_a_decoder():
    rows = by_name([made_up("views", mse=None), made_up("ae", pca_mse=0.02)])
    assert rows["PCA of 2"].figures["mse"]["value"] == pytest.approx(0.02, abs=1e-3)


def test_an_interval_holds_the_spread_over_images_and_the_one_over_seeds():
    alone = by_name([made_up(knn=0.8)])["ae"].figures["knn 100%"]
    both = by_name([made_up(seed=0, knn=0.78), made_up(seed=1, knn=0.82)])["ae"]
    figure = both.figures["knn 100%"]
    over_images, over_seeds = alone["high"] - alone["value"], replicated([0.78, 0.82])
    assert figure["value"] == pytest.approx(0.8)
    reach = np.hypot(over_images, over_seeds.high - over_seeds.value)
    assert figure["high"] - figure["value"] == pytest.approx(reach, rel=0.01)


def test_costs_have_an_interval_only_over_seeds():
    one, two = by_name([made_up()])["ae"], by_name([made_up(seed=s) for s in (0, 1)])["ae"]
    assert one.figures["training_seconds"] == {"value": 2.0, "low": None, "high": None}
    assert two.figures["training_seconds"]["value"] == 2.5
    assert two.figures["training_seconds"]["high"] > 2.5
    assert one.figures["memory_mb"]["value"] == 100
    assert one.figures["encoding_us"]["value"] == pytest.approx(1)
    assert one.figures["parameters"]["value"] == 1234


def test_what_an_older_run_did_not_record_is_missing_and_the_rest_is_there():
    old = made_up(older=True)
    row = by_name([old])["ae"]
    assert not {"encoding_us", "parameters"} & set(row.figures)
    assert {"mse", "knn 100%", "training_seconds"} <= set(row.figures)


def test_a_difference_image_by_image_is_narrower_than_one_of_two_intervals():
    own, pca, _ = encoder_rows([made_up(knn=0.75, pca=0.7)], [])
    paired = difference(own, pca, "knn 100%", paired=True)
    apart = difference(own, pca, "knn 100%", paired=False)
    assert paired["value"] == pytest.approx(0.05)
    assert apart["value"] == pytest.approx(0.05)
    assert paired["low"] > 0 > apart["low"]
    old, old_pca, _ = encoder_rows([made_up(knn=0.75, pca=0.7, older=True)], [])
    assert difference(old, old_pca, "knn 100%", paired=True) == apart


def test_equal_seeds_are_paired_and_other_seeds_are_not():
    def rows(seeds):
        first = [made_up("one", seed=s, knn=0.6 + 0.1 * s) for s in (0, 1, 2)]
        second = [made_up("two", seed=s, knn=0.5 + 0.1 * (s % 3)) for s in seeds]
        return encoder_rows([*first, *second], [])[:2]

    same = difference(*rows((0, 1, 2)), "knn 100%", paired=True)
    others = difference(*rows((3, 4, 5)), "knn 100%", paired=True)
    assert same["value"] == pytest.approx(0.1)
    assert others["value"] == pytest.approx(0.1)
    assert same["low"] > 0 > others["low"]


def test_the_best_is_named_only_if_the_interval_supports_it():
    clear = encoder_rows([made_up("good", knn=0.8), made_up("poor", knn=0.7, pca=0.6, raw=0.6)], [])
    assert best_row(clear, "knn 100%", paired=True).name == "good"
    assert best_row(clear, "knn 100%", paired=False) is None
    close = encoder_rows([made_up("good", knn=0.705), made_up("poor", knn=0.7)], [])
    assert best_row(close, "knn 100%", paired=True) is None
    assert best_row(clear, "effective_rank", paired=True) is None
    assert best_row(clear[:1], "knn 100%", paired=True) is None


def test_what_was_not_sampled_has_no_interval_and_is_not_marked():
    rows = encoder_rows([made_up("a", maps=[("pca", 0.9)]), made_up("b", maps=[("pca", 0.8)])], [])
    assert rows[0].figures["trust pca"] == {"value": 0.9, "low": None, "high": None}
    assert best_row(rows, "trust pca", paired=True) is None


def test_a_lower_error_is_better():
    rows = encoder_rows([made_up("good", mse=0.01), made_up("poor", mse=0.03)], [])
    assert best_row(rows, "mse", paired=True).name == "good"


def test_transfers_belong_to_the_row_of_their_parent():
    parents = [made_up("ae", seed=seed) for seed in (0, 1)]
    others = [transfer(one, 0.9) for one in parents]
    elsewhere = transfer(parents[0], 0.5, mode="probe", images="other")
    figures = by_name(parents, [*others, elsewhere])["ae"].figures
    assert figures["transfer finetune, 10 %"]["value"] == pytest.approx(0.9)
    assert figures["transfer probe, 10 % of other"]["value"] == pytest.approx(0.5)


def test_an_encoder_without_a_decoder_has_no_error():
    row = by_name([made_up("views", mse=None)])["views"]
    assert row.kind == "encoder"
    assert "mse" not in row.figures
    assert hits(0.5).sum() == 200


def test_transfers_with_other_options_are_not_averaged():
    parent = made_up()
    others = [transfer(parent, share) for share in (0.5, 0.9)]
    for number, one in enumerate(others, 1):
        one.folder.manifest.config["training"] = {"epochs": number}
    figures = by_name([parent], others)["ae"].figures
    assert figures["transfer finetune, 10 % (epochs=1)"]["value"] == pytest.approx(0.5)
    assert figures["transfer finetune, 10 % (epochs=2)"]["value"] == pytest.approx(0.9)


def test_costs_on_different_machines_are_not_averaged():
    same = by_name([made_up(seed=seed, threads=1) for seed in (0, 1)])["ae"].figures
    other = by_name([made_up(seed=seed, threads=seed) for seed in (0, 1)])["ae"].figures
    assert same.keys() - other.keys() == {"training_seconds", "memory_mb", "encoding_us"}
