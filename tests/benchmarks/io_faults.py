"""What a failing disk does to each command: its exit code, and whether a retry loses nothing.

Each command is repeated in a fork in which its n-th operation on a file below the output folder
fails: creating, writing, flushing, renaming, deleting. The disk either fails once (EIO), or is full
from then on (ENOSPC), or read-only (EROFS), as systems make a failing disk. The command must end
with exit code 5 and one line, or do without the file. The same command is then repeated, and must
give the bytes of one that was never disturbed.
"""

from __future__ import annotations

import argparse
import builtins
import errno
import io
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import warm_forks

RUN = ["run", "-q", "--name", "r", "--epochs", "2", "--embed", "pca", "--embed", "isomap"]
TRANSFER = ["transfer", "r", "-q", "--name", "t", "--epochs", "2", "--embed", "pca"]
TUNE = ["tune", "-q", "--name", "s", "--trials", "2", "--epochs", "2"]
TUNE += ["--search", "training.learning_rate=0.001..0.01:log"]
STORAGE = 5
FAULTS = {"once": errno.EIO, "full": errno.ENOSPC, "read-only": errno.EROFS}


@dataclass
class Disk:
    """A disk whose n-th operation fails.

    Args:
        root: the folder on this disk.
        fails_at: number of the operation that fails, from 1; 0 for none.
        fault: how it fails, a key of `FAULTS`.
        count: number of operations so far.
    """

    root: Path
    fails_at: int = 0
    fault: str = "once"
    count: int = 0
    log: list[str] = field(default_factory=list)

    def touch(self, what: str, path: Any, *, needs_room: bool = True) -> None:
        """Count an operation on ``path``, and fail if it is its turn."""
        if isinstance(path, int):
            path = Path(f"/proc/self/fd/{path}").readlink()
        found = Path(os.fsdecode(path)).absolute()
        if not found.is_relative_to(self.root):
            return
        self.count += 1
        self.log.append(f"{what} {found.relative_to(self.root)}")
        lasts = self.fault == "read-only" or (self.fault == "full" and needs_room)
        if self.fails_at and (
            self.count == self.fails_at or (lasts and self.count > self.fails_at)
        ):
            number = FAULTS[self.fault]
            raise OSError(number, os.strerror(number), os.fsdecode(path))

    def replaced(self) -> dict[tuple[Any, str], Callable[..., Any]]:
        """Return what to put in place of the functions that change files, by module and name."""
        found = {(os, name): self._counted(name) for name in ("fsync", "write", "mkdir")}
        for name in ("rename", "replace", "unlink", "remove", "rmdir", "chmod"):
            found[os, name] = self._counted(name, needs_room=False)
        plain_open = os.open

        def os_open(path: Any, flags: int, *arguments: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.touch("open", path, needs_room=bool(flags & os.O_CREAT))
            return plain_open(path, flags, *arguments, **options)

        opened = self._opener(io.open)
        return {**found, (os, "open"): os_open, (io, "open"): opened, (builtins, "open"): opened}

    def install(self) -> None:
        """Replace the functions of this process that change files."""
        for (module, name), function in self.replaced().items():
            setattr(module, name, function)

    def _counted(self, name: str, *, needs_room: bool = True) -> Callable[..., Any]:
        plain = getattr(os, name)

        def counted(path: Any, *arguments: Any, **options: Any) -> Any:
            self.touch(name, path, needs_room=needs_room)
            return plain(path, *arguments, **options)

        return counted

    def _opener(self, plain: Callable[..., Any]) -> Callable[..., Any]:
        disk = self

        class CountedFile(io.FileIO):
            def write(self, data: Any) -> int:
                disk.touch("write", self.name)
                return super().write(data)

        def opened(
            path: Any, mode: str = "r", buffering: int = -1, *arguments: Any, **options: Any
        ) -> Any:
            if not set(mode) & set("wax+") or isinstance(path, int):
                return plain(path, mode, buffering, *arguments, **options)
            disk.touch("create", path)
            raw = CountedFile(path, mode.replace("b", "").replace("t", ""))
            buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            if "b" in mode:
                return buffered
            return io.TextIOWrapper(buffered, *arguments, **options)

        return opened


@dataclass
class Case:
    """One command, and the commands that must have been run before it."""

    name: str
    command: list[str]
    prepared: Path
    whole: dict[str, str]
    operations: list[str]


def prepare(name: str, command: list[str], earlier: Path | None, root: Path) -> Case:
    """Run a command undisturbed, and count its operations."""
    folder = root / name
    copy(earlier, folder)
    log = root / f"{name}.operations"
    code, errors = warm_forks.run(command, folder, _logging(Disk(folder), log))
    assert code == 0, errors
    return Case(
        name,
        command,
        earlier or root / "empty",
        warm_forks.hashes(folder),
        log.read_text().splitlines(),
    )


def _logging(disk: Disk, log: Path) -> Callable[[], None]:
    def install() -> None:
        leave = os._exit

        def write_and_leave(code: int) -> None:
            log.write_text("\n".join(disk.log))
            leave(code)

        os._exit = write_and_leave  # type: ignore[assignment]
        disk.install()

    return install


def first_of_each_kind(operations: list[str]) -> list[int]:
    """Return the numbers of operations that differ from earlier ones in more than random names."""
    seen = {}
    for number, operation in enumerate(operations, 1):
        seen.setdefault(re.sub(r"\.writing-[0-9a-f]+", "", operation), number)
    return list(seen.values())


def copy(earlier: Path | None, folder: Path) -> None:
    """Make ``folder`` a copy of ``earlier``, or empty."""
    shutil.rmtree(folder, ignore_errors=True)
    if earlier is not None and earlier.is_dir():
        shutil.copytree(earlier, folder)
    else:
        folder.mkdir()


def disturb(case: Case, number: int, folder: Path, fault: str) -> list[str]:
    """Let operation ``number`` of a command fail, repeat it; return what was wrong."""
    copy(case.prepared, folder)
    disk = Disk(folder, number, fault)
    code, errors = warm_forks.run(case.command, folder, disk.install)
    wrong = []
    if code not in (0, STORAGE):
        wrong.append(f"exit code {code}")
    lines = [line for line in errors.splitlines() if line.startswith("latentkit: error")]
    if "Traceback" in errors or (code and len(lines) != 1):
        wrong.append("no single line")
    if code == 0 and warm_forks.hashes(folder) != case.whole:
        wrong.append("success with other bytes")
    shown = errors.strip().splitlines()[-1:]
    again, errors = warm_forks.run(case.command, folder)
    if again != 0:
        wrong.append(f"retry ended with {again}")
        shown += errors.strip().splitlines()[-1:]
    elif (now := warm_forks.hashes(folder)) != case.whole:
        differing = sorted(k for k in {*now, *case.whole} if now.get(k) != case.whole.get(k))
        wrong.append(f"other bytes: {', '.join(differing[:3])}")
    if left := warm_forks.leftovers(folder):
        wrong.append(f"left {left[0]}")
    return [*wrong, *shown] if wrong else []


def cases(root: Path, names: list[str]) -> list[Case]:
    """Return the cases; each starts from the runs that it needs."""
    warm_forks.write_images(root / "digits.npz")
    data = ["--dataset", "npz", "-o", f"dataset.path={root / 'digits.npz'}", "-o", "threads=1"]
    data += warm_forks.NETWORK
    run = prepare("run", [*RUN, *data], None, root)
    more = ["embed", "r", "-q", "--embed", "pca", "-o", "pca.n_components=3"]
    other: dict[str, tuple[list[str], Path | None]] = {
        "embed": (more, root / "run"),
        "report": (["report", "r", "-q"], root / "run"),
        "explore": (["explore", "r", "grid", "--steps", "3"], root / "run"),
        "transfer": (TRANSFER, root / "run"),
        "tune": ([*TUNE, *data], None),
    }
    made = [prepare(name, *how, root) for name, how in other.items() if name in names]
    return [run, *made] if "run" in names else made


def main() -> None:
    """Print a table of commands, and a line for everything that was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("commands", nargs="*", default=[])
    parser.add_argument("--fault", action="append", choices=FAULTS, help="how the disk fails")
    parser.add_argument("--every", type=int, default=1, help="let only each such operation fail")
    parser.add_argument("--distinct", action="store_true", help="only the first of each kind")
    asked = parser.parse_args()
    names = asked.commands or ["run", "embed", "report", "explore", "transfer", "tune"]
    warm_forks.warm_up()
    warm_forks.draw_blank_figures()
    with tempfile.TemporaryDirectory(prefix="io-faults-") as name:
        rows = []
        for case in cases(Path(name), names):
            for fault in asked.fault or FAULTS:
                numbers = list(range(1, len(case.operations) + 1))
                if asked.distinct:
                    numbers = first_of_each_kind(case.operations)
                numbers = numbers[:: asked.every]
                counts = {"exit code": 0, "line": 0, "retry": 0, "bytes": 0, "left": 0}
                for number in numbers:
                    print(f"{case.name}: {number} of {len(case.operations)}", file=sys.stderr)
                    found = disturb(case, number, Path(name) / "now", fault)
                    for kind in counts:
                        counts[kind] += any(kind in text for text in found[:-1])
                    if found:
                        what = case.operations[number - 1]
                        print(f"# {case.name} {number} ({what}): {'; '.join(found)}", flush=True)
                tried = len(numbers)
                right = tried - counts["exit code"] - counts["line"]
                finished, same = tried - counts["retry"], tried - counts["bytes"]
                rows.append((case.name, fault, len(case.operations), tried, right, finished, same))
                print(*rows[-1], flush=True)
    print("| command | disk fails | operations | tried | right end | finished on retry | equal |")
    print("| --- | --- | --: | --: | --: | --: | --: |")
    for row in rows:
        print(f"| {' | '.join(map(str, row))} |")


if __name__ == "__main__":
    main()
