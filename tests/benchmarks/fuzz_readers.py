"""Give damaged and hostile files to every reader, and count what comes back.

python tests/benchmarks/fuzz_readers.py [--seconds 10] [--reader NAME] [--seed 0]

Each case is a valid file with a few random changes: bits flipped, parts cut, repeated or put
elsewhere, numbers replaced by extreme ones. Formats with a checksum are also changed inside and
then packed with the right checksum. A reader may return or raise a `LatentkitError` of one line
that does not blame a plugin. It may use 2 s of processor time and 1 GB of memory. The script
prints a table, keeps the first case of each fault, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import ast
import base64
import gzip
import hashlib
import io
import json
import pickle
import random
import re
import resource
import signal
import struct
import subprocess
import sys
import tarfile
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from latentkit.errors import LatentkitError, PluginError

MOST_SECONDS = 2.0
MOST_BYTES = 2**30
HANG = 20
NUMBERS = [0, 1, 2, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62]
TEXTS = ["-1", "0", "NaN", "1e999", "1e308", "99999999999999999999", "1" * 5000, "[" * 3000, '"']
TEXTS += ["null", "true", "{}", "[]", '"\\ud800"', "\x00", "\x1b[2J", "../../etc/passwd", "0.5"]


@dataclass(frozen=True)
class Form:
    """A valid content, and what packs it once it was changed."""

    content: bytes
    pack: Callable[[bytes], bytes] = bytes


@dataclass(frozen=True)
class Reader:
    """What is read, and how.

    Args:
        forms: valid contents.
        read: reads the content; it receives an empty folder for files.
        most_seconds: how long a case may take.
    """

    forms: Callable[[], list[Form]]
    read: Callable[[bytes, Path], object]
    most_seconds: float = MOST_SECONDS


@dataclass
class Result:
    """What the cases of a reader led to; faults are kept with their first content."""

    cases: int = 0
    refused: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)
    slowest: float = 0.0
    grown: int = 0

    def fault(self, what: str, content: bytes) -> None:
        """Count a fault."""
        self.faults[what] += 1
        self.first.setdefault(what, base64.b64encode(content[:200_000]).decode())


def changed(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """Return a content with one to four random changes."""
    for _ in range(draw.choice((1, 1, 1, 2, 3, 4))):
        content = draw.choice(_CHANGES)(content, others, draw)
    return content


def _flip(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice((1, 1, 4, 30)) if found else 0):
        found[_near_start(len(found), draw)] ^= 1 << draw.randrange(8)
    return bytes(found)


def _cut(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    return content[: draw.randrange(len(content) + 1)]


def _remove(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    start, size = _near_start(len(content), draw), draw.choice((1, 2, 4, 8, 100))
    return content[:start] + content[start + size :]


def _repeat(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    start, size = _near_start(len(content), draw), draw.choice((1, 2, 8, 100, 1000))
    return (
        content[:start] + content[start : start + size] * draw.choice((2, 3, 50)) + content[start:]
    )


def _splice(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    other = draw.choice(others)
    return content[: _near_start(len(content), draw)] + other[_near_start(len(other), draw) :]


def _number(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    form = draw.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
    most = 256 ** struct.calcsize(form)
    packed = struct.pack(form, draw.choice(NUMBERS) % most)
    start = _near_start(len(content), draw)
    return content[:start] + packed + content[start + len(packed) :]


def _digits(content: bytes, others: list[bytes], draw: random.Random) -> bytes:
    """Replace a number or a word in the text of a header or document."""
    found = list(re.finditer(rb"-?\d+(\.\d+)?|\b[a-z_]+\b|\"[^\"]*\"", content[:20_000]))
    if not found:
        return content
    place = draw.choice(found)
    text = draw.choice((*TEXTS, *map(str, NUMBERS))).encode()
    return content[: place.start()] + text + content[place.end() :]


_CHANGES = (_flip, _cut, _remove, _repeat, _splice, _number, _number, _digits, _digits)


def _near_start(size: int, draw: random.Random) -> int:
    """Return a place in a content; half of them are among the first bytes, where heads are."""
    return draw.randrange(max(1, min(size, draw.choice((64, 512, size or 1)))))


def cases(reader: Reader, draw: random.Random) -> Iterator[bytes]:
    """Yield changed contents for ever."""
    forms = reader.forms()
    inside, whole = [f.content for f in forms], [f.pack(f.content) for f in forms]
    while True:
        form = draw.choice(forms)
        if draw.random() < 0.5:
            yield changed(form.pack(form.content), whole, draw)
        else:
            yield form.pack(changed(form.content, inside, draw))


def fuzz(reader: Reader, seconds: float, seed: int, most: int = 10**9) -> Result:
    """Read cases for some seconds, and return what happened."""
    for form in reader.forms():  # valid, so that everything is imported before the clock starts
        _one(reader, form.pack(form.content), Result(), 600)
    result, ends = Result(), time.monotonic() + seconds
    for content in cases(reader, random.Random(seed)):  # no secrets
        _one(reader, content, result)
        if time.monotonic() > ends or result.cases >= most:
            return result
    return result


def _one(reader: Reader, content: bytes, result: Result, hang: int = HANG) -> None:
    result.cases += 1
    before, started = _peak(), time.process_time()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        signal.alarm(hang)
        try:
            reader.read(content, Path(folder))
        except PluginError as error:
            result.fault(f"blames a plugin: {str(error)[:150]}", content)
        except LatentkitError as error:
            result.refused += 1
            if "\n" in str(error):
                result.fault(f"several lines: {str(error)[:150]!r}", content)
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            result.fault(f"{type(error).__name__}: {' '.join(str(error).split())[:150]}", content)
        finally:
            signal.alarm(0)
    taken, grown = time.process_time() - started, _peak() - before
    result.slowest, result.grown = max(result.slowest, taken), max(result.grown, grown)
    if taken > reader.most_seconds:
        result.fault(f"slow: {taken:.1f} s", content)
    if grown > MOST_BYTES:
        result.fault(f"large: {grown / 2**30:.1f} GiB", content)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _npy_forms() -> list[Form]:
    arrays = (
        np.arange(10 * 64, dtype=np.uint8).reshape(10, 8, 8),
        np.linspace(0, 1, 6 * 192).reshape(6, 8, 8, 3),
        np.asfortranarray(np.ones((7, 9), ">f4")),
        np.array(["cat", "dog"] * 5),
        np.arange(10),
        np.eye(10, dtype=bool),
    )
    return [Form(_saved(lambda file, a=array: np.save(file, a))) for array in arrays]  # type: ignore[misc]


def _npz(npy: bytes, compression: int = zipfile.ZIP_DEFLATED, also: str = "labels") -> bytes:
    """Return an archive whose images and labels are the same member, with right checksums."""

    def save(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w", compression) as archive:
            archive.writestr("images.npy", npy)
            archive.writestr(f"{also}.npy", _npy_forms()[4].content)

    return _saved(save)


def _with_labels(npy: bytes) -> bytes:
    def save(file: io.BytesIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("images.npy", _npy_forms()[0].content)
            archive.writestr("labels.npy", npy)

    return _saved(save)


def _npz_forms() -> list[Form]:
    inside = [form.content for form in _npy_forms()]
    stored = [Form(npy, lambda c: _npz(c, zipfile.ZIP_STORED, "other")) for npy in inside]
    return [*(Form(npy, _npz) for npy in inside), *stored, *(Form(n, _with_labels) for n in inside)]


def _read_npz(content: bytes, folder: Path) -> object:
    import latentkit as lk

    (folder / "x.npz").write_bytes(content)
    return lk.dataset("npz", path=str(folder / "x.npz"))


def _read_vectors(content: bytes, folder: Path) -> object:
    from latentkit.maps.vector_maps import read_vectors

    (folder / "x.npz").write_bytes(content)
    return read_vectors(folder / "x.npz")


def _read_labels(content: bytes, folder: Path) -> object:
    from latentkit.maps.vector_maps import Vectors, read_labels

    (folder / "x.npz").write_bytes(content)
    labels = read_labels(folder / "x.npz")
    return Vectors(np.zeros((10, 2), np.float32)).with_labels(labels, "the file")


def _read_arrays(content: bytes, folder: Path) -> object:
    from latentkit.reading import parse_arrays

    return parse_arrays(content, folder / "x.npz")


def _idx_forms() -> list[Form]:
    head = bytes((0, 0, 8, 3)) + b"".join(n.to_bytes(4, "big") for n in (5, 8, 8))
    return [Form(head + bytes(range(64)) * 5, gzip.compress), Form(head + bytes(320))]


def _read_idx(content: bytes, folder: Path) -> object:
    import latentkit as lk
    from latentkit.builtins.datasets import mnist_family

    if content[:2] == b"\x1f\x8b":
        return mnist_family.parse_packed_idx(content, folder / "x.gz")
    raw = folder / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(content)
    (raw / "train-labels-idx1-ubyte").write_bytes(bytes((0, 0, 8, 1, 0, 0, 0, 5, 1, 2, 3, 4, 5)))
    return lk.dataset("mnist", data=folder, mirror="http://127.0.0.1:9")


def _image_forms() -> list[Form]:
    from PIL import Image, PngImagePlugin

    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    colour, about = Image.fromarray(pixels), PngImagePlugin.PngInfo()
    about.add_text("title", "x" * 2000, zip=True)
    frames: dict[str, Any] = {"save_all": True, "append_images": [colour.rotate(90)] * 2}
    kinds: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("PNG", colour, {"pnginfo": about, "icc_profile": b"no profile" * 100}),
        ("PNG", Image.fromarray(pixels[..., 0].astype(np.uint16) * 200), {}),
        ("PNG", colour.convert("P"), {"transparency": 3}),
        (
            "JPEG",
            colour,
            {"exif": b"Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"},
        ),
        ("JPEG", colour.convert("CMYK"), {}),
        ("GIF", colour.convert("P"), frames),
        ("BMP", colour, {}),
        ("TIFF", colour, {"compression": "tiff_lzw"}),
        ("TIFF", colour.convert("F"), {}),
        ("WEBP", colour, {}),
        ("PPM", colour, {}),
        ("EPS", colour, {}),
    ]
    return [Form(_saved(lambda f, k=k, i=i, o=o: i.save(f, k, **o))) for k, i, o in kinds]  # type: ignore[misc]


def _read_image(content: bytes, folder: Path) -> object:
    import latentkit as lk

    for number in range(5):
        (folder / f"{number}.png").write_bytes(content)
    return lk.dataset("image-folder", path=str(folder), size=16, unreadable="skip")


def _batch(pickled: bytes) -> bytes:
    def save(file: io.BytesIO) -> None:
        with tarfile.open(fileobj=file, mode="w:gz") as archive:
            info = tarfile.TarInfo("cifar-10-batches-py/test_batch")
            info.size = len(pickled)
            archive.addfile(info, io.BytesIO(pickled))

    return _saved(save)


def _cifar_forms() -> list[Form]:
    batch = {"data": np.zeros((3, 3072), np.uint8), "labels": [1, 2, 3]}
    pickled = pickle.dumps(batch, 2)
    tar = gzip.decompress(_batch(pickled))
    return [Form(pickled, _batch), Form(tar, gzip.compress)]


def _read_cifar(content: bytes, folder: Path) -> object:
    from torchvision import datasets

    import latentkit as lk

    datasets.CIFAR10.tgz_md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    (folder / "cifar-10-python.tar.gz").write_bytes(content)
    return lk.dataset("cifar10", "test", data=folder, mirror="http://127.0.0.1:9")


def _safetensors(header: bytes) -> bytes:
    """Return a file whose header is a changed one, of the right length."""
    return len(header).to_bytes(8, "little") + header + bytes(400)


def _weight_forms() -> list[Form]:
    import torch
    from safetensors.torch import save

    tensors = {"a.weight": torch.ones(10, 9), "b": torch.zeros(3, dtype=torch.int64)}
    whole = save(tensors, {"by": "me"})
    header = whole[8 : 8 + int.from_bytes(whole[:8], "little")]
    legacy: dict[str, Any] = {"_use_new_zipfile_serialization": False}
    return [
        Form(whole),
        Form(header, _safetensors),
        Form(_saved(lambda file: torch.save({"state_dict": tensors}, file))),
        Form(_saved(lambda file: torch.save(tensors, file, **legacy))),
    ]


def _read_weights(content: bytes, folder: Path) -> object:
    from latentkit.runs.initial_weights import read_saved_weights

    name = "x.safetensors" if content[8:9] == b"{" else "x.pt"
    (folder / name).write_bytes(content)
    return read_saved_weights(folder / name)


def _encoder_forms() -> list[Form]:
    import latentkit as lk
    from latentkit.api import encoder_files

    generator, found = np.random.default_rng(0), []
    images = generator.integers(0, 256, (6, 8, 8), np.uint8)
    for x, model in ((generator.normal(size=(6, 4)), "dense-ae"), (images, "dense-ae")):
        encoder = lk.LatentEncoder(
            model, latent_dim=2, epochs=1, device="cpu", model_options={"hidden": [4]}
        )
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "e.safetensors")
            encoder.fit(x).save(path)
            facts, weights = encoder_files.read_encoder(path)
            found.append(Form(path.read_bytes()))

        def pack(text: bytes, weights: Any = weights) -> bytes:
            try:
                document = json.loads(text)
                with tempfile.TemporaryDirectory() as folder:
                    encoder_files.write_encoder(Path(folder, "e"), document, weights)
                    return Path(folder, "e").read_bytes()
            except Exception:
                return text

        found.append(Form(json.dumps(facts).encode(), pack))
    return found


def _read_encoder(content: bytes, folder: Path) -> object:
    import latentkit as lk

    (folder / "e.safetensors").write_bytes(content)
    return lk.LatentEncoder.load(folder / "e.safetensors")


def _config_forms() -> list[Form]:
    return [
        Form(
            b'seed = 3\nthreads = 1\n[model]\nname = "conv-ae"\nlatent_dim = 3\n[dataset]\n'
            b'name = "npz"\npath = "x.npz"\n[training]\nepochs = 5\nlearning_rate = 1e-3\n'
            b'snapshots = [1, 5]\n[[corruption]]\nname = "blur"\n[[embedding]]\nname = "isomap"\n'
            b'n_neighbors = 7\n[split]\nvalidation = 0.2\n[transfer]\nlabels = ["10%", 500]\n'
        )
    ]


def _read_config(content: bytes, folder: Path) -> object:
    from latentkit.api.inputs import configure
    from latentkit.registry.catalogue import default_registry

    (folder / "x.toml").write_bytes(content)
    return configure(default_registry(), config=folder / "x.toml")


def _option_forms() -> list[Form]:
    texts = (b"training.epochs=5", b"model.latent_dim=3", b"seed=1", b"training.snapshots=[1,2]")
    return [Form(text) for text in (*texts, b"dataset.path=x", b"split.validation=0.5")]


def _read_option(content: bytes, folder: Path) -> object:
    from latentkit.cli.shared_options import parse_options
    from latentkit.config import build_config
    from latentkit.registry.catalogue import default_registry

    text = content.decode("utf-8", "surrogateescape")
    return build_config({}, default_registry(), overrides=parse_options((text,)))


def _url_forms() -> list[Form]:
    return [
        Form(b"postgresql://me:secret@db.example.org:5432/studies?sslmode=require&password=secret"),
        Form(b"sqlite:///studies/my.db?timeout=5"),
        Form(b"mysql+pymysql://me:secret@[::1]/x?sslpassword=secret"),
    ]


def _read_url(content: bytes, folder: Path) -> object:
    from latentkit.plugin import public_url
    from latentkit.tune.storage_url import absolute_url

    text = content.decode("utf-8", "surrogateescape")
    return public_url(text), absolute_url(text)


def _manifest_forms() -> list[Form]:
    from latentkit.runs.manifest import Artefact, Manifest, StageRecord

    manifest = Manifest(
        id="a",
        status="finished",
        created="2026-01-01",
        config={"seed": 1},
        config_sha256="0" * 64,
        seed=1,
        data_dir="/data",
        stages={"data": StageRecord.model_construct(options="0" * 64)},
        artefacts={"a.json": Artefact(path="a.json", size=3, sha256="0" * 64, stage="data")},
    )
    return [Form(json.dumps(manifest.model_dump(mode="json", warnings=False)).encode())]


def _read_manifest(content: bytes, folder: Path) -> object:
    from latentkit.runs.manifest import read_manifest

    (folder / "run.json").write_bytes(content)
    return read_manifest(folder)


def _study_forms() -> list[Form]:
    from latentkit.plugin import SearchChoice, SearchRange
    from latentkit.tune.study_folder import StudyPlan

    space = {
        "model.latent_dim": SearchRange(2, 64, log=True),
        "training.learning_rate": SearchRange(1e-4, 1e-2, log=True),
        "model.activation": SearchChoice(("relu", "silu")),
    }
    plan = StudyPlan("s", {"seed": 1}, space, ("mse",), {"name": "optuna"}, "/data")
    return [Form(json.dumps(plan.as_dict()).encode())]


def _read_study(content: bytes, folder: Path) -> object:
    from latentkit.tune.study_folder import StudyFolder

    (folder / "study.json").write_bytes(content)
    return StudyFolder.open(folder)


def _checkpoint_forms() -> list[Form]:
    record = {"epoch": 3, "step": 9, "config_sha256": "c", "history": [{"epoch": 1}]}
    tensors = _weight_forms()[:2]

    def whole(content: bytes) -> bytes:
        """Return both files as one content; the record has the right SHA-256 of the tensors."""
        sha = hashlib.sha256(content).hexdigest()
        return repr((json.dumps({**record, "tensors_sha256": sha}).encode(), content)).encode()

    inside = [Form(form.content, lambda c, f=form: whole(f.pack(c))) for form in tensors]  # type: ignore[misc]
    text = json.dumps({**record, "tensors_sha256": "0"}).encode()
    return [*inside, Form(text, lambda c: repr((c, tensors[0].content)).encode())]


def _read_checkpoint(content: bytes, folder: Path) -> object:
    from latentkit.training.checkpoint import CheckpointStore

    try:
        record, tensors = ast.literal_eval(content.decode("latin-1"))
        (folder / "epoch-00003.json").write_bytes(record)
        (folder / "epoch-00003.safetensors").write_bytes(tensors)
    except Exception:
        return None
    store = CheckpointStore(folder)
    progress, _, _ = store.latest("c", (1,))
    return store.history(progress.epoch) if progress else None


READERS = {
    "npy-images": Reader(_npy_forms, _read_npz),
    "npz-images": Reader(_npz_forms, _read_npz),
    "vectors": Reader(lambda: [*_npy_forms(), *_npz_forms()], _read_vectors),
    "labels": Reader(lambda: [*_npy_forms(), *_npz_forms()], _read_labels),
    "run-arrays": Reader(_npz_forms, _read_arrays),
    "idx": Reader(_idx_forms, _read_idx),
    "image-files": Reader(_image_forms, _read_image, 10),  # five of up to 179 megapixels
    "cifar-tar": Reader(_cifar_forms, _read_cifar),
    "weights": Reader(_weight_forms, _read_weights),
    "encoder": Reader(_encoder_forms, _read_encoder),
    "config": Reader(_config_forms, _read_config),
    "options": Reader(_option_forms, _read_option),
    "urls": Reader(_url_forms, _read_url),
    "manifest": Reader(_manifest_forms, _read_manifest),
    "study": Reader(_study_forms, _read_study),
    "checkpoint": Reader(_checkpoint_forms, _read_checkpoint),
}


def _limit_memory() -> None:
    """Let allocations fail before the machine swaps."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 16 * 2**30, resource.RLIM_INFINITY))


def _hangs(number: int, frame: object) -> None:
    raise TimeoutError(f"no result after {HANG} s")


def _child(name: str, seconds: float, seed: int) -> None:
    signal.signal(signal.SIGALRM, _hangs)
    _limit_memory()
    result = fuzz(READERS[name], seconds, seed)
    sys.stdout.write(json.dumps(vars(result)))


def main() -> None:
    """Fuzz each reader in a process of its own, because a reader may crash, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10, help="for each reader")
    parser.add_argument("--reader", choices=READERS, action="append")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", choices=READERS, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.child:
        return _child(chosen.child, chosen.seconds, chosen.seed)
    rows, bad = [], False
    for name in chosen.reader or READERS:
        command = [sys.executable, __file__, "--child", name, "--seed", str(chosen.seed)]
        ended = subprocess.run(
            [*command, "--seconds", str(chosen.seconds)], capture_output=True, text=True
        )
        if ended.returncode:
            rows.append(f"{name:<12} crashed with {ended.returncode}: {ended.stderr[-300:]!r}")
            bad = True
            continue
        found = json.loads(ended.stdout)
        others = sum(found["faults"].values())
        accepted = found["cases"] - found["refused"] - others
        rows.append(
            f"{name:<12} {found['cases']:>8,} {found['refused']:>8,} {accepted:>8,} {others:>6,} "
            f"{found['slowest']:>8.2f} {found['grown'] / 2**20:>8.0f}"
        )
        bad = bad or bool(others)
        for what, count in sorted(found["faults"].items(), key=lambda pair: -pair[1])[:20]:
            kept = Path(tempfile.gettempdir(), f"fuzz-{name}-{abs(hash(what)) % 10**6}")
            kept.write_bytes(base64.b64decode(found["first"][what]))
            rows.append(f"    {count:>5} {what}  [{kept}]")
    sys.stdout.write("reader          cases  refused accepted  other  slowest s  MiB more\n")
    sys.stdout.write("\n".join(rows) + "\n")
    return sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
