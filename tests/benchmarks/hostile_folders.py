"""Open folders that attack their reader, and count what they reach.

python tests/benchmarks/hostile_folders.py [--kinds links] [--every 1] [--quick]
    [--figures] [--list]

Each kind of folder is made from a real run, study or page. Every command that reads such a folder
is then executed on it, in a process of its own with a home, a victim's folder and a server to
connect to. A kind passes if no file outside the folder is written, deleted or read into a
result, nothing is connected to, no code of the folder is executed, no control character reaches the
terminal, and every command ends by itself with an error of latentkit or with success.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import hashlib
import io
import json
import os
import re
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import threading
import time
import traceback
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import warm_forks

SECRET = "the-secret-of-the-user"
EVIL_TEXT = "a\x1b]0;owned\x07\x1b[31mb\x9b31m\u202ec<script>alert(1)</script>"
SECONDS = 60
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
        what: ``run``, ``study`` or ``page``.
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


# Opening


def commands_on_run(box: Box, run: str) -> list[list[str]]:
    name = f"runs/{run}"
    return [
        ["runs"],
        ["runs", name],
        ["evaluate", name],
        ["compare", name, "runs/clean"],
        ["report", name],
        ["embed", name, "--embed", "pca", "-o", "pca.n_components=3"],
        ["explore", name, "samples"],
        ["export", name, "--out", "onnx"],
        ["resume", name, "--epochs", "2"],
        ["python", name],
    ]


def commands_on_study(box: Box, study: str) -> list[list[str]]:
    name = f"studies/{study}"
    return [
        ["studies"],
        ["studies", name],
        ["python-study", name],
        ["tune", "--resume", name],
    ]


def commands_on_page(box: Box, run: str) -> list[list[str]]:
    return [["page", "page.toml", "--root", "runs"]]


COMMANDS = {"run": commands_on_run, "study": commands_on_study, "page": commands_on_page}


def in_python(path: str) -> None:
    """Look at everything of a run that a notebook shows."""
    import latentkit as lk

    run = lk.open(path)
    print(run, run.status, "<script>" in run._repr_html_())
    for name in ("summary", "evaluation", "history", "maps", "class_names", "config", "figures"):
        try:
            print(getattr(run, name))
        except lk.errors.LatentkitError as error:
            print(error)
    print(run.latents("test").sum(), run.labels("test"), run.model)


def in_python_study(path: str) -> None:
    """Look at everything of a study that a notebook shows."""
    import latentkit as lk

    study = lk.open_study(path)
    print(study, "<script>" in study._repr_html_())


def tree(folder: Path) -> dict[str, str]:
    """Return a hash of everything in a folder, without following links."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "/.cache/" in f"/{name}/" or "/.config/" in f"/{name}/":
            continue  # caches of libraries, and permissions
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}"  # noqa: PTH115
        elif path.is_file():
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        else:
            found[name] = "folder"
    return found


@dataclass
class Outcome:
    """What a command did."""

    command: list[str]
    faults: list[str] = field(default_factory=list)
    code: int = 0
    seconds: float = 0.0


def execute(box: Box, command: list[str]) -> Outcome:
    """Execute a command in a process of its own, and return what it did wrong."""
    outcome = Outcome(command)
    out, err = box.path / "out.txt", box.path / "err.txt"
    audit = box.path / "audit.txt"
    audit.write_text("")
    started = time.monotonic()
    child = os.fork()
    if child == 0:
        _execute_here(box, command, out, err, audit)
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            break
        if time.monotonic() - started > SECONDS:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            outcome.faults.append(f"did not end within {SECONDS} s")
            status = 0
            break
        time.sleep(0.01)
    outcome.seconds = time.monotonic() - started
    outcome.code = os.waitstatus_to_exitcode(status)
    shown = out.read_text(errors="replace") + err.read_text(errors="replace")
    if outcome.code == 1 or outcome.code < 0 or "Traceback" in shown or "this is a bug" in shown:
        last = shown.strip().splitlines()[-1:] or [""]
        outcome.faults.append(f"exit code {outcome.code}: {last[0][-300:]}")
    if re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", shown):
        outcome.faults.append("control characters in the output")
    if command[0].startswith("python") and " True\n" in shown:
        outcome.faults.append("a script is in the HTML of a notebook")
    if SECRET in shown:
        outcome.faults.append("the secret is in the output")
    outcome.faults += audit.read_text().splitlines()
    return outcome


def _execute_here(box: Box, command: list[str], out: Path, err: Path, audit: Path) -> None:
    code = 70
    try:
        os.chdir(box.here)
        os.environ.update(HOME=str(box.home), XDG_CONFIG_HOME=str(box.home / ".config"))
        for number, path in ((1, out), (2, err)):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        faulthandler.enable()
        record = os.open(audit, os.O_WRONLY | os.O_APPEND)
        sys.addaudithook(lambda event, arguments: _watch(record, box, event, arguments))
        if command[0].startswith("python"):
            from latentkit.errors import LatentkitError

            look = in_python if command[0] == "python" else in_python_study
            try:
                look(command[1])
                code = 0
            except LatentkitError as error:
                code = error.exit_code
        else:
            from latentkit.cli.main import main

            sys.argv = ["latentkit", *command]
            try:
                main()
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


_CALLS = {"os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "pty.spawn"}
_HARMLESS = {"uname", "lscpu"}  # platform and joblib ask about the processor
_NETWORK = {"socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.gethostbyname"}


def _watch(record: int, box: Box, event: str, arguments: tuple[object, ...]) -> None:
    fault = ""
    if event in _NETWORK and not isinstance(arguments[-1], str | bytes):
        fault = f"network: {event} {arguments[1:]!r}"
    elif event in _CALLS and arguments[0] not in _HARMLESS:
        fault = f"process: {event} {arguments[:2]!r}"
    elif event == "compile" and str(box.here) in str(arguments[1]):
        fault = f"code: {arguments[1]!r} is compiled"
    if fault and "/workers.py" not in fault and "latentkit.tune.worker" not in fault:
        os.write(record, f"{fault}\n".encode(errors="replace"))


def new_box(base: Path, path: Path, port: int) -> Box:
    """Make a box with intact folders."""
    shutil.copytree(base, path, symlinks=True)
    return Box(path, port)


QUICK = {"runs", "evaluate", "python", "studies", "page"}


def open_kind(
    base: Path, one: Kind, port: int, connections: list[object], *, quick: bool = False
) -> list[Outcome]:
    """Make a folder of a kind, execute every command on it, and return what they did."""
    outcomes = []
    for command in COMMANDS[one.what](Box(base, port), one.renamed):
        if quick and command[0] not in QUICK:
            continue
        with tempfile.TemporaryDirectory(prefix="box-") as folder:
            box = new_box(base, Path(folder, "box"), port)
            one.attack(box)
            place = box.run if one.what != "study" else box.study
            if one.renamed != "sent":
                place.rename(place.with_name(one.renamed))
            before = {name: tree(getattr(box, name)) for name in ("home", "victim")}
            asked = len(connections)
            outcome = execute(box, command)
            for name, known in before.items():
                now = tree(getattr(box, name))
                changed = sorted(k for k in {*known, *now} if known.get(k) != now.get(k))
                if changed:
                    outcome.faults.append(f"changed outside: {name}/{', '.join(changed)}")
            if len(connections) != asked:
                outcome.faults.append("connected to the server")
            outcome.faults += _leaks(box)
            outcomes.append(outcome)
    return outcomes


def _leaks(box: Box) -> list[str]:
    leaks = []
    for path in box.here.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.stat().st_size > 2**28:
            continue
        content = path.read_bytes()
        if SECRET.encode() in content and path.name not in ("events.jsonl", ".lock"):
            leaks.append(f"the secret is in {path.relative_to(box.here)}")
        if path.suffix == ".html" and b"<script>alert" in content:
            leaks.append(f"a script is in {path.relative_to(box.here)}")
    return leaks


def make_base(path: Path) -> Path:
    """Make intact folders: a run, a study, and what the user has."""
    import latentkit as lk

    for name in ("here/runs", "here/studies", "victim/figures", "victim/runs", "home"):
        (path / name).mkdir(parents=True)
    options = {"threads": 1, "model.hidden": [16], "model.latent_dim": 3, "training.snapshots": [1]}
    made = lk.run(
        model="dense-ae",
        embed=["pca"],
        epochs=1,
        options=options,
        runs=path / "here/runs",
        name="sent",
    )
    shutil.copytree(made.path, path / "here/runs/clean")
    shutil.copytree(made.path, path / "victim/run")
    search = lk.tune(
        model="dense-ae",
        search={"model.latent_dim": "2,3"},
        options={"threads": 1, "model.hidden": [16]},
        epochs=1,
        trials=2,
        name="sent",
        out=path / "here/studies",
    )
    assert search.path.is_dir()
    content = io.BytesIO()
    np.savez(content, latents=np.zeros((360, 3), np.float32), secret=np.array(SECRET))
    (path / "victim/secret.npz").write_bytes(content.getvalue())
    (path / "victim/secret.json").write_text(json.dumps({"secret": SECRET}))
    (path / "victim/notes.txt").write_text(SECRET)
    (path / "victim/map-x.png").write_text(SECRET)
    (path / "victim/figures/loss.png").write_text(SECRET)
    sqlite_of_others(path / "victim/accounts.db")
    (path / "home/.bashrc").write_text(f"# {SECRET}\n")
    (path / "home/.pgpass").write_text(f"127.0.0.1:*:*:*:{SECRET}\n")
    (path / "home/.pgpass").chmod(0o600)
    return path


@contextlib.contextmanager
def server() -> Iterator[tuple[int, list[object]]]:
    """Count connections to a port."""
    connections: list[object] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, address = listener.accept()
            except OSError:
                return
            connections.append(address)
            connection.close()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1], connections
    finally:
        listener.close()


def main() -> None:
    """Open every kind of folder, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kinds", default="", help="only kinds whose names contain this")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="not the first N kinds")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="only each N-th kind")
    parser.add_argument("--quick", action="store_true", help="only commands that take no second")
    parser.add_argument("--figures", action="store_true", help="draw the figures of reports")
    parser.add_argument("--list", action="store_true", help="only list the kinds")
    chosen = parser.parse_args()
    kinds = [one for one in KINDS if chosen.kinds in one.name][chosen.skip :: chosen.every]
    if chosen.list:
        print("\n".join(f"{one.what}: {one.name}" for one in kinds))
        return
    failed = count = 0
    slowest = 0.0
    with (
        tempfile.TemporaryDirectory(prefix="strangers-") as folder,
        server() as (port, connections),
    ):
        base = Path(folder, "base")
        child = os.fork()  # so that no thread of this process's libraries is lost in the forks
        if child == 0:
            make_base(base)
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit("the intact folders could not be made")
        warm_forks.warm_up()
        if not chosen.figures:
            warm_forks.draw_blank_figures()
        for one in kinds:
            outcomes = open_kind(base, one, port, connections, quick=chosen.quick)
            count += len(outcomes)
            slowest = max(slowest, *(outcome.seconds for outcome in outcomes))
            faults = [
                f"    {' '.join(outcome.command)!r}: {fault}"
                for outcome in outcomes
                for fault in outcome.faults
            ]
            failed += bool(faults)
            codes = " ".join(str(outcome.code) for outcome in outcomes)
            print(f"{'FAILED' if faults else 'passed'}  {one.what:5}  {one.name}  [{codes}]")
            print("\n".join(faults), end="\n" if faults else "", flush=True)
    print(
        f"{len(kinds)} kinds of folders, {count} commands, {failed} kinds failed; "
        f"the slowest command took {slowest:.1f} s"
    )
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
