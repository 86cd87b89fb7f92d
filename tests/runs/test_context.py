from latentkit.config import build_config
from latentkit.registry.catalogue import default_registry
from latentkit.runs import context
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
