"""The sentence on whether an autoencoder was worth its training, in every case."""

import pytest

from latentkit.evaluation.encoder_rows import encoder_rows
from latentkit.evaluation.worth import was_it_worth

from .made_up_cards import N, made_up


def worth(*runs, paired=True):
    return was_it_worth(encoder_rows(runs, []), paired=paired, n_images=N)


def test_an_autoencoder_that_beats_everything_free_was_worth_it():
    found = worth(made_up(knn=0.9, pca=0.7, raw=0.8))
    assert found["answer"] == "yes"
    assert found["text"].startswith(
        "Yes, ae was worth its training: its 10-NN accuracy of 0.900 is 0.100 ["
    )
    assert "] above that of raw pixels, the better of what needs no training" in found["text"]
    assert ", and it reconstructs better: its test MSE of 0.0100 is 0.0100 [" in found["text"]
    assert found["text"].endswith(
        "below that of PCA of 2 (95 % intervals over 400 test images and one seed, so that another "
        "may differ)."
    )
    assert [(one["figure"], one["against"], one["better"]) for one in found["comparisons"]] == [
        ("knn 100%", "raw pixels", "yes"),
        ("mse", "PCA of 2", "yes"),
    ]


def test_one_that_finds_fewer_labels_was_not_worth_it_though_it_reconstructs_better():
    found = worth(made_up(knn=0.6, pca=0.8, raw=0.7))
    assert found["answer"] == "no"
    assert found["text"].startswith("No, ae was not worth its training: its 10-NN accuracy of 0.6")
    assert "] below that of PCA of 2, the better of" in found["text"]
    assert ", but it reconstructs better: " in found["text"]


def test_one_that_reconstructs_worse_is_told_so():
    assert ", but it reconstructs worse: " in worth(made_up(mse=0.03))["text"]
    assert ", and it reconstructs worse: " in worth(made_up(knn=0.5, mse=0.03))["text"]


def test_a_difference_that_may_be_chance_is_not_told():
    found = worth(made_up(knn=0.7, pca=0.7, raw=0.7, mse=0.01, pca_mse=0.01))
    assert found["answer"] == "unclear"
    assert found["text"].startswith(
        "It cannot be told with these images whether ae was worth its training: its 10-NN accuracy "
        "of 0.700 differs by +0.000 ["
    )
    assert "of PCA of 2, which is not a clear difference" in found["text"]


@pytest.mark.parametrize(
    ("knn", "text"),
    [
        (0.9, "; views, the best encoder without a decoder, has 0.100 [0.0"),
        (0.7, "; views, the best encoder without a decoder, has 0.100 [0.0"),
        (0.8, "; views, the best encoder without a decoder, cannot be told from it by 10-NN"),
    ],
)
def test_the_best_encoder_without_a_decoder_is_compared(knn, text):
    found = worth(made_up(knn=0.8), made_up("views", mse=None, knn=knn))
    assert text in found["text"]
    assert ("] more accuracy" in found["text"]) == (knn > 0.8)
    assert ("] less accuracy" in found["text"]) == (knn < 0.8)


def test_seeds_that_disagree_leave_it_open():
    found = worth(*(made_up(seed=s, knn=0.72 + 0.1 * (s - 1)) for s in range(3)))
    assert found["answer"] == "unclear"
    assert "over 400 test images and 3 seeds)" in found["text"]
    assert worth(*(made_up(seed=s, knn=0.8 + 0.01 * s) for s in range(3)))["answer"] == "yes"


def test_without_labels_only_reconstruction_and_maps_are_spoken_of():
    found = worth(made_up(labels=False, maps=[("isomap", 0.9), ("pca", 0.8)]))
    assert found["answer"] == "yes"
    assert found["text"].startswith("Yes, ae was worth its training for reconstruction: its test")
    assert "its map isomap has a trustworthiness of 0.900" in found["text"]
    assert "nothing is said about classes, because the cards have no probes" in found["text"]
    assert "10-NN" not in found["text"]
    assert worth(made_up(labels=False, mse=0.03))["answer"] == "no"
    unclear = worth(made_up(labels=False, mse=0.02))
    assert unclear["answer"] == "unclear"
    assert "nothing is said about classes" in unclear["text"]


def test_the_best_of_several_autoencoders_is_taken_and_untrained_ones_are_not():
    runs = made_up("one", knn=0.75), made_up("two", knn=0.8), made_up("three", knn=0.9, epochs=0)
    assert worth(*runs)["text"].startswith("Yes, two was worth")


def test_runs_with_other_test_images_get_no_answer():
    found = worth(made_up(), made_up("b", images="other"), paired=False)
    assert found["answer"] == "none"
    assert "different test images: compare runs of the same images" in found["text"]


def test_without_an_autoencoder_the_best_encoder_is_compared():
    found = worth(made_up("views", mse=None, knn=0.8))
    assert found["answer"] == "none"
    assert found["text"].startswith(
        "No run is a trained autoencoder; the best encoder is views: its 10-NN accuracy of 0.800 "
    )
    assert "not a clear difference" in worth(made_up("views", mse=None, knn=0.7))["text"]
    assert worth(made_up("views", mse=None, labels=False))["comparisons"] == []


def test_cards_without_baselines_are_said_to_lack_them():
    run = made_up()
    for name in ("pca", "raw_pixels"):
        del run.card["representation"]["spaces"][name]
    run.card["baselines"].clear()
    found = worth(run)
    assert found["answer"] == "none"
    assert "no figures of PCA or raw pixels" in found["text"]


def test_digits_are_added_until_the_interval_shows_a_difference():
    found = worth(made_up(mse=0.01, pca_mse=0.01002))
    (mse,) = [one for one in found["comparisons"] if one["figure"] == "mse"]
    assert mse["better"] == "yes"
    assert "0.0000 [" not in found["text"]


def test_baselines_are_those_of_the_same_split():
    runs = [
        made_up(knn=0.8, raw=0.7, pca=0.7, split={"validation": 0.1}),
        made_up("vae", knn=0.6, raw=0.2, pca=0.2, split={"validation": 0.9}),
    ]
    for ordered in (runs, runs[::-1]):
        found = worth(*ordered)["comparisons"][0]
        assert found["difference"]["value"] == pytest.approx(0.1)
        assert "0.1" in found["against"]
