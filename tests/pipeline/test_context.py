from latentkit.config import build_config
from latentkit.pipeline import context
from latentkit.pipeline.context import ImageShelf
from latentkit.registry.catalogue import default_registry


def test_a_shelf_keeps_the_images_that_were_last_used(tmp_path, monkeypatch):
    loaded = []

    def load(registry, part, split, data_dir):
        loaded.append((data_dir.name, split))
        return loaded[-1]

    monkeypatch.setattr(context, "load_images", load)
    registry = default_registry()
    part = build_config({}, registry).dataset
    shelf = ImageShelf()

    def take(folder, split):
        return shelf.take(registry, part, split, tmp_path / folder)

    for folder in "abab":
        for split in ("train", "test"):
            assert take(folder, split) == (folder, split)
    assert len(loaded) == 4
    take("c", "train")  # in the place of the training images of a
    take("a", "test")
    assert len(loaded) == 5
    take("a", "train")
    assert len(loaded) == 6
