"""``latentkit data``."""

import gzip
import json
import re
from pathlib import Path

import numpy as np
from PIL import Image

from latentkit.builtins.datasets.options import STEMS
from latentkit.plugin import ImageFile, ImageReading, read_images


def touch(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()


def test_list_shows_where_the_images_come_from(latentkit):
    facts = {f["name"]: f for f in json.loads(latentkit("data", "list", "--json").out)}
    assert facts["digits"]["source"] == "bundled"
    assert facts["cifar10"]["source"] == "download"
    assert facts["image-folder"]["source"] == "local"
    assert "image-folder" in latentkit("data", "list").out


def places(latentkit, *arguments):
    ended = latentkit("data", "list", "--json", *arguments)
    return {f["name"]: f["here"] for f in json.loads(ended.out)}


def test_list_finds_downloaded_files_by_name_only(latentkit, tmp_path, monkeypatch):
    for name in STEMS[:3]:
        touch(tmp_path / "FashionMNIST/raw" / f"{name}.gz")
    touch(tmp_path / "cifar-10-python.tar.gz")
    touch(tmp_path / "EMNIST/raw/gzip.zip")
    found = places(latentkit, "--data-dir", tmp_path)
    assert (found["cifar10"], found["emnist"], found["fashion-mnist"]) == (True, True, False)
    assert found["digits"] is found["image-folder"] is None
    touch(tmp_path / "FashionMNIST/raw" / STEMS[3])  # as torchvision unpacks it
    monkeypatch.setenv("LATENTKIT_DATA", str(tmp_path))
    assert places(latentkit)["fashion-mnist"]
    assert not places(latentkit, "--data-dir", tmp_path / "nowhere")["fashion-mnist"]
    rows = {row.split()[0]: row for row in latentkit("data", "list").out.splitlines()}
    assert rows["fashion-mnist"].endswith(" here")
    assert rows["kmnist"].endswith(" not here yet, 21 MB")
    assert rows["npz"].endswith(" your own files")


def test_a_data_set_that_does_not_declare_its_files_has_no_download_status(
    latentkit, install_plugin
):
    install_plugin(
        "my_images",
        """
        from latentkit.plugin import DatasetSpec, hookimpl
        LATENTKIT_HOOKSPEC_VERSION = 1

        @hookimpl
        def latentkit_datasets():
            for name, files in (("untold", ()), ("told", ("Mine/*.bin",))):
                yield DatasetSpec(
                    name=name, summary="Mine", target="json:dumps", tags={"download"}, files=files
                )
    """,
    )
    rows = {row.split()[0]: row for row in latentkit("data", "list").out.splitlines()}
    assert rows["untold"].endswith(" downloaded when first used")
    assert rows["told"].endswith(" not here yet")


def test_preview_draws_a_picture_and_prints_its_path(latentkit):
    ended = latentkit("data", "preview", "sprites", "-o", "sprites.n_train=50")
    assert ended.out.strip() == "sprites-train.png"
    assert Image.open("sprites-train.png").width > 300


def test_verify_counts_and_hashes_both_splits(latentkit):
    found = json.loads(latentkit("data", "verify", "digits", "--json").out)
    assert (found["train"]["n"], found["test"]["n"]) == (1437, 360)
    assert found["train"]["classes"]["0"] == 142
    shown = latentkit("data", "verify", "digits").out
    assert found["test"]["sha256"] in shown
    assert "licence: CC-BY-4.0" in shown
    assert shown.splitlines()[0] == "digits: no checksum is published"
    assert (found["verdict"], found["md5"]) == ("no checksum is published", [])


def test_verify_reports_which_published_checksums_were_compared(
    latentkit, fashion_mnist_dir, tmp_path
):
    kept = tmp_path / "FashionMNIST/raw"
    kept.mkdir(parents=True)
    for stem in STEMS:
        (kept / f"{stem}.gz").symlink_to(fashion_mnist_dir / f"FashionMNIST/raw/{stem}.gz")
    few = ("-o", "fashion-mnist.n_train=20", "-o", "fashion-mnist.n_test=20")
    verify = ("data", "verify", "fashion-mnist", *few, "--data-dir", tmp_path)
    shown = latentkit(*verify).out.splitlines()
    assert shown[0] == "fashion-mnist: the 4 files match their published MD5"
    for number, stem in enumerate(STEMS):
        packed = kept / f"{stem}.gz"
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
        if number == 0:
            found = json.loads(latentkit(*verify, "--json").out)
            assert (
                found["verdict"]
                == "3 of the 4 files match their published MD5; the rest were not compared"
            )
            assert str(packed) not in found["md5"]
            assert len(found["md5"]) == 3
    assert latentkit(*verify).out.startswith("fashion-mnist: no published MD5 was compared")


def test_own_images_are_verified_with_their_options(latentkit):
    np.save("images.npy", np.zeros((10, 8, 8), np.uint8))
    found = json.loads(
        latentkit("data", "verify", "npz", "-o", "npz.path=images.npy", "--json").out
    )
    assert (found["train"]["n"], found["train"]["classes"]) == (8, {})


def test_an_error_is_one_line(latentkit):
    assert "did you mean 'digits'" in latentkit("data", "verify", "digit").error
    ended = latentkit("data", "preview", "npz", "-o", "npz.path=no.npz")
    assert (ended.code, Path("npz-train.png").exists()) == (4, False)
    assert "no.npz: No such file" in ended.error


def test_the_cache_is_listed_and_deleted(latentkit, tmp_path, monkeypatch):
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "cache"))
    files = [tmp_path / "a.png"]
    Image.new("L", (8, 8), 7).save(files[0])
    read_images([ImageFile(path) for path in files], ImageReading(size=(8, 8)), source="my photos")
    listed = latentkit("data", "cache")
    assert re.search(r"^my photos +1 +1x8x8 +0\.0 MB$", listed.out, re.M)
    assert "1 set, " in listed.out
    (one,) = json.loads(latentkit("data", "cache", "--json").out)["sets"]
    assert (one["source"], one["count"]) == ("my photos", 1)
    assert latentkit("data", "cache", "--prune", "--keep", "1").out.startswith("0 sets")
    assert "1 set, " in latentkit("data", "cache", "--prune").out
    assert json.loads(latentkit("data", "cache", "--json").out)["sets"] == []
