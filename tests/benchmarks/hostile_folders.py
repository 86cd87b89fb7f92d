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
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import warm_forks
from hostile_kinds import KINDS, SECRET, Box, Kind, sqlite_of_others

SECONDS = 60


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
        ["resume", name],
        ["resume", name, "--epochs", "2"],
        ["python", name],
    ]


def commands_on_packed(box: Box, run: str) -> list[list[str]]:
    name = f"runs/{run}.latentkit"
    return [
        ["runs", name],
        ["evaluate", name],
        ["unpack", name, "--runs", "unpacked"],
        ["export", name, "--out", "onnx"],
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


COMMANDS = {
    "run": commands_on_run,
    "packed": commands_on_packed,
    "study": commands_on_study,
    "page": commands_on_page,
}


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
        os.environ["LATENTKIT_PLUGINS"] = "latentkit-timm"  # reads a file of weights
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
