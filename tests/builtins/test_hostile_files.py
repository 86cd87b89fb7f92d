"""Files that lie about their size, never end, or are no files: refused at once, in one line."""

import gzip
import importlib.util
import io
import os
import sys
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

import latentkit as lk
from latentkit.api import encoder_files
from latentkit.builtins.datasets import mnist_family
from latentkit.errors import DataError, LatentkitError, ResourceError, UserError
from latentkit.maps.vector_maps import read_labels, read_vectors
from latentkit.plugin import ArrayFile, read_bytes
from latentkit.runs.initial_weights import match, read_saved_weights

IMAGES = np.zeros((10, 8, 8), np.uint8)
TERABYTES = 10**12


def npy(head="'|u1', 'fortran_order': False, 'shape': (10, 8, 8)", body=640):
    """Return a .npy with any header."""
    text = f"{{'descr': {head}, }}\n".encode()
    return b"\x93NUMPY\1\0" + len(text).to_bytes(2, "little") + text + bytes(body)


LIES = {
    "claims terabytes": npy(f"'|u1', 'fortran_order': False, 'shape': ({TERABYTES}, 8, 8)"),
    "is cut short": npy(body=639),
    "is too long": npy(body=641),
    "negative sizes": npy("'|u1', 'fortran_order': False, 'shape': (-10, -8, 8)"),
    "objects": npy("'|O', 'fortran_order': False, 'shape': (80,)"),
    "no bytes each": npy(f"'|V0', 'fortran_order': False, 'shape': ({TERABYTES},)", 0),
    "no type": npy("'<q9', 'fortran_order': False, 'shape': (80,)"),
    "nested": npy("(" * 300),
    "unknown version": b"\x93NUMPY\7\0" + npy()[8:],
}


def zipped(content):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", content)
    return file.getvalue()


@pytest.mark.parametrize("pack", [bytes, zipped], ids=["npy", "npz"])
@pytest.mark.parametrize("lie", LIES)
def test_an_array_whose_header_lies_is_refused_before_it_takes_memory(tmp_path, lie, pack):
    path = tmp_path / "x.npz"
    path.write_bytes(pack(LIES[lie]))
    for read in (lambda: lk.dataset("npz", path=str(path)), lambda: read_vectors(path)):
        with pytest.raises(
            DataError, match=r"x\.npz (is damaged \(|has arrays of objects)"
        ) as said:
            read()
        assert "\n" not in str(said.value)


@pytest.fixture
def little_memory(monkeypatch):
    """Make the machine look as if 1 MiB of memory was free."""
    full = psutil.virtual_memory()._replace(available=2**20)
    monkeypatch.setattr(psutil, "virtual_memory", lambda: full)


@pytest.mark.usefixtures("little_memory")
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, packed):
    bomb = np.zeros((40, 256, 256), np.uint8)
    np.savez_compressed(tmp_path / "x.npz", images=bomb)
    assert (tmp_path / "x.npz").stat().st_size < 2**20 / 10
    head = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in bomb.shape)
    for read in (
        lambda: lk.dataset("npz", path=str(tmp_path / "x.npz")),
        lambda: read_vectors(tmp_path / "x.npz"),
        lambda: mnist_family.parse_packed_idx(gzip.compress(head + bytes(bomb.size)), tmp_path),
    ):
        with pytest.raises(ResourceError, match=r"GiB of memory, and 0\.0 GiB are free"):
            read()
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 2**40)
    with pytest.raises(ResourceError, match=r"sparse needs 1,024\.0 GiB"):
        read_bytes(tmp_path / "sparse")


def test_only_the_array_that_is_needed_is_read(tmp_path, monkeypatch):
    np.savez(tmp_path / "x.npz", images=IMAGES, more=np.zeros(9))
    seen = []
    real = ArrayFile.__getitem__
    monkeypatch.setattr(
        ArrayFile, "__getitem__", lambda f, name: seen.append(name) or real(f, name)
    )
    assert lk.dataset("npz", path=str(tmp_path / "x.npz")).labels is None
    assert seen == ["images"]


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", ["u1", ">f4", "<i8", "U3"])
def test_arrays_are_read_as_they_were_saved(tmp_path, dtype, order):
    values = np.asarray(np.arange(24).reshape(2, 3, 4).astype(dtype), order=order)
    np.savez_compressed(
        tmp_path / "x.npz", values=values, one=values[0, 0, 0, ...], none=values[:0]
    )
    np.save(tmp_path / "x.npy", values)
    with ArrayFile(tmp_path / "x.npz") as file, ArrayFile(tmp_path / "x.npy") as plain:
        assert file.shapes == {"values": (2, 3, 4), "one": (), "none": (0, 3, 4)}
        read = {**file, "plain": plain[""]}
    assert all(read[name].dtype == values.dtype for name in read)
    assert (read["values"] == values).all()
    assert (read["plain"] == values).all()
    assert (read["one"], read["none"].shape) == (values[0, 0, 0], (0, 3, 4))


@pytest.mark.parametrize(
    ("sizes", "body", "message"),
    [
        ((2**32 - 1,) * 3, 10, "is truncated \\(.* cannot hold"),
        ((5, 8, 8), 319, "is truncated for an array of"),
        ((5, 8, 8), 5_000_000, "is too long for an array of"),
    ],
)
def test_no_more_is_unpacked_than_the_head_of_an_idx_file_states(tmp_path, sizes, body, message):
    head = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in sizes)
    with pytest.raises(DataError, match=message):
        mnist_family.parse_packed_idx(gzip.compress(head + bytes(body)), tmp_path / "x.gz")
    for raw in (bytes((0, 0, 8, 200)) + bytes(800), bytes((0, 0, 8, 3, 0, 0, 0, 0)) + b"\xff" * 8):
        with pytest.raises(DataError, match=r"is not an IDX file|do not belong"):
            load_unpacked(tmp_path, raw)


def load_unpacked(folder, images):
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    (raw / "train-images-idx3-ubyte").write_bytes(images)
    (raw / "train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 0)))
    return lk.dataset("mnist", data=folder, mirror="http://127.0.0.1:9")


NO_FILES = {
    "pipe": lambda path: os.mkfifo(path),
    "device": lambda path: path.symlink_to("/dev/zero"),
    "folder": lambda path: path.mkdir(),
    "loop": lambda path: path.symlink_to(path),
}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("name", ["x.npz", "x.npy", "x.pt", "x.safetensors", "x.png", "x.gz"])
def test_a_pipe_a_device_or_a_folder_in_place_of_a_file_is_refused_without_waiting(
    tmp_path, kind, name
):
    path = tmp_path / name
    NO_FILES[kind](path)
    readers = {
        ".npz": (read_vectors, read_labels, lambda p: lk.dataset("npz", path=str(p))),
        ".npy": (read_vectors, lambda p: lk.dataset("npz", path=str(p))),
        ".pt": (read_saved_weights,),
        ".safetensors": (read_saved_weights, lk.LatentEncoder.load),
        ".png": (read_bytes,),
        ".gz": (read_bytes,),
    }
    reason = "Too many levels" if kind == "loop" else f"it is a {kind}, not a file"
    for read in readers[path.suffix]:
        with pytest.raises(LatentkitError, match=rf"cannot read .*{name}: {reason}"):
            read(path)


def image_bytes(image, kind="PNG", **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def a_bomb():
    """Return a PNG of a few kilobytes that claims a billion pixels."""
    whole = bytearray(image_bytes(Image.new("L", (16, 16))))
    whole[16:24] = (40_000).to_bytes(4, "big") * 2
    whole[29:33] = __import__("zlib").crc32(bytes(whole[12:29])).to_bytes(4, "big")
    return bytes(whole)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the file is empty"),
        (a_bomb(), "more than 178,956,970 pixels, .*: raise max_pixels"),
        (
            b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n",
            "no image of the formats",
        ),
        (image_bytes(Image.new("L", (20, 20)))[:-30], "."),
        (
            image_bytes(Image.fromarray(np.full((9, 9), 300, np.int32)), "TIFF"),
            r"from 300 to 300: say which are black and white with range=LOW\.\.HIGH",
        ),
        (
            image_bytes(Image.new("F", (9, 9), 1.5), "TIFF"),
            r"float32 and reach from 1\.5 to 1\.5: say",
        ),
    ],
    ids=["empty", "bomb", "EPS", "cut", "32 bits", "float"],
)
def test_an_image_that_is_damaged_or_unclear_is_listed(tmp_path, content, reason):
    for number in range(5):
        Image.new("L", (9, 9)).save(tmp_path / f"{number}.png")
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(
        DataError, match=rf"1 of 6 images cannot be read: .*x\.png \(.*{reason}"
    ) as e:
        lk.dataset("image-folder", path=str(tmp_path), size=8)
    assert "\n" not in str(e.value)
    kept = lk.dataset("image-folder", path=str(tmp_path), size=8, unreadable="skip")
    assert len(kept) == 4


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs POSIX files")
def test_image_names_of_pipes_and_broken_links_are_listed_and_folders_are_searched(tmp_path):
    (tmp_path / "a.png").mkdir()
    for number in range(5):
        Image.new("L", (9, 9)).save(tmp_path / "a.png" / f"{number}.png")
    os.mkfifo(tmp_path / "a.png" / "p.png")
    (tmp_path / "a.png" / "q.png").symlink_to("nowhere.png")
    with pytest.raises(DataError, match=r"2 of 7 .*p\.png \(.*a pipe.*q\.png \(.*No such file"):
        lk.dataset("image-folder", path=str(tmp_path), size=8)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_stays_as_it_is_or_becomes_8_bit(tmp_path, kind):
    values = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for number in range(5):
        ending = {"PNG": "png", "TIFF": "tif", "PPM": "pgm"}[kind]
        Image.fromarray(values).save(tmp_path / f"{number}.{ending}", kind)
    images = lk.dataset("image-folder", path=str(tmp_path), size=8).images
    assert (images[0, 0] == values).all()
    images = lk.dataset("image-folder", path=str(tmp_path), size=8, depth=8).images
    assert (images[0, 0] == np.rint(values / 257)).all()


@pytest.mark.usefixtures("little_memory")
def test_images_that_fit_neither_on_the_disk_nor_into_memory_are_refused(tmp_path, monkeypatch):
    for number in range(5):
        Image.new("L", (9, 9)).save(tmp_path / f"{number}.png")
    assert lk.dataset("image-folder", path=str(tmp_path), size=512).image_shape == (1, 512, 512)
    monkeypatch.setenv("LATENTKIT_CACHE", str(tmp_path / "0.png"))
    with pytest.raises(ResourceError, match="5 images that cannot be kept on the disk needs"):
        lk.dataset("image-folder", path=str(tmp_path), size=512)


def test_a_safetensors_header_of_any_stated_length_is_refused(tmp_path):
    for stated in (2**63, 2**26, 9):
        content = stated.to_bytes(8, "little") + b"{" + bytes(40)
        (tmp_path / "x.safetensors").write_bytes(content)
        with pytest.raises(UserError, match="is not a safetensors file"):
            read_saved_weights(tmp_path / "x.safetensors")
        with pytest.raises(UserError, match="is not a complete encoder file"):
            encoder_files.read_encoder(tmp_path / "x.safetensors")


def test_a_tensor_that_claims_more_values_than_the_checkpoint_holds_is_refused(tmp_path):
    torch.save({"a": torch.zeros(1).expand(TERABYTES)}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: a \(1000000000000,\) is not a plain tensor"):
        read_saved_weights(tmp_path / "x.pt")
    torch.save({"a": torch.eye(3).to_sparse()}, tmp_path / "x.pt")
    with pytest.raises(UserError, match=r"x\.pt: a \(3, 3\) is not a plain tensor"):
        read_saved_weights(tmp_path / "x.pt")
    with zipfile.ZipFile(tmp_path / "y.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(10**6))
    with pytest.raises(UserError, match=r"y\.pt unpacks to 1,000,000 bytes, more than the file"):
        read_saved_weights(tmp_path / "y.pt")


def test_weights_of_8_bits_are_read_and_whole_numbers_are_no_weights(tmp_path):
    save_file({"a": torch.ones(3).to(torch.float8_e4m3fn)}, tmp_path / "x.safetensors")
    assert read_saved_weights(tmp_path / "x.safetensors").tensors["a"].float().tolist() == [1, 1, 1]
    network = {"a": torch.zeros(3)}
    for other in (torch.int8, torch.bool, torch.complex64):
        assert not match({"a": torch.ones(3, dtype=other)}, network).sources
    assert match({"a": torch.ones(3, dtype=torch.float16)}, network).sources


def test_an_encoder_that_names_a_larger_network_than_its_weights_is_refused(tmp_path):
    vectors = np.random.default_rng(0).normal(size=(6, 4))
    options = {"latent_dim": 2, "epochs": 1, "device": "cpu", "model_options": {"hidden": [4]}}
    lk.LatentEncoder("dense-ae", **options).fit(vectors).save(tmp_path / "e")
    facts, weights = encoder_files.read_encoder(tmp_path / "e")
    huge = {**facts, "model": {**facts["model"], "hidden": [65_536] * 4}}
    encoder_files.write_encoder(tmp_path / "huge", huge, weights)
    with pytest.raises(UserError, match="do not fit the installed version of model 'dense-ae'"):
        lk.LatentEncoder.load(tmp_path / "huge")
    for wrong in (
        {"seed": None},
        {"parameters": {"x": 1}},
        {"inputs": {"low": [1], "extent": []}},
        {"model": {**facts["model"], "name": 3}},
    ):
        encoder_files.write_encoder(tmp_path / "wrong", {**facts, **wrong}, weights)
        with pytest.raises(LatentkitError, match="unexpected structure"):
            lk.LatentEncoder.load(tmp_path / "wrong")


def fuzzer():
    path = Path(__file__).parents[1] / "benchmarks" / "fuzz_readers.py"
    spec = importlib.util.spec_from_file_location("fuzz_readers", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(sys.platform != "linux", reason="measures memory and time as Linux does")
@pytest.mark.parametrize(
    "name",
    ["npz-images", "vectors", "labels", "run-arrays", "idx", "image-files", "cifar-tar", "weights"],
)
def test_a_reader_refuses_changed_files_in_one_line(name, monkeypatch):
    monkeypatch.setattr("torchvision.datasets.CIFAR10.tgz_md5", "")
    fuzz_readers = fuzzer()
    monkeypatch.setattr(fuzz_readers, "HANG", 600)  # a slow machine is not a failure
    found = fuzz_readers.fuzz(fuzz_readers.READERS[name], seconds=60, seed=1, most=25)
    slow = ("slow", "large")
    assert [what for what in found.faults if not what.startswith(slow)] == []
