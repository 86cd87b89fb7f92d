"""Flat tables: every option and every figure has one flat name."""

from latentkit.config import build_config
from latentkit.plugin import flat_figures, flat_options
from latentkit.registry.catalogue import default_registry


def test_every_option_of_a_configuration_has_one_flat_name():
    config = build_config(
        {"embedding": [{"name": "pca"}, {"name": "pca", "on": "train"}]},
        default_registry(),
        overrides={"seed": 3, "model.channels": [4, 8]},
    )
    options = flat_options(config.as_dict())
    assert options["seed"] == 3
    assert options["model.name"] == "conv-ae"
    assert options["model.channels"] == [4, 8]
    assert options["embedding.pca.name"] == "pca"
    assert options["embedding.pca-2.on"] == "train"
    assert options["training.snapshots"] == []


def estimate(value):
    return {"value": value, "standard_error": 0.1, "low": 0.0, "high": 1.0}


def test_figures_are_named_by_their_labels_and_count_tables_are_left_out():
    summary = {
        "run": "a-run",
        "epochs": 3,
        "validation": {"loss": 0.5},
        "reconstruction": {"mse": estimate(0.2)},
        "representation": {
            "spaces": {
                "latents": {
                    "knn": [
                        {"share": 0.1, "n_labels": 116, "accuracy": estimate(0.7)},
                        {"share": 1.0, "n_labels": 1150, "accuracy": estimate(0.9)},
                    ],
                    "confusion": {"counts": [[3, 0], [1, 4]]},
                }
            }
        },
        "maps": {"pca": {"neighbourhood_preservation": [{"k": 5, "q_nx": estimate(0.3)}]}},
        "left_out": [{"part": "likelihood", "why": "no posterior"}],
        "fine": True,
    }
    above = "representation/spaces/latents/knn"
    assert flat_figures(summary) == {
        "epochs": 3.0,
        "validation/loss": 0.5,
        "reconstruction/mse": 0.2,
        f"{above}/share-0.1/n_labels": 116.0,
        f"{above}/share-0.1/accuracy": 0.7,
        f"{above}/share-1.0/n_labels": 1150.0,
        f"{above}/share-1.0/accuracy": 0.9,
        "maps/pca/neighbourhood_preservation/k-5/q_nx": 0.3,
    }
