"""Local data sets of every kind, and the hub replaced by a folder: contract, splits, faults."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import latentkit as lk
from latentkit.errors import DataError, NetworkError, UserError
from latentkit.plugin.downloads import no_downloads
from latentkit.registry.catalogue import Registry
from latentkit.registry.discovery import find_plugins
from latentkit.testing.suites import part_cases
from latentkit_huggingface.options import HuggingfaceOptions
from latentkit_huggingface.sources import find_source

datasets = pytest.importorskip("datasets")

FOLDER = tempfile.TemporaryDirectory(prefix="latentkit-huggingface-")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def png(shade, mode="RGB"):
    file = io.BytesIO()
    picture = Image.new("RGB", (12, 10), (shade, 0, 255 - shade))
    picture.convert(mode).save(file, "PNG")
    return file.getvalue()


def made(n, start=0, names=("cat", "dog"), **columns):
    """Return n images with labels, as datasets keeps them; the red of image i is start + i."""
    content = {
        "image": [{"bytes": png(start + i), "path": None} for i in range(n)],
        "label": [i % len(names) for i in range(n)],
        **columns,
    }
    described = datasets.Features(
        image=datasets.Image(),
        label=datasets.ClassLabel(names=list(names)),
        **{name: datasets.Value("int64") for name in columns},
    )
    return datasets.Dataset.from_dict(content, features=described)


@pytest.fixture(scope="module", autouse=True)
def _quiet():
    datasets.disable_progress_bars()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Return a function that loads a local data set in a cache of the test's own."""
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))

    def get(path="", split="train", **options):
        options = {"path": str(path), "size": 10, **options}
        return lk.dataset("huggingface", split, data=tmp_path / "data", **options)

    return get


def reds(data):
    return data.images[:, 0, 0, 0].tolist()


def as_folder(kind, tmp_path):
    """Save 20 training, 4 validation and 6 test images, and return where."""
    splits = {"train": made(20), "validation": made(4, 40), "test": made(6, 60)}
    folder = tmp_path / kind
    if kind == "saved":
        datasets.DatasetDict(splits).save_to_disk(folder)
    for name, one in splits.items():
        if kind == "parquet":
            folder.mkdir(exist_ok=True)
            one.to_parquet(folder / f"{name}-00000-of-00001.parquet")
        if kind == "images":
            for row, (start, label) in enumerate(zip(range(len(one)), one["label"], strict=True)):
                place = folder / name / one.features["label"].names[label]
                place.mkdir(parents=True, exist_ok=True)
                shade = {"train": 0, "validation": 40, "test": 60}[name] + start
                (place / f"{row:02}.png").write_bytes(png(shade))
    return folder


@pytest.mark.parametrize("kind", ["saved", "parquet", "images"])
def test_splits_labels_and_pixels_of_every_kind(load, tmp_path, kind):
    folder = as_folder(kind, tmp_path)
    train, test = load(folder), load(folder, "test")
    assert sorted(reds(train)) == [*range(20), *range(40, 44)]
    assert sorted(reds(test)) == [*range(60, 66)]
    assert train.image_shape == (3, 10, 10)
    assert train.class_names == test.class_names == ("cat", "dog")
    assert (train.labels == np.array(reds(train)) % 2).all()
    assert train.validation.tolist() == [20, 21, 22, 23]
    assert isinstance(train.images, np.memmap)


def test_a_single_file_is_divided_and_decoded_once(load, tmp_path, monkeypatch):
    made(20).to_parquet(tmp_path / "a.parquet")
    train, test = load(tmp_path / "a.parquet"), load(tmp_path / "a.parquet", "test")
    assert sorted(reds(train) + reds(test)) == [*range(20)]
    assert np.bincount(test.labels).tolist() == [2, 2]
    with monkeypatch.context() as patch:
        patch.setattr("latentkit.plugin.image_files.ImageReading.read_picture", None)
        again = load(tmp_path / "a.parquet")
    assert (again.images_sha256, again.notes) == (train.images_sha256, train.notes)
    made(20, 100).to_parquet(tmp_path / "a.parquet")
    assert min(reds(load(tmp_path / "a.parquet"))) >= 100


def test_parquet_is_not_read_by_a_scan_that_may_hang(load, tmp_path, monkeypatch):
    from datasets.packaged_modules.parquet.parquet import Parquet

    made(20).to_parquet(tmp_path / "a.parquet")
    monkeypatch.delattr(Parquet, "_generate_tables")
    options = HuggingfaceOptions(path=str(tmp_path / "a.parquet"))
    rows = iter(find_source(options, tmp_path).open()["train"])
    assert next(rows)["label"] == 0
    rows.close()
    assert len(load(tmp_path / "a.parquet")) == 16


def test_files_that_datasets_has_not_written_are_read(load, tmp_path):
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(10)]
    kinds = ["tram", "bus"] * 5
    table = pa.table({"picture": images, "kind": kinds, "year": [1900] * 10})
    pq.write_table(table, tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet", label_column="kind")
    assert data.class_names == ("bus", "tram")
    assert "columns that are not used: year" in data.notes
    assert load(tmp_path / "a.parquet").labels is None
    with datasets.arrow_dataset.ArrowWriter(path=str(tmp_path / "b.arrow")) as writer:
        writer.write_table(table)
        writer.finalize()
    assert len(load(tmp_path / "b.arrow", channels="grey")) == 8


def test_grey_images_among_coloured_ones_become_coloured(load, tmp_path):
    images = [{"bytes": png(i, "L" if i < 40 else "RGB"), "path": None} for i in range(42)]
    pq.write_table(pa.table({"image": images}), tmp_path / "a.parquet")
    data = load(tmp_path / "a.parquet")
    assert data.image_shape == (3, 10, 10)


def test_names_of_splits_and_columns_are_chosen(load, tmp_path):
    splits = {"fit": made(8, other=[0] * 8), "held_out": made(4, 60, other=[1] * 4)}
    datasets.DatasetDict(splits).save_to_disk(tmp_path / "a")
    options = {"train_split": "fit", "test_split": "held_out"}
    train = load(tmp_path / "a", label_column="other", **options)
    assert train.class_names == ("0", "1")
    assert load(tmp_path / "a", label_column="none", **options).labels is None
    assert reds(load(tmp_path / "a", "test", **options)) == [60, 61, 62, 63]
    only = load(tmp_path / "a", train_split="fit")
    assert "splits that are not used: held_out" in only.notes
    with pytest.raises(DataError, match="has the splits fit, held_out: say which"):
        load(tmp_path / "a")
    with pytest.raises(DataError, match=r"has no split 'fits' .did you mean 'fit'"):
        load(tmp_path / "a", train_split="fits")
    with pytest.raises(DataError, match="has no column 'labl'"):
        load(tmp_path / "a", label_column="labl", **options)


def table(**columns):
    return pa.table(columns)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (table(text=["a", "b", "c"]), "has 0 columns of images among text"),
        (table(image=[{"bytes": b"no image", "path": None}] * 4), "image 0 cannot be read: no"),
        (table(image=[{"bytes": png(1), "path": None}] * 2), "has 2 images: 3 or more"),
        (table(image=[{"bytes": None, "path": "/etc/passwd"}] * 4), "images that lie elsewhere"),
        (
            table(image=[{"bytes": None, "path": "https://example.org/a.png"}] * 4),
            "images that lie elsewhere",
        ),
        (
            table(image=[{"bytes": png(1), "path": None}] * 4, label=[0.5, 1, 0, 0]),
            "label 0 is 0.5",
        ),
    ],
)
def test_wrong_files_are_refused_in_one_line(load, tmp_path, content, reason):
    pq.write_table(content, tmp_path / "a.parquet")
    with pytest.raises(DataError, match=reason) as raised:
        load(tmp_path / "a.parquet")
    assert "\n" not in str(raised.value)


def test_a_range_says_which_numbers_are_black_and_white(load, tmp_path):
    deep = io.BytesIO()
    numbers = np.array([[0, 1000, 2000, 9000]] * 4, np.uint16)
    Image.fromarray(numbers).save(deep, "PNG")
    content = table(image=[{"bytes": deep.getvalue(), "path": None}] * 5)
    pq.write_table(content, tmp_path / "a.parquet")
    options = {"fit": "none", "range": "0..2000"}
    data = load(tmp_path / "a.parquet", **options)
    assert data.images[0, 0, 0].tolist() == [0, 32768, 65535, 65535]
    assert data.value_range == (0, 2000)
    assert any("values out of this range, which were clipped" in note for note in data.notes)
    with pytest.raises(UserError, match=r"range 5\.\.5 is empty"):
        load(tmp_path / "a.parquet", range="5..5")


def test_hidden_labels_damaged_and_missing_files_are_refused(load, tmp_path):
    hidden = made(4).remove_columns("label").add_column("label", [-1] * 4)
    hidden = hidden.cast_column("label", datasets.ClassLabel(names=["cat", "dog"]))
    datasets.DatasetDict({"train": made(8), "test": hidden}).save_to_disk(tmp_path / "a")
    with pytest.raises(DataError, match="4 of 12 images have no label"):
        load(tmp_path / "a")
    (tmp_path / "b.parquet").write_bytes(b"half")
    with pytest.raises(DataError, match=r"b\.parquet cannot be read"):
        load(tmp_path / "b.parquet")
    with pytest.raises(DataError, match="there is no"):
        load(tmp_path / "c.parquet")
    (tmp_path / "d.txt").write_text("x")
    with pytest.raises(DataError, match="not a Parquet or Arrow file"):
        load(tmp_path / "d.txt")
    with pytest.raises(UserError, match=r"huggingface\.path=PATH"):
        load()
    with pytest.raises(UserError, match="either path, for local files, or hub"):
        load(tmp_path, hub="a/b")


def test_a_description_that_names_files_elsewhere_is_refused(load, tmp_path):
    head = "configs:\n- config_name: default\n  data_files: https://example.org/a.parquet\n"
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "README.md").write_text(f"---\n{head}---\nText")
    with pytest.raises(DataError, match="names files that lie elsewhere"):
        load(tmp_path / "a")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Replace the hub by a folder; return what was asked of it."""
    import huggingface_hub

    asked = []
    (tmp_path / "hub").mkdir()

    class Api:
        def dataset_info(self, name, revision):
            asked.append((name, revision))
            if name == "no/such":
                raise ConnectionError("nothing\nthere")
            return SimpleNamespace(sha=COMMIT)

    def download(name, *, local_dir, revision, **others):
        asked.append((name, revision))
        folder = Path(local_dir)
        folder.mkdir(parents=True)
        made(12).to_parquet(folder / "train.parquet")
        made(4, 60).to_parquet(folder / "test.parquet")

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_set_of_the_hub_is_downloaded_once_at_one_commit(load, tmp_path, hub):
    data = load(hub="some/images")
    assert hub == [("some/images", "main"), ("some/images", COMMIT)]
    assert reds(data) == [*range(12)]
    assert any(f"revision main of some/images is commit {COMMIT}" in one for one in data.notes)
    with no_downloads("huggingface"):
        pinned = load(hub="some/images", split="test", revision=COMMIT)
    assert reds(pinned) == [60, 61, 62, 63]
    assert not any("is commit" in one for one in pinned.notes)
    assert len(hub) == 2


def test_nothing_is_downloaded_where_it_must_not_be(load, hub):
    for options in ({}, {"streaming": True}):
        with (
            no_downloads("huggingface", {"hub": "some/images"}),
            pytest.raises(DataError, match=r"nothing is downloaded here: .* data verify hugging"),
        ):
            load(hub="some/images", **options)
    assert hub == []
    with pytest.raises(
        NetworkError, match=r"no/such cannot be fetched .*ConnectionError: nothing "
    ):
        load(hub="no/such")


def test_an_interrupted_download_is_not_taken_for_complete(load, tmp_path, hub, monkeypatch):
    import huggingface_hub

    real = huggingface_hub.snapshot_download

    def interrupted(name, *, local_dir, **others):
        Path(local_dir).mkdir(parents=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(huggingface_hub, "snapshot_download", interrupted)
    with pytest.raises(KeyboardInterrupt):
        load(hub="some/images")
    with no_downloads("huggingface"), pytest.raises(DataError, match="nothing is downloaded"):
        load(hub="some/images")
    (tmp_path / "data" / "HuggingFace" / "some--images" / COMMIT).rmdir()
    monkeypatch.setattr(huggingface_hub, "snapshot_download", real)
    assert len(load(hub="some/images")) == 12
    known = json.loads((tmp_path / "data/HuggingFace/some--images/commits.json").read_text())
    assert known == {"main": COMMIT, COMMIT: COMMIT}


def test_images_of_the_hub_are_streamed_at_one_commit(load, tmp_path, hub, monkeypatch):
    made(12).to_parquet(tmp_path / "train.parquet")
    real, seen = datasets.load_dataset_builder, []

    def builder(name, config, **others):
        seen.append((name, others.pop("revision")))
        return real("parquet", data_files={"train": str(tmp_path / "train.parquet")}, **others)

    monkeypatch.setattr(datasets, "load_dataset_builder", builder)
    data = load(hub="some/images", streaming=True)
    assert seen == [("some/images", COMMIT)]
    assert len(data) == 9
    assert not list((tmp_path / "data").rglob("*.parquet"))


made(12).to_parquet(f"{FOLDER.name}/a.parquet")
CASES = part_cases(
    "latentkit-huggingface",
    options={"huggingface": {"path": f"{FOLDER.name}/a.parquet", "size": 16}},
    data=Path(FOLDER.name),
    registry=Registry(find_plugins()),
)


@pytest.mark.parametrize("case", CASES)
def test_the_contract(case):
    case()
