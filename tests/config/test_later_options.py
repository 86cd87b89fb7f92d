"""Options that later versions added do not change what a run of an earlier version is."""

import tomllib

from latentkit.config import build_config
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins

REGISTRY = Registry(found for found in find_plugins() if found.built_in)
FORMER = {
    "name": "conv-ae",
    "latent_dim": 16,
    "activation": "gelu",
    "norm": "batch",
    "patch": 2,
    "channels": [48],
    "hidden": [352, 128],
    "upsampling": "pixel-shuffle",
    "odd_sizes": "up",
    "shortcut": False,
}


def test_a_stored_model_of_an_earlier_version_is_written_as_it_was():
    for model in (FORMER, {key: FORMER[key] for key in FORMER if key != "shortcut"}):
        name = "conv-ae" if "shortcut" in model else "conv-vae"
        config = build_config({"model": {**model, "name": name}}, REGISTRY)
        written = tomllib.loads(config.to_toml())["model"]
        assert {key: written[key] for key in model if key != "name"} == {
            key: value for key, value in model.items() if key != "name"
        }
        assert "blocks" not in written
        assert "loss" not in written


def test_augmentation_is_written_only_if_it_is_used():
    plain = tomllib.loads(build_config({}, REGISTRY).to_toml())["training"]
    assert not {"flip", "shift"} & plain.keys()
    used = build_config({"training": {"flip": True, "shift": 2}}, REGISTRY)
    written = tomllib.loads(used.to_toml())
    assert written["training"]["flip"] is True
    assert written["training"]["shift"] == 2
    assert build_config(written, REGISTRY) == used


def test_choices_are_written_once_the_images_are_known():
    config = build_config({}, REGISTRY)
    assert "channels" not in tomllib.loads(config.to_toml())["model"]
    model = config.model.for_images((3, 64, 64)).as_dict()
    assert model.keys() >= {"latent_dim", "patch", "channels", "blocks", "hidden", "shortcut"}
    assert "auto" not in model.values()


def test_an_added_option_that_is_used_is_written():
    model = build_config({"model": {"name": "conv-ae", "loss": "l1"}}, REGISTRY).model.as_dict()
    assert model["loss"] == "l1"
    assert "loss_weight" not in model
