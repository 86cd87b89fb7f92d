"""The page "latentkit beside others": the same work by what a user would pick instead.

python tests/benchmarks/beside_others.py --data DIR --out docs/beside-others.md
    [--rows train encode ...] [--rounds 3] [--limit 180] [--images N] [--points N]

Each way to do a task runs in a process of its own, and the ways of a task take turns. The page has
medians of seconds and peak memory, a figure of quality, the lines that a user writes, and these
lines themselves, from beside_tasks.py and the scripts that it names. It is written again after each
task. A peer that is not installed is left out, and so is a task without any peer; the page says so.
--images and --points lower the sizes, to try the script. A way that takes longer than --limit
seconds is stopped, and not tried again.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import textwrap
import time
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any

from beside_tasks import TASKS, Task, Way
from machine import machine, versions

COMPONENTS = 50
FIXED = {"points": 10_000, "size": 64, "trials": 10}
MARGIN, MARGIN_OF_SHARES = 0.02, 0.005
"""How much worse a figure of latentkit is before the page says so."""
FRONT_MATTER = "---\nsearch:\n  exclude: true\n---"
"""So that a search of the site finds the pages that explain a word, and not all this code."""
INTRODUCTION = """\
The same work, done with latentkit and with what one would use instead. Each way runs in a process
of its own, and the ways of a task take turns; numbers are {rounds}. Seconds are
those of the code [below](#the-code), from its first import to its result; what a function is given
was made before. The first maps of latentkit on a machine also compile code for some seconds; later
processes find it on disk. Memory is the largest of the process, without workers that it starts.
Lines are those that a user writes."""
Row = dict[str, float]


class Inputs:
    """The arguments of the functions in beside_tasks.py, by name; files are made once.

    Args:
        folder: where the files are.
        data: the folder of data sets.
        sizes: ``images``, ``epochs``, ``points``, ``size`` and ``trials``.
    """

    def __init__(self, folder: Path, data: Path, sizes: dict[str, int]) -> None:
        self.folder, self.data = folder, data
        self.photographs = data / "clothing"
        self.images, self.epochs = sizes["images"], sizes["epochs"]
        self.points, self.size, self.trials = sizes["points"], sizes["size"], sizes["trials"]

    def _fashion(self, split: str, **options: int) -> Any:
        import latentkit as lk

        return lk.dataset("fashion-mnist", split, data=self.data, **options)

    @cached_property
    def _train(self) -> Any:
        return self._fashion("train", n_train=self.images)

    @cached_property
    def _test(self) -> Any:
        return self._fashion("test")

    train_images = property(lambda self: self._train.images.copy())
    train_labels = property(lambda self: self._train.labels)
    test_images = property(lambda self: self._test.images.copy())
    test_labels = property(lambda self: self._test.labels)

    @property
    def all_labels(self) -> Any:
        """Labels of the training and test images."""
        import numpy as np

        return np.concatenate([self.train_labels, self.test_labels])

    @cached_property
    def raw(self) -> Path:
        """The folder in which torchvision finds the unpacked files of as many images."""
        folder = self.folder / f"torchvision-{self.images}"
        files = folder / "FashionMNIST" / "raw"
        if not files.exists():
            files.mkdir(parents=True)
            for name, split in (("train", self._train), ("t10k", self._test)):
                for kind, array in (
                    ("images-idx3", split.images[:, 0]),
                    ("labels-idx1", split.labels),
                ):
                    head = bytes([0, 0, 8, array.ndim])
                    head += b"".join(side.to_bytes(4, "big") for side in array.shape)
                    path = files / f"{name}-{kind}-ubyte"
                    path.write_bytes(head + array.astype("uint8").tobytes())
        return folder

    @cached_property
    def _vectors(self) -> dict[str, Any]:
        """Principal components of pixels, drawn from training and test images, and labels."""
        import numpy as np

        path = self.folder / f"vectors-{self.points}.npz"
        if not path.exists():
            splits = [self._fashion("train"), self._test]
            pixels = np.concatenate([one.images.reshape(len(one), -1) for one in splits])
            labels = np.concatenate([one.labels for one in splits])
            rows = np.random.default_rng(0).permutation(len(pixels))[: self.points]
            centred = pixels[rows] / np.float32(255)
            centred -= centred.mean(axis=0)
            axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :COMPONENTS]
            np.savez(path, vectors=centred @ axes, labels=labels[rows])
        with np.load(path) as file:
            return dict(file)

    vectors = property(lambda self: self._vectors["vectors"])
    labels = property(lambda self: self._vectors["labels"])
    coordinates = property(lambda self: self.vectors[:, :2].copy())

    @cached_property
    def encoder(self) -> Path:
        """The file of an encoder that was trained for one epoch, with ``weights`` beside it."""
        path = self.folder / "encoder.safetensors"
        if not path.exists():
            import torch
            from beside_tasks import train_latentkit
            from notebook_networks import Autoencoder

            trained = train_latentkit(self.data, min(self.images, 10_000), 1)
            network = Autoencoder(latent_dim=3)
            names = [name for name in network.state_dict() if not name.startswith("log_var")]
            tensors = trained.model_.state_dict().values()
            same = dict(zip(names, tensors, strict=True))
            # latentkit flattens (height, width, channel), and torch's Flatten the channel first.
            first = same["convolutions.7.weight"].view(64, 3, 3, 32)
            same["convolutions.7.weight"] = first.permute(0, 3, 1, 2).flatten(1)
            network.load_state_dict(same, strict=False)
            torch.save(network.state_dict(), self.folder / "weights.pt")
            trained.save(path)
        return path

    weights = property(lambda self: self.encoder.with_name("weights.pt"))

    @cached_property
    def run(self) -> Path:
        """The folder of a run of one epoch, with a map of as many test images as points."""
        path = self.folder / f"run-{self.points}"
        if not path.exists():
            import latentkit as lk

            lk.run(
                dataset="fashion-mnist",
                embed=["pca"],
                epochs=1,
                options={"dataset.n_train": self.images, "dataset.n_test": self.points},
                data=self.data,
                runs=self.folder,
                name=path.name,
            )
        return path

    @cached_property
    def out(self) -> Path:
        """A new, empty folder."""
        return Path(tempfile.mkdtemp(dir=self.folder))


def found(code: str) -> Any:
    """Return the function or class of ``module:name``."""
    module, _, name = code.partition(":")
    return getattr(import_module(module), name)


def arguments(way: Way, inputs: Inputs) -> dict[str, Any]:
    """Return the arguments of a way, made or read."""
    parameters = inspect.signature(found(way.code)).parameters.values()
    named = [one.name for one in parameters if one.kind is not one.VAR_KEYWORD]
    return {name: getattr(inputs, name) for name in named}


def measured(way: Way, task: Task, inputs: Inputs) -> Row:
    """Carry out a way in this process, and return seconds, peak memory and figures."""
    function, given = found(way.code), arguments(way, inputs)
    started = time.perf_counter()
    result = function(**given)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="ascii")
    (peak,) = (line.split()[1] for line in status.splitlines() if line.startswith("VmHWM"))
    figures = task.figures(result, inputs)
    row = {"seconds": seconds, "peak": int(peak) / 1000, **figures}
    return {key: float(value) for key, value in row.items()}


def sizes_of(task: Task, asked: argparse.Namespace) -> dict[str, int]:
    """Return the sizes of a task, lowered to those of the command line."""
    images = min(task.images, asked.images or task.images)
    points = min(FIXED["points"], asked.points) if asked.points else FIXED["points"]
    return {**FIXED, "images": images, "epochs": task.epochs, "points": points}


def child(asked: argparse.Namespace) -> None:
    """Do one thing for the process that started this one, and write the result as JSON."""
    name, number = asked.child
    task = TASKS[name]
    inputs = Inputs(asked.folder, asked.data, sizes_of(task, asked))
    if number == "prepare":
        for way in present(task, asked)[0]:
            arguments(way, inputs)
        return
    row = measured(task.ways[int(number)], task, inputs)
    (asked.folder / "row.json").write_text(json.dumps(row), encoding="utf-8")


def in_a_process(
    asked: argparse.Namespace, folder: Path, name: str, number: str, cache: Path
) -> str:
    """Run `child` in a new process, and return why it failed, or nothing."""
    command = [sys.executable, __file__, "--data", str(asked.data), "--folder", str(folder)]
    for option in ("images", "points"):
        if getattr(asked, option):
            command += [f"--{option}", str(getattr(asked, option))]
    with (folder / "output.txt").open("w+", encoding="utf-8") as output:
        process = subprocess.Popen(
            [*command, "--child", name, number],
            cwd=folder,
            env={**os.environ, "LATENTKIT_CACHE": str(cache)} if name == "folder" else None,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if process.wait(None if number == "prepare" else asked.limit) == 0:
                return ""
        except subprocess.TimeoutExpired:
            return f"stopped after {asked.limit:g} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # its workers, too
                process.wait()
        output.seek(0)
        return (output.read().strip().splitlines() or ["no output"])[-1]


def present(task: Task, asked: argparse.Namespace) -> tuple[list[Way], list[str]]:
    """Return the ways that can be measured here, and a line for each that cannot."""
    there, left_out = [], []
    for way in task.ways:
        missing = set(way.needs) - set(versions(way.needs))
        if missing:
            left_out.append(f"{way.name} is left out: {', '.join(sorted(missing))} not installed")
        elif way.most_points and sizes_of(task, asked)["points"] > way.most_points:
            left_out.append(f"{way.name} is left out: above {way.most_points:,} points")
        else:
            there.append(way)
    return there, left_out


def carry_out(
    name: str, asked: argparse.Namespace, folder: Path
) -> tuple[dict[str, list[Row]], list[str]]:
    """Measure a task, and return the rows of each way, and a line on all that is missing."""
    task = TASKS[name]
    ways, notes = present(task, asked)
    if all(way.ours for way in ways):
        return {}, notes
    if why := in_a_process(asked, folder, name, "prepare", folder):
        return {}, [*notes, f"left out: {why}"]
    rows: dict[str, list[Row]] = {}
    failed: set[str] = set()
    for turn in range(asked.rounds):
        for way in ways:
            if way.name in failed:
                continue
            number = str(task.ways.index(way))
            if why := in_a_process(asked, folder, name, number, folder / f"cache-{turn}"):
                failed.add(way.name)
                notes.append(f"{way.name}: {why}")
            else:
                row = json.loads((folder / "row.json").read_text(encoding="utf-8"))
                rows.setdefault(way.name, []).append(row)
            print(f"{name}, {way.name}: {why or row}", file=sys.stderr, flush=True)
    return rows, notes


def code_of(code: str) -> str:
    """Return the source of a function or class without docstrings."""
    lines = textwrap.dedent(inspect.getsource(found(code))).splitlines()
    gone = set()
    for node in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            text = node.body[0]
            after = text.end_lineno or text.lineno
            blank = after < len(lines) and not lines[after].strip()
            gone |= set(range(text.lineno - 1, after + blank))
    return "\n".join(line for number, line in enumerate(lines) if number not in gone)


def lines_of(way: Way) -> int:
    """Return how many lines a user writes: a function's body, and classes that it needs."""
    body = code_of(way.code).splitlines()[1:]
    classes = [line for one in way.writes for line in code_of(one).splitlines()]
    return sum(bool(line.strip()) for line in [*body, *classes])


def shown(value: float) -> str:
    """Return a figure with as many digits as matter."""
    if float(value).is_integer():
        return f"{value:,.0f}"
    return f"{value:.4f}" if abs(value) < 1 else f"{value:,.1f}"


def medians(rows: dict[str, list[Row]]) -> dict[str, Row]:
    """Return the median of each figure of each way."""
    return {
        who: {key: statistics.median(row[key] for row in taken) for key in taken[0]}
        for who, taken in rows.items()
    }


class Page:
    """The page, out of the results of the tasks that are done.

    Args:
        asked: the command line.
    """

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked, self.machine = asked, machine()
        self.done: dict[str, tuple[dict[str, list[Row]], list[str]]] = {}

    def text(self) -> str:
        """Return the page as Markdown."""
        tables = [part for name in self.done for part in self._table(name)]
        behind = [line for name in self.done for line in self._behind(name)]
        head = [
            FRONT_MATTER,
            "# latentkit beside others",
            INTRODUCTION.format(rounds=self._rounds()),
            f"    {self._command()}",
            self._facts(),
            "## Where latentkit is behind",
            f"By more than {MARGIN:.0%}, or {MARGIN_OF_SHARES} where higher figures are better:",
            "\n".join(behind) or "Nowhere.",
        ]
        return "\n\n".join([*head, *tables, "## The code", *self._code()]) + "\n"

    def _rounds(self) -> str:
        rounds = self.asked.rounds
        return f"medians of {rounds} rounds" if rounds > 1 else "those of one round"

    def _command(self) -> str:
        words = ["python", "tests/benchmarks/beside_others.py", "--data", "DIR"]
        words += ["--out", "docs/beside-others.md"]
        if set(self.asked.rows) != set(TASKS):
            words += ["--rows", *self.asked.rows]
        for option in ("rounds", "limit", "images", "points"):
            value = getattr(self.asked, option)
            if value != self.asked.defaults[option]:
                words += [f"--{option}", f"{value:g}"]
        return " ".join(words)

    def _facts(self) -> str:
        packages = sorted(
            {one for name in self.done for way in TASKS[name].ways for one in way.needs}
        )
        facts = "; ".join(f"{name} {value}" for name, value in self.machine.items())
        found = ", ".join(f"{name} {value}" for name, value in versions(packages).items())
        return f"Machine: {facts}. Versions: {found}."

    def _table(self, name: str) -> list[str]:
        task, (rows, notes) = TASKS[name], self.done[name]
        parts = [f"## {task.title}", task.text.format(**sizes_of(task, self.asked))]
        found = medians(rows)
        if found:
            columns = ["who", "seconds", "times latentkit's", "peak RSS, MB", *task.better, "lines"]
            lines = [f"| {' | '.join(columns)} |", "| --- |" + " ---: |" * (len(columns) - 1)]
            for way in task.ways:
                if way.name in found:
                    lines.append(f"| {' | '.join(self._cells(way, task, found))} |")
            parts.append("\n".join(lines))
        texts = [f"{way.name}: {way.note}" for way in task.ways if way.note and way.name in found]
        few = {who: len(taken) for who, taken in rows.items() if len(taken) < self.asked.rounds}
        texts += [f"{who}: {count} of {self.asked.rounds} rounds" for who, count in few.items()]
        remarks = "\n".join(f"- {one}." for one in [*texts, *notes])
        return [*parts, remarks] if remarks else parts

    def _cells(self, way: Way, task: Task, found: dict[str, Row]) -> list[str]:
        row, ours = found[way.name], found.get(task.ways[0].name)
        ratio = f"{row['seconds'] / ours['seconds']:.2f}" if ours else ""
        figures = [shown(row[key]) for key in task.better]
        return [
            way.name,
            f"{row['seconds']:.{1 if row['seconds'] >= 10 else 2}f}",
            ratio,
            f"{row['peak']:,.0f}",
            *figures,
            str(lines_of(way)),
        ]

    def _behind(self, name: str) -> list[str]:
        task, (rows, notes) = TASKS[name], self.done[name]
        found, ours = medians(rows), task.ways[0]
        if ours.name not in found:
            return [f"- {task.title}: {one}." for one in notes if one.startswith(f"{ours.name}: ")]
        found = {
            who: {**row, "lines": lines_of(self._way(task, who))} for who, row in found.items()
        }
        better = {"seconds": -1, "peak": -1, **task.better, "lines": -1}
        lines = []
        for key, sign in better.items():
            mine = found[ours.name][key]
            for who, row in found.items():
                margin = MARGIN_OF_SHARES if sign > 0 else MARGIN * abs(mine)
                worse = sign * (row[key] - mine) > margin
                if worse and not self._way(task, who).ours:
                    what = "peak RSS in MB" if key == "peak" else key
                    lines.append(
                        f"- {task.title}, {what}: {who} {shown(row[key])}, latentkit {shown(mine)}."
                    )
        return lines

    @staticmethod
    def _way(task: Task, name: str) -> Way:
        return next(way for way in task.ways if way.name == name)

    def _code(self) -> list[str]:
        """Return the code of each way that was measured, and then the classes that they share."""
        titles: dict[str, str] = {}
        classes: set[str] = set()
        for name, (rows, _) in self.done.items():
            for way in TASKS[name].ways:
                if way.name in rows:
                    titles.setdefault(way.code, f"{TASKS[name].title}, {way.name}")
                    classes |= set(way.writes)
        titles |= dict.fromkeys(sorted(classes), "The network of those who write their own")
        return [self._block(title, code) for code, title in titles.items()]

    @staticmethod
    def _block(title: str, code: str) -> str:
        script = code.partition(":")[0]
        return f"{title} (`tests/benchmarks/{script}.py`):\n\n```python\n{code_of(code)}\n```"


def main() -> None:
    """Measure every task, and write the page after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=os.environ.get("LATENTKIT_DATA"))
    parser.add_argument("--out", type=Path, help="the page; by default it is printed")
    parser.add_argument("--rows", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=180.0, help="seconds of one measurement")
    parser.add_argument("--images", type=int, help="at most so many training images")
    parser.add_argument("--points", type=int, help="at most so many points of a map")
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    asked.defaults = {
        name: parser.get_default(name) for name in ("rounds", "limit", "images", "points")
    }
    if asked.data is None:
        parser.error("--data or LATENTKIT_DATA must name the folder of data sets")
    asked.data = asked.data.absolute()
    if asked.child:
        child(asked)
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that no child outlives this
    page = Page(asked)
    with tempfile.TemporaryDirectory() as folder:
        for name in asked.rows:
            page.done[name] = carry_out(name, asked, Path(folder))
            if asked.out:
                asked.out.write_text(page.text(), encoding="utf-8")
    if not asked.out:
        print(page.text())


if __name__ == "__main__":
    main()
