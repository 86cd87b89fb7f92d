"""A packed run is read elsewhere, and a hostile one is refused before anything is kept of it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

import latentkit as lk
from latentkit.config import canonical_sha256
from latentkit.errors import DataError, IntegrityError, LatentkitError, StorageError, UserError
from latentkit.runs import packed

OPTIONS = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    out = tmp_path_factory.mktemp("trained")
    return lk.run(embed=["pca"], epochs=1, options=OPTIONS, out=out, name="small")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "cache" / "latentkit" / "packed"


@pytest.fixture
def file(trained, cache):
    return lk.pack(trained.path)


def test_a_packed_run_has_the_results_of_the_run_and_needs_nothing_of_it(trained, file, cache):
    assert file == Path("small.latentkit")
    run = lk.open(file)
    assert run.id == "small"
    assert run.path.parent.parent == cache
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(run.latents(split), trained.latents(split))
    np.testing.assert_array_equal(run.coordinates("pca"), trained.coordinates("pca"))
    assert run.evaluation == trained.evaluation
    images = lk.dataset("digits", "test").images[:4]
    np.testing.assert_array_equal(run.encode(images).latents, trained.encode(images).latents)
    found = lk.compare(file, trained.path)
    assert found["differences"]["mse"][0]["value"] == 0
    assert lk.evaluate(file).evaluation == trained.evaluation


def test_packing_is_repeatable_to_the_byte_even_of_a_packed_run(file):
    first = file.read_bytes()
    assert lk.pack("small.latentkit", out="again.latentkit").read_bytes() == first
    with zipfile.ZipFile(file) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_pictures_and_facts_of_the_machine_are_left_out_unless_asked_for(trained, file):
    with zipfile.ZipFile(file) as archive:
        names = archive.namelist()
        manifest = json.loads(archive.read("small/run.json"))
    assert not [name for name in names if name.endswith((".png", ".html"))]
    assert (manifest["data_dir"], manifest["writer"]) == ("", {})
    assert list(manifest["plugins"]) == ["latentkit"]
    left_out = lk.open(file).summary["left_out"]
    assert [one["part"] for one in left_out] == ["explorer", "report"]
    assert {one["why"] for one in left_out} == {
        "it shows images, and the run was packed without them"
    }
    whole = lk.open(lk.pack(trained.path, out="whole.latentkit", pictures=True))
    assert whole.figures.keys() == trained.figures.keys()
    assert (whole.path / "report.html").is_file()
    assert (whole.path / "explorer.html").is_file()


def test_a_packed_run_is_unpacked_once(file, monkeypatch):
    lk.open(file)
    monkeypatch.setattr(packed, "_extract", lambda *_: pytest.fail("unpacked again"))
    lk.open(file)


def test_a_damaged_folder_of_the_cache_is_made_again(trained, file):
    run = lk.open(file)
    (run.path / "model.safetensors").unlink()
    again = lk.open(file)
    assert again.model is not None
    np.testing.assert_array_equal(again.latents(), trained.latents())


def test_folders_of_the_cache_are_removed_a_month_after_their_last_use(file, trained, cache):
    old = lk.open(file).path.parent
    os.utime(old, (0, 0))
    lk.open(lk.pack(trained.path, out="other.latentkit", pictures=True))
    assert not old.exists()


@pytest.mark.parametrize(
    "work", [lk.resume, lk.write_report, lambda run: lk.embed(run, ["isomap"])]
)
def test_a_packed_run_is_not_written_to(file, work):
    with pytest.raises(StorageError, match="packed run, which is only read: make a folder of it"):
        work(file)


def test_an_unpacked_run_can_be_changed(file, monkeypatch):
    run = lk.unpack(file, runs="copies")
    assert run.path == Path("copies/small").absolute()
    changed = lk.embed(run.path, ["isomap"])
    assert changed.maps == ["isomap", "pca"]
    with pytest.raises(UserError, match="already exists: choose another folder with --runs"):
        lk.unpack(file, runs="copies")


def test_a_run_without_weights_is_not_packed(trained, cache, tmp_path):
    from latentkit.runs.folder import RunFolder

    copy = tmp_path / "unfinished"
    shutil.copytree(trained.path, copy)
    folder = RunFolder.open(copy)
    with folder.writing():
        folder.forget_stage("train")
    with pytest.raises(UserError, match="has no trained model yet"):
        lk.pack(copy)


def test_a_plugin_that_is_not_installed_is_named(file, cache):
    def change(manifest):
        manifest["plugins"]["latentkit-unheard-of"] = "1.2"
        manifest["config"]["model"]["name"] = "unheard-of"

    hostile = rewritten(file, change, config=lambda text: text.replace("conv-ae", "unheard-of"))
    with pytest.raises(LatentkitError, match=r"not installed here.*latentkit-unheard-of 1\.2"):
        _ = lk.open(hostile).config


def rewritten(file, change=lambda manifest: None, config=lambda text: text, extra=(), **how):
    """Write the packed run again with another content, and with hashes that fit it."""
    target = Path("hostile.latentkit")
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(target, "w", **how) as archive:
        for info in source.infolist():
            content = source.read(info)
            if info.filename.endswith("/run.json"):
                manifest = json.loads(content)
                manifest.pop("sha256")
                change(manifest)
                manifest["config_sha256"] = canonical_sha256(manifest["config"])
                manifest["sha256"] = canonical_sha256(manifest)
                content = json.dumps(manifest).encode()
            elif info.filename.endswith("/config.toml"):
                content = config(content.decode()).encode()
            archive.writestr(info.filename, content)
        for name, content in extra:
            archive.writestr(name, content)
    return target


def listed(name, content=b"x"):
    """Return a change that lists another artefact, and the member that it is."""

    def change(manifest):
        manifest["artefacts"][name] = {"path": name, "size": 1, "sha256": "0", "stage": "data"}

    return {"change": change, "extra": [(f"small/{name}", content)]}


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ({"extra": [("small/../../evil", b"x")]}, "'../../evil' is missing, or is not a file"),
        ({"extra": [("/evil", b"x")]}, "'/evil' is missing, or is not a file"),
        ({"extra": [("small/extra.py", b"x")]}, "'extra.py' is missing, or is not a file"),
        (listed("../evil"), "names a file outside its folder"),
        (listed("a\\..\\evil"), "names a file outside its folder"),
        (listed("extra", b"xy"), "extra has 2 bytes"),
        (listed("extra"), "the SHA-256 of extra differs"),
        ({"extra": [("small/MODEL.safetensors", b"x")]}, "a name appears twice"),
        ({"compression": zipfile.ZIP_DEFLATED}, "its files are compressed or overlap"),
        ({"change": lambda manifest: manifest["artefacts"].popitem()}, "is not a file of the run"),
    ],
)
def test_a_hostile_file_is_refused_and_nothing_is_kept(file, cache, tmp_path, what, error):
    hostile = rewritten(file, **what)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(IntegrityError) as refused:
        lk.open(hostile)
    assert error in str(refused.value)
    made = set(tmp_path.rglob("*")) - before
    assert made <= {cache.parent.parent, cache.parent, cache}


def test_a_member_that_says_it_is_a_link_becomes_no_link(file, cache, tmp_path):
    (tmp_path / "secret").write_text("secret")
    target = str(tmp_path / "secret").encode()
    link = zipfile.ZipInfo("small/link")
    link.create_system, link.external_attr = 3, 0o120777 << 16

    def change(manifest):
        sha256 = hashlib.sha256(target).hexdigest()
        facts = {"path": "link", "size": len(target), "sha256": sha256, "stage": "data"}
        manifest["artefacts"]["link"] = facts

    run = lk.open(rewritten(file, change, extra=[(link, target)]))
    assert not (run.path / "link").is_symlink()
    assert (run.path / "link").read_bytes() == target


def test_a_run_starts_from_the_weights_of_a_packed_run(file, trained, cache):
    from latentkit.runs import run_files
    from latentkit.runs.initial_weights import find_weights

    weights = find_weights(str(file), Path("runs"))
    assert weights.read_bytes() == (trained.path / run_files.MODEL).read_bytes()
    assert cache in weights.parents
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match="is not a packed run, or is damaged"):
        find_weights(str(file), Path("runs"))


@pytest.mark.parametrize("run", ["..", "-rf", ".hidden", "a:b", "x" * 300, "a\x1b[31m"])
def test_a_name_that_is_no_folder_of_a_run_is_refused(cache, run):
    with zipfile.ZipFile("odd.latentkit", "w") as archive:
        archive.writestr(f"{run}/run.json", "{}")
    with pytest.raises(IntegrityError, match="holds no folder of a run"):
        lk.open("odd.latentkit")


@pytest.mark.parametrize("damage", ["empty", "text", "cut", "flipped", "directory", "fifo"])
def test_a_damaged_file_is_one_line(file, cache, damage):
    content = bytearray(file.read_bytes())
    file.unlink()
    if damage == "fifo":
        os.mkfifo(file)
        with pytest.raises(UserError, match="there is no run"):
            lk.open(file)
        return
    if damage == "flipped":
        content[len(content) // 2] ^= 1
    elif damage == "directory":  # says that its list of members has 2 GiB
        content[-10:-6] = struct.pack("<L", 2**31)
    changed = {"empty": b"", "text": b"not a zip" * 9, "cut": content[: len(content) // 2]}
    file.write_bytes(changed.get(damage, bytes(content)))
    with pytest.raises((DataError, IntegrityError)) as refused:
        lk.open(file)
    assert "\n" not in str(refused.value)
    if damage == "directory":
        assert "it has more members than a run has files" in str(refused.value)


def test_overlapping_members_are_refused(file, cache):
    """Each of many members refers to the same bytes, so that a small file has a large content."""
    content = file.read_bytes()
    with zipfile.ZipFile(file) as archive:
        last = max(archive.infolist(), key=lambda info: info.file_size)
    target = Path("overlap.latentkit")
    target.write_bytes(content)
    with zipfile.ZipFile(target, "a") as archive:
        for number in range(3):
            member = zipfile.ZipInfo(f"small/copy{number}")
            member.header_offset, member.CRC = last.header_offset, last.CRC
            member.file_size = member.compress_size = last.file_size
            archive.filelist.append(member)
        archive._didModify = True
    with pytest.raises(IntegrityError, match="its files are compressed or overlap"):
        lk.open(target)


def test_zip64_files_are_read(trained, cache, monkeypatch):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    file = lk.pack(trained.path, out="large.latentkit")
    assert b"PK\x06\x07" in file.read_bytes()[-50:]
    np.testing.assert_array_equal(lk.open(file).latents(), trained.latents())
