"""Run the commands of docs/measurements.md and docs/results.md again, and keep what they print.

python tests/benchmarks/all_tables.py --list
python tests/benchmarks/all_tables.py --out tables [--data DIR] [--set NAME=VALUE ...] [WHAT ...]

The commands are read from the pages, where each table stands below its command, and run in that
order. WHAT is a place such as measurements.md:17, or part of a heading or of a command; without it,
all are run. Each runs in a process of its own in the folder of --out, which keeps its output in
logs/, and the seconds that it took in commands.json. If a command fails, the next one follows, and
the last lines name those that failed. The same command again runs only what is not done.

Names in capitals are filled in: DIR is --data, FOLDER the photographs in DIR/clothing, RUNS and
ORACLE folders in --out. The others come from --set, such as --set RUN=runs/plain. Instead of a run,
name the command that makes it: --set RUN=measurements.md:56. If the name ends in .npy, latents or
labels of that run are written to a file. What lacks a value, needs a GPU that is not there, or
would install packages (see --install) is left out, with a line.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = tuple(ROOT / "docs" / name for name in ("measurements.md", "results.md"))
PLACEHOLDER = re.compile(r"(?<![\w$./-])[A-Z][A-Z_]+(?:\.npy)?(?![\w=])")
_HERE = re.compile(r"(?<![\w/.-])(?=(?:tests|examples)/)")
_PLACE = re.compile(r"\w+\.md:\d+")
_SHELL = ("```sh", "```bash")


@dataclass(frozen=True)
class Command:
    """A command of a page.

    Args:
        page: file name of the page.
        line: its first line there.
        heading: of its section.
        text: what a shell executes, without continued lines.
    """

    page: str
    line: int
    heading: str
    text: str

    @property
    def place(self) -> str:
        """Page and line."""
        return f"{self.page}:{self.line}"

    @property
    def key(self) -> str:
        """What stays the same if the page gains lines above the command."""
        return hashlib.sha256(f"{self.page} {self.text}".encode()).hexdigest()[:16]

    @property
    def stem(self) -> str:
        """Name of its script, or of latentkit's command."""
        words = simple_commands(self.text)[-1]
        return Path(words[1]).stem if words[0] == "python" else words[1]

    def matches(self, what: list[str]) -> bool:
        """Return whether one of the texts is part of its place, heading or text, or all are."""
        return not what or any(
            one == self.place or one in self.heading or one in self.text for one in what
        )


def commands_of(name: str, text: str) -> Iterator[Command]:
    """Yield the commands in the indented and fenced blocks of a page."""
    heading, fence, blank = "", "", True
    block: list[tuple[int, str]] = []
    for number, line in enumerate([*text.splitlines(), ""], start=1):
        if line.startswith("```"):
            fence = "" if fence else line
        elif fence in _SHELL or (not fence and line.startswith("    ") and (block or blank)):
            block.append((number, line if fence else line[4:]))
            continue
        if not fence:
            yield from _split(name, heading, block)
            block = []
            heading = line.lstrip("# ") if line.startswith("#") else heading
        blank = not line.strip()


def _split(name: str, heading: str, block: list[tuple[int, str]]) -> Iterator[Command]:
    """Yield the commands of a block: a line each, with those that continue it, or a whole loop."""
    kept: list[str] = []
    first = 0
    for number, line in block:
        if not line.strip():
            continue
        first = first if kept else number
        kept.append(line)
        joined = re.sub(r"\\\n *", "", "\n".join(kept))
        inside = joined.startswith("for ") and not joined.endswith("done")
        if not (line.endswith("\\") or inside):
            yield Command(name, first, heading, joined)
            kept = []


def simple_commands(text: str) -> list[list[str]]:
    """Return the words of each command in a text, without ``time`` and variables before it.

    Of a loop, they are those of the first round.
    """
    found = []
    variable, value = "", ""
    for line in text.splitlines():
        words = shlex.split(line.replace(f"${variable}", value) if variable else line)
        if words[0] == "for":
            variable, value = words[1], words[3].rstrip(";")
        while words[0] == "time" or re.match(r"[A-Z_]+=", words[0]):
            words = words[1:]
        if words[0] not in ("for", "done"):
            found.append(words)
    return found


def filled(command: Command, values: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a command with its placeholders filled, and the names of those without a value."""
    missing = sorted({name for name in PLACEHOLDER.findall(command.text) if name not in values})
    text = PLACEHOLDER.sub(
        lambda match: shlex.quote(values[match[0]]) if match[0] in values else match[0],
        command.text,
    )
    return _HERE.sub(f"{shlex.quote(str(ROOT))}/", text), missing


class Tables:
    """The folder of outputs, and what was run in it.

    Args:
        asked: the command line.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.out = asked, asked.out.absolute()
        self._file = self.out / "commands.json"
        known = self._file.exists()
        self.records: dict[str, Any] = json.loads(self._file.read_text()) if known else {}

    def values(self, command: Command) -> dict[str, str]:
        """Return the value of each placeholder that has one."""
        values = {"RUNS": f"runs-{command.stem}", "ORACLE": "oracle"}
        if self.asked.data:
            values |= {"DIR": str(self.asked.data), "FOLDER": str(self.asked.data / "clothing")}
        for text in self.asked.set:
            name, _, value = text.partition("=")
            if _PLACE.fullmatch(value):
                value = self._made_by(value)
            if value:
                values[name] = value
        return values

    def _made_by(self, place: str) -> str:
        """Return the folder of the last run that the command at a place made, or nothing."""
        made = [one["made"] for one in self.records.values() if one["place"] == place]
        return str(self.out / made[0][-1]) if made and made[0] else ""

    def left_out(self, command: Command) -> str:
        """Return why a command cannot be run here, or nothing."""
        if simple_commands(command.text)[0][0] == "pip" and not self.asked.install:
            return "it installs packages: add --install"
        if "GPU" in command.heading and not shutil.which("nvidia-smi"):
            return "there is no GPU"
        missing = filled(command, self.values(command))[1]
        return f"no value yet for {', '.join(missing)}: use --set NAME=VALUE" if missing else ""

    def state(self, command: Command) -> str:
        """Return ``done``, ``failed`` or nothing, of the command with its values of now."""
        record = self.records.get(command.key, {})
        same = record.get("text") == filled(command, self.values(command))[0]
        return str(record["state"]) if same else ""

    def run(self, command: Command) -> bool:
        """Run a command, keep its output, and return whether it ended well."""
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        values = self.values(command)
        for name, value in values.items():
            folder = self.out / value
            if name.endswith(".npy") and folder.is_dir() and name in command.text:
                values[name] = self._array(name, folder)
        text = filled(command, values)[0]
        log = self.out / "logs" / f"{command.page}-{command.line:04d}-{command.stem}.txt"
        before = set(self._runs())
        started = time.perf_counter()
        with log.open("w", encoding="utf-8") as output:
            output.write(f"{_head()}\n\n$ {text}\n\n")
            output.flush()
            ended = subprocess.run(
                ["bash", "-e", "-c", text],
                cwd=self.out,
                env=self._environment(),
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
            )
            seconds = round(time.perf_counter() - started, 1)
            output.write(f"\n{seconds} s, exit code {ended.returncode}\n")
        self.records[command.key] = {
            "place": command.place,
            "text": filled(command, self.values(command))[0],
            "state": "failed" if ended.returncode else "done",
            "seconds": seconds,
            "log": str(log.relative_to(self.out)),
            "made": [name for name in self._runs() if name not in before],
        }
        half = self._file.with_suffix(".part")
        half.write_text(json.dumps(self.records, indent=2))
        half.replace(self._file)
        return not ended.returncode

    def _environment(self) -> dict[str, str]:
        """Let ``python`` and ``latentkit`` be those that run this script."""
        path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
        data = {"LATENTKIT_DATA": str(self.asked.data)} if self.asked.data else {}
        return {**os.environ, **data, "PATH": path}

    def _runs(self) -> list[str]:
        """Return the runs in the folder, the newest last."""
        found = [path.parent for path in self.out.glob("runs/*/run.json")]
        found.sort(key=lambda path: path.stat().st_mtime)
        return [str(path.relative_to(self.out)) for path in found]

    def _array(self, name: str, run: Path) -> str:
        """Write the latents or labels of a run, test images last, and return the file."""
        import numpy as np

        import latentkit as lk

        found, kind = lk.open(run), "labels" if name.startswith("LABELS") else "latents"
        parts = [getattr(found, kind)(split) for split in ("train", "validation", "test")]
        path = self.out / f"{run.name}-{kind}.npy"
        np.save(path, np.concatenate(parts))
        return str(path)


def _head() -> str:
    from machine import machine, versions

    facts = {**machine(), **versions(["latentkit", "torch", "numpy", "scikit-learn", "numba"])}
    facts["date"] = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    return "\n".join(f"{name}: {value}" for name, value in facts.items())


def main() -> int:
    """List or run the commands; return 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", nargs="*", help="place, or part of a heading or a command")
    parser.add_argument("--list", action="store_true", help="show the commands, run none")
    parser.add_argument("--out", type=Path, default=Path("tables"), help="folder of all results")
    parser.add_argument("--data", type=Path, default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--install", action="store_true", help="run commands of pip, too")
    parser.add_argument("--page", type=Path, action="append", help="a page instead of those two")
    asked = parser.parse_args()
    asked.data = Path(asked.data).absolute() if asked.data else None
    found = [
        command
        for page in asked.page or PAGES
        for command in commands_of(page.name, page.read_text(encoding="utf-8"))
        if command.matches(asked.what)
    ]
    tables = Tables(asked)
    failed = []
    for command in found:
        why, state = tables.left_out(command), tables.state(command)
        told = f"left out: {why}" if why else state
        title = f"{command.place}, {command.heading}{f' ({told})' if told else ''}"
        print(f"{title}\n{indent(command.text, '    ')}", flush=True)
        if asked.list or why or state == "done":
            continue
        ended_well = tables.run(command)
        record = tables.records[command.key]
        print(f"    {record['state']} after {record['seconds']} s: {record['log']}", flush=True)
        if not ended_well:
            failed.append(command)
    for command in failed:
        log = tables.out / tables.records[command.key]["log"]
        print(f"failed: {command.place}, see {log}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the same command again runs what is not done")
