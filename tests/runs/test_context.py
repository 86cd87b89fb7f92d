from types import SimpleNamespace

import pytest
import torch

from latentkit.config import build_config
from latentkit.errors import IntegrityError
from latentkit.plugin import events
from latentkit.registry.catalogue import default_registry
from latentkit.runs import context, run_files
from latentkit.runs.context import ImageCache


def test_the_image_cache_keeps_the_most_recently_used_images(tmp_path, monkeypatch):
    loaded = []

    def load(part, split, data_dir):
        loaded.append((data_dir.name, split))
        return loaded[-1]

    monkeypatch.setattr(context, "load_images", load)
    part = build_config({}, default_registry()).dataset
    image_cache = ImageCache()

    def take(folder, split):
        return image_cache.take(part, split, tmp_path / folder)

    for folder in "abab":
        for split in ("train", "test"):
            assert take(folder, split) == (folder, split)
    assert len(loaded) == 4
    take("c", "train")  # replaces the training images of a
    take("a", "test")
    assert len(loaded) == 5
    take("a", "train")
    assert len(loaded) == 6


def test_a_network_much_larger_than_its_weights_is_refused_before_it_is_built(
    tmp_path, monkeypatch
):
    registry = default_registry()
    large = {"name": "dense-ae", "hidden": [60000, 60000]}  # 14 GB
    config = build_config({"model": large}, registry)
    artefacts = {
        run_files.MODEL: SimpleNamespace(size=100_000),
        run_files.DATA: SimpleNamespace(size=1),
    }
    (tmp_path / run_files.DATA).touch()
    folder = SimpleNamespace(
        path=tmp_path,
        manifest=SimpleNamespace(artefacts=artefacts),
        json=lambda name: {"image_shape": [1, 8, 8]},
    )
    stranger = context.StageContext(
        config, registry, tmp_path, torch.device("cpu"), folder, events.ignore
    )
    monkeypatch.setattr(stranger, "new_model", lambda: pytest.fail("the network was built"))
    with pytest.raises(IntegrityError, match=r"does not fit the run's model: it has 100,000 bytes"):
        _ = stranger.model
