"""Kinds of hostile folders, each made from intact folders; `hostile_folders` opens them."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import socket
import sqlite3
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SECRET = "the-secret-of-the-user"
EVIL_TEXT = "a\x1b]0;owned\x07\x1b[31mb\x9b31m\u202ec<script>alert(1)</script>"
EVIL_PLUGIN = """
import os
from pathlib import Path
Path(os.environ["HOME"], "owned").write_text("executed")
LATENTKIT_HOOKSPEC_VERSION = 1
"""


@dataclass
class Box:
    """The place in which one folder is opened.

    Args:
        path: contains ``home`` and ``victim``, which are the user's, and ``here``, the working
            folder with ``runs`` and ``studies``.
        port: where a server counts connections.
    """

    path: Path
    port: int

    @property
    def here(self) -> Path:
        return self.path / "here"

    @property
    def run(self) -> Path:
        return self.here / "runs" / "sent"

    @property
    def packed(self) -> Path:
        return self.here / "runs" / "sent.latentkit"

    @property
    def study(self) -> Path:
        return self.here / "studies" / "sent"

    @property
    def victim(self) -> Path:
        return self.path / "victim"

    @property
    def home(self) -> Path:
        return self.path / "home"


Attack = Callable[[Box], None]


@dataclass(frozen=True)
class Kind:
    """A kind of hostile folder.

    Args:
        name: what is hostile about it.
        what: ``run``, ``packed``, ``study`` or ``page``.
        attack: changes the intact folders of a box.
        renamed: the folder's name.
    """

    name: str
    what: str
    attack: Attack
    renamed: str = "sent"


KINDS: list[Kind] = []


def kind(name: str, what: str = "run", renamed: str = "sent") -> Callable[[Attack], Attack]:
    def register(attack: Attack) -> Attack:
        KINDS.append(Kind(name, what, attack, renamed))
        return attack

    return register


# Changing an intact folder


def edit(path: Path, change: Callable[[dict], None]) -> None:
    """Change a JSON document, and its hash of itself with it."""
    from latentkit.config import canonical_sha256

    document = json.loads(path.read_text())
    hashed = document.pop("sha256", None)
    change(document)
    if hashed is not None:
        document["sha256"] = canonical_sha256(document)
    path.write_text(json.dumps(document))


def put(run: Path, relative: str, content: bytes) -> None:
    """Replace an artefact and its hash in the manifest."""
    (run / relative).write_bytes(content)

    def change(document: dict) -> None:
        facts = document["artefacts"].setdefault(relative, {"path": relative, "stage": "evaluate"})
        facts |= {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}

    edit(run / "run.json", change)


def link(path: Path, target: Path | str) -> None:
    """Put a link in the place of a file or folder."""
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def fifo(path: Path) -> None:
    remove(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)


def sparse(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.truncate(size)


def npz(**headers: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, member in headers.items():
            archive.writestr(f"{name}.npy", member)
    return content.getvalue()


def npy_header(text: str) -> bytes:
    padded = text.ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded.encode()


def sqlite_of_others(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("create table accounts (secret text)")
        database.execute("insert into accounts values (?)", (SECRET,))
        database.commit()


# Links and names that leave the folder

_LINKED = {
    "events.jsonl": "home/.bashrc",
    ".lock": "victim/notes.txt",
    ".lock.json": "victim/notes.txt",
    "run.json": "victim/run/run.json",
    "config.toml": "victim/run/config.toml",
    "model.safetensors": "victim/run/model.safetensors",
    "latents/test.npz": "victim/secret.npz",
    "evaluation.json": "victim/secret.json",
    "data.json": "victim/secret.json",
    "history.json": "victim/secret.json",
    "report.html": "victim/notes.txt",
    "report.json": "victim/secret.json",
    "figures/loss.png": "victim/notes.txt",
    "figures": "victim/figures",
    "checkpoints": "victim/run/checkpoints",
    "latents": "victim/run/latents",
    "embeddings": "victim/run/embeddings",
    "weights": "victim/figures",
}
for _name, _target in _LINKED.items():

    @kind(f"{_name} is a link to the user's {_target}")
    def _(box: Box, name: str = _name, target: str = _target) -> None:
        link(box.run / name, box.path / target)


@kind("evaluation.json is a link to a file that does not exist")
def _(box: Box) -> None:
    link(box.run / "evaluation.json", box.home / "new.json")


@kind("figures is a relative link out of the folder")
def _(box: Box) -> None:
    link(box.run / "figures", "../../../victim/figures")


@kind("a link that leads to itself")
def _(box: Box) -> None:
    link(box.run / "figures", ".")


@kind("a temporary file that is a link")
def _(box: Box) -> None:
    link(box.run / ".writing-0011223344556677", box.victim / "notes.txt")


@kind("events.jsonl shares its content with the user's file (hard link)")
def _(box: Box) -> None:
    remove(box.run / "events.jsonl")
    os.link(box.home / ".bashrc", box.run / "events.jsonl")


@kind(".lock shares its content with the user's file (hard link)")
def _(box: Box) -> None:
    remove(box.run / ".lock")
    os.link(box.victim / "notes.txt", box.run / ".lock")


_OUTSIDE = (
    "../../../victim/secret.npz",
    "{box}/victim/secret.npz",
    "latents/../../../../victim/secret.npz",
    "..\\..\\..\\victim\\secret.npz",
    "figures/../../../../victim/map-x.png",
)
for _name in _OUTSIDE:

    @kind(f"an artefact is called {_name}")
    def _(box: Box, name: str = _name) -> None:
        name = name.format(box=box.path)
        sha256 = hashlib.sha256((box.victim / "secret.npz").read_bytes()).hexdigest()
        facts = {"path": name, "size": 1, "sha256": sha256, "stage": "evaluate"}
        edit(box.run / "run.json", lambda document: document["artefacts"].update({name: facts}))


@kind("an artefact has another path than its key")
def _(box: Box) -> None:
    def change(document: dict) -> None:
        document["artefacts"]["latents/test.npz"]["path"] = "../../../victim/secret.npz"

    edit(box.run / "run.json", change)


# Code

for _name, _where in {
    "in the folder": "{run}/evil.py",
    "by a relative path": "runs/sent/evil.py",
    "in the working folder": "{here}/evil.py",
}.items():

    @kind(f"the manifest names a plugin file {_name}")
    def _(box: Box, where: str = _where) -> None:
        path = where.format(run=box.run, here=box.here)
        (box.here / path).write_text(EVIL_PLUGIN)
        sha256 = hashlib.sha256(EVIL_PLUGIN.encode()).hexdigest()
        edit(box.run / "run.json", lambda document: document["plugin_files"].update({path: sha256}))


@kind("the manifest names a plugin file that is a pipe")
def _(box: Box) -> None:
    fifo(box.run / "evil.py")
    known = {str(box.run / "evil.py"): "0" * 64}
    edit(box.run / "run.json", lambda document: document["plugin_files"].update(known))


@kind("the manifest names /dev/zero as a plugin file")
def _(box: Box) -> None:
    edit(box.run / "run.json", lambda document: document["plugin_files"].update({"/dev/zero": "0"}))


@kind("the configuration names a model of a plugin in the folder")
def _(box: Box) -> None:
    (box.run / "evil.py").write_text(EVIL_PLUGIN)
    edit(box.run / "run.json", lambda document: document["config"]["model"].update(name="evil:net"))


@kind("the folder has modules with the names of packages")
def _(box: Box) -> None:
    for name in ("torch", "numpy", "latentkit", "sitecustomize", "conftest"):
        (box.run / f"{name}.py").write_text(EVIL_PLUGIN)
        (box.here / f"{name}.py").write_text(EVIL_PLUGIN)


class _Executes:
    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch $HOME/owned",)


@kind("latents are a pickle of code")
def _(box: Box) -> None:
    content = io.BytesIO()
    np.savez(content, latents=np.array([_Executes()], object), index=np.arange(1))
    put(box.run, "latents/test.npz", content.getvalue())


@kind("weights are a pickle of code")
def _(box: Box) -> None:
    import pickle

    put(box.run, "model.safetensors", pickle.dumps(_Executes()))


@kind("initial weights are a pickle of code")
def _(box: Box) -> None:
    import pickle

    (box.run / "start.pt").write_bytes(pickle.dumps(_Executes()))
    start = {"path": str(box.run / "start.pt"), "sha256": ""}
    edit(box.run / "run.json", lambda document: document["config"].update(init=start))


_BACKBONE = {"name": "timm", "backbone": "test_resnet", "size": 32}
for _name, _sha256 in {"no": "", "another": "0" * 64}.items():

    @kind(f"the run has no epochs, and its backbone the user's weights with {_name} SHA-256")
    def _(box: Box, sha256: str = _sha256) -> None:
        import tomli_w
        import torch
        from safetensors.torch import save_file

        from latentkit.config import canonical_sha256

        try:
            import timm
        except ImportError:  # then there is no such model
            return
        weights = timm.create_model("test_resnet").state_dict()
        secret = SECRET.encode().ljust(4 * -(-len(SECRET) // 4))
        weights["bn1.bias"][: len(secret) // 4] = torch.frombuffer(
            bytearray(secret), dtype=torch.float32
        )
        path = box.victim / "weights.safetensors"
        save_file(weights, path)
        model = _BACKBONE | {"weights": str(path), "weights_sha256": sha256}

        def change(document: dict) -> None:
            config = document["config"]
            config["model"] = model
            config["training"].update(epochs=0, snapshots=[])
            text = tomli_w.dumps(config)
            (box.run / "config.toml").write_text(text)
            document["config_sha256"] = canonical_sha256(config)
            document["config_file_sha256"] = hashlib.sha256(text.encode()).hexdigest()
            for field, kept in {"artefacts": "data.json", "stages": "data"}.items():
                document[field] = {kept: document[field][kept]}
            document["status"] = "interrupted"

        edit(box.run / "run.json", change)


# Files that block or never end

_BLOCKING = (
    "run.json", "config.toml", "evaluation.json", "latents/test.npz", "model.safetensors",
    "events.jsonl", ".lock", ".lock.json", "data.json", "report.html", "figures/loss.png",
)  # fmt: skip
for _name in _BLOCKING:

    @kind(f"{_name} is a pipe")
    def _(box: Box, name: str = _name) -> None:
        fifo(box.run / name)


@kind("the record of a checkpoint is a pipe")
def _(box: Box) -> None:
    for path in (box.run / "checkpoints").glob("*.json"):
        fifo(path)


@kind("latents are a link to /dev/zero")
def _(box: Box) -> None:
    link(box.run / "latents/test.npz", "/dev/zero")


@kind("weights are a socket")
def _(box: Box) -> None:
    remove(box.run / "model.safetensors")
    with contextlib.chdir(box.run):
        socket.socket(socket.AF_UNIX).bind("model.safetensors")


for _name in ("run.json", "evaluation.json", "config.toml", ".lock"):

    @kind(f"{_name} is a folder")
    def _(box: Box, name: str = _name) -> None:
        remove(box.run / name)
        (box.run / name).mkdir()


@kind("the data set is a pipe")
def _(box: Box) -> None:
    fifo(box.run / "data" / "FashionMNIST/raw/train-images-idx3-ubyte.gz")

    def change(document: dict) -> None:
        document["data_dir"] = str(box.run / "data")
        document["config"]["dataset"] = {"name": "fashion-mnist"}

    edit(box.run / "run.json", change)


# Sizes and depths

DEEP = b"[" * 100_000 + b"]" * 100_000


@kind("run.json is nested 100,000 levels deep")
def _(box: Box) -> None:
    (box.run / "run.json").write_bytes(DEEP)


@kind("evaluation.json is nested 100,000 levels deep")
def _(box: Box) -> None:
    put(box.run, "evaluation.json", DEEP)


@kind("the configuration in run.json is nested 900 levels deep")
def _(box: Box) -> None:
    def change(document: dict) -> None:
        inner: dict = {}
        for _ in range(900):
            inner = {"a": inner}
        document["config"]["more"] = inner

    edit(box.run / "run.json", change)


@kind("config.toml is nested 100,000 levels deep")
def _(box: Box) -> None:
    (box.run / "config.toml").write_bytes(b"a = " + DEEP)


for _name in ("run.json", "config.toml", ".lock.json", "evaluation.json"):

    @kind(f"{_name} has four gigabytes")
    def _(box: Box, name: str = _name) -> None:
        sparse(box.run / name, 2**32)


@kind("latents claim a terabyte")
def _(box: Box) -> None:
    header = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (274877906944,), }")
    put(box.run, "latents/test.npz", npz(latents=header))


@kind("latents have a negative shape")
def _(box: Box) -> None:
    header = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3), }")
    put(box.run, "latents/test.npz", npz(latents=header + b"\0" * 12))


@kind("latents are compressed zeros of gigabytes")
def _(box: Box) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        header = npy_header("{'descr': '<f4', 'fortran_order': False, 'shape': (67108864, 4), }")
        with archive.open("latents.npy", "w", force_zip64=True) as member:
            member.write(header)
            for _ in range(1024):
                member.write(bytes(2**20))
    put(box.run, "latents/test.npz", content.getvalue())


@kind("weights have a header of 2**60 bytes")
def _(box: Box) -> None:
    put(box.run, "model.safetensors", (2**60).to_bytes(8, "little") + b"{}")


@kind("the card has numbers that JSON does not have")
def _(box: Box) -> None:
    put(box.run, "evaluation.json", b'{"reconstruction": {"mse": {"value": NaN, "low": 1e999}}}')


@kind("the card is a list")
def _(box: Box) -> None:
    put(box.run, "evaluation.json", b"[1, 2, 3]")


@kind("data.json is empty")
def _(box: Box) -> None:
    put(box.run, "data.json", b"{}")


# Text


@kind("the folder's name has control characters", renamed="a\x1b[31m\u202eb")
def _(box: Box) -> None: ...


@kind("the folder's name is a command", renamed="'; touch owned; '")
def _(box: Box) -> None: ...


@kind("the run's error has control characters")
def _(box: Box) -> None:
    change = {"status": "failed", "error": EVIL_TEXT}
    edit(box.run / "run.json", lambda document: document.update(change))


@kind("class names have control characters and scripts")
def _(box: Box) -> None:
    document = json.loads((box.run / "data.json").read_text())
    document["class_names"] = [f"{EVIL_TEXT}{number}" for number in range(10)]
    put(box.run, "data.json", json.dumps(document).encode())


@kind("names in the configuration have control characters")
def _(box: Box) -> None:
    def change(document: dict) -> None:
        document["config"]["model"]["name"] = EVIL_TEXT
        document["config"]["dataset"]["name"] = EVIL_TEXT
        document["config"]["device"] = EVIL_TEXT

    edit(box.run / "run.json", change)


@kind("versions and stages have control characters")
def _(box: Box) -> None:
    def change(document: dict) -> None:
        document["versions"] = {EVIL_TEXT: EVIL_TEXT, "torch": EVIL_TEXT}
        document["stages"][EVIL_TEXT] = {"inputs": {}, "seconds": 1.0, "settings": ""}

    edit(box.run / "run.json", change)


@kind("the lock's process has control characters")
def _(box: Box) -> None:
    (box.run / ".lock.json").write_text(json.dumps({"pid": EVIL_TEXT, "host": EVIL_TEXT}))
    edit(box.run / "run.json", lambda document: document.update(status="running"))


@kind("maps have names with control characters")
def _(box: Box) -> None:
    document = json.loads((box.run / "embeddings/pca.json").read_text())
    document["map"] = EVIL_TEXT
    put(box.run, "embeddings/pca.json", json.dumps(document).encode())


@kind("the folder of data sets has a NUL in its name")
def _(box: Box) -> None:
    edit(box.run / "run.json", lambda document: document.update(data_dir="a\0b"))


@kind("a map is aligned to a run elsewhere")
def _(box: Box) -> None:
    text = (box.run / "config.toml").read_text()
    (box.run / "config.toml").write_text(
        text.replace('name = "pca"', f'name = "pca"\nalign_to = "{box.victim / "run"}"')
    )


# Studies

_STORAGES = {
    "a PostgreSQL server": "postgresql+psycopg://user@127.0.0.1:{port}/db",
    "another PostgreSQL driver": "postgresql://user:pw@127.0.0.1:{port}/db",
    "a MySQL server": "mysql+pymysql://user:p@w@127.0.0.1:{port}/db",
    "a Redis server": "redis://127.0.0.1:{port}/0",
    "a web server": "http://127.0.0.1:{port}/",
    "an unknown dialect": "evil+evil://127.0.0.1:{port}/",
    "the user's SQLite database": "sqlite:///{victim}/accounts.db",
    "a new SQLite database": "sqlite:///{victim}/new.db",
    "an SQLite database by a relative path": "sqlite:///../../../victim/accounts.db",
    "an SQLite URI": "sqlite:///file:{victim}/new.db?mode=rwc&uri=true",
    "an SQLite extension": "sqlite+pysqlite:///{victim}/accounts.db?plugin=evil",
    "a list": ["sqlite:///{victim}/new.db"],
}
for _name, _url in _STORAGES.items():

    @kind(f"study.json names {_name} as its storage", "study")
    def _(box: Box, url: str | list[str] = _url) -> None:
        places = {"port": box.port, "victim": box.victim}
        storage = url.format(**places) if isinstance(url, str) else [url[0].format(**places)]
        edit(box.study / "study.json", lambda document: document.update(storage=storage))


_STUDY_LINKS = {
    "study.json": "victim/secret.json",
    "study.db": "victim/accounts.db",
    "study.db-wal": "victim/notes.txt",
    "study.db-journal": "victim/notes.txt",
    "best.toml": "victim/notes.txt",
    "report.html": "victim/notes.txt",
    "report.json": "victim/secret.json",
    "trials.json": "victim/secret.json",
    "figures": "victim/figures",
    "runs": "victim/runs",
    "runs/trial-0000": "victim/run",
}
for _name, _target in _STUDY_LINKS.items():

    @kind(f"{_name} of a study is a link to the user's {_target}", "study")
    def _(box: Box, name: str = _name, target: str = _target) -> None:
        link(box.study / name, box.path / target)


for _name in ("study.json", "study.db", "trials.json", "report.json"):

    @kind(f"{_name} of a study is a pipe", "study")
    def _(box: Box, name: str = _name) -> None:
        fifo(box.study / name)


@kind("study.json is nested 100,000 levels deep", "study")
def _(box: Box) -> None:
    (box.study / "study.json").write_bytes(DEEP)


@kind("study.db has a view that is a bomb", "study")
def _(box: Box) -> None:
    with contextlib.closing(sqlite3.connect(box.study / "study.db")) as database:
        database.execute("alter table trials rename to trials_")
        database.execute(
            "create view trials as with recursive r(n) as (select 1 union all select n + 1 from r)"
            " select trials_.* from trials_, r"
        )
        database.commit()


@kind("study.db is text", "study")
def _(box: Box) -> None:
    (box.study / "study.db").write_text("no database" * 1000)


@kind("the study's name is a command with control characters", "study")
def _(box: Box) -> None:
    edit(
        box.study / "study.json",
        lambda document: document.update(name=f"'; DROP TABLE trials; touch owned {EVIL_TEXT}"),
    )


@kind("the tuner is one of a plugin in the folder", "study")
def _(box: Box) -> None:
    (box.study / "evil.py").write_text(EVIL_PLUGIN)
    edit(box.study / "study.json", lambda document: document["tuner"].update(name="evil:evil"))


@kind("the study's options have control characters", "study")
def _(box: Box) -> None:
    def change(document: dict) -> None:
        domain = next(iter(document["space"].values()))
        document["space"][EVIL_TEXT] = domain

    edit(box.study / "study.json", change)


# Packed runs


def repack(
    box: Box,
    change: Callable[[dict[str, bytes]], None],
    *,
    link: str = "",
    compression: int = zipfile.ZIP_STORED,
) -> None:
    """Pack the run, and write the file again with changed members, one of which may be a link."""
    from latentkit.runs.folder import RunFolder
    from latentkit.runs.packed import pack_run

    pack_run(RunFolder.open(box.run), box.packed)
    with zipfile.ZipFile(box.packed) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change(members)
    with zipfile.ZipFile(box.packed, "w", compression) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.create_system, info.compress_type = 3, compression
            info.external_attr = (0o120777 if name == link else 0o100644) << 16
            archive.writestr(info, content)


def listed(members: dict[str, bytes], name: str, content: bytes) -> None:
    """Add a member, and list it among the artefacts of the run with its hash."""
    from latentkit.config import canonical_sha256

    members[f"sent/{name}"] = content
    document = json.loads(members["sent/run.json"])
    document.pop("sha256")
    facts = {"path": name, "stage": "report", "size": len(content)}
    document["artefacts"][name] = facts | {"sha256": hashlib.sha256(content).hexdigest()}
    document["sha256"] = canonical_sha256(document)
    members["sent/run.json"] = json.dumps(document).encode()


for _name in ("../../../../victim/notes.txt", "{victim}/notes.txt"):

    @kind(f"a packed run has a member {_name}", "packed")
    def _(box: Box, name: str = _name) -> None:
        name = name.format(victim=box.victim)
        repack(box, lambda members: listed(members, name, b"owned"))


@kind("a packed run has a member that is a link to the user's notes", "packed")
def _(box: Box) -> None:
    target = str(box.victim / "notes.txt").encode()
    repack(
        box,
        lambda members: listed(members, "report.html", target),
        link="sent/report.html",
    )


@kind("a packed run has 1 GiB of zeros, compressed", "packed")
def _(box: Box) -> None:
    repack(box, lambda members: None)
    with (
        zipfile.ZipFile(box.packed, "a", zipfile.ZIP_DEFLATED) as archive,
        archive.open("sent/report.html", "w") as file,
    ):
        for _ in range(1024):
            file.write(bytes(2**20))


@kind("a packed run has other weights than its hash says", "packed")
def _(box: Box) -> None:
    def change(members: dict[str, bytes]) -> None:
        weights = members["sent/model.safetensors"]
        members["sent/model.safetensors"] = weights[:-1] + bytes([weights[-1] ^ 1])

    repack(box, change)


# Pages

for _name, _source in {
    "a run outside, by ..": "../../victim/run/loss",
    "a run outside, by its path": "{victim}/run/loss",
    "a run inside": "sent/loss",
}.items():

    @kind(f"a page shows a figure of {_name}", "page")
    def _(box: Box, source: str = _source) -> None:
        figure = json.dumps(source.format(victim=box.victim))
        title = json.dumps(EVIL_TEXT)
        (box.here / "page.toml").write_text(
            f"title = {title}\n[[chapter]]\ntitle = {title}\nfigures = [{figure}]\n"
        )


@kind("a page is nested 100,000 levels deep", "page")
def _(box: Box) -> None:
    (box.here / "page.toml").write_bytes(b"title = " + DEEP)
