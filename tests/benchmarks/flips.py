"""Flip bits and cut files of runs and studies, and see whether latentkit notices.

python tests/benchmarks/flips.py [--flips 10000] [--cuts 1000] [--seed 0] [--folder NAME]

Each change is made to one file of an intact run, transfer or study: one bit is flipped, or the
file is cut at a random byte. Then everything that the folder holds is read, and an unfinished run
is resumed. A change counts as detected if an error or a warning names the file; as repaired if the
result is the same in every byte as without the change; as without effect if what is read is the
same. Anything else is a miss, and is printed.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import shutil
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import warm_forks

Read = Callable[[Path], Any]
LOGS = ("events.jsonl",)
OPTIONS = {"threads": 1, "model.hidden": [16], "model.latent_dim": 2, "training.snapshots": [1]}


def digest(value: Any) -> str:
    """Return a hash of what was read."""
    return hashlib.sha256(repr(value).encode()).hexdigest()


def read_run(path: Path) -> Any:
    """Read everything that a run offers, and return it."""
    import latentkit as lk
    from latentkit.errors import IntegrityError

    run = lk.open(path)
    manifest = run._folder.manifest
    found: list[Any] = [run.status, run.summary, run.config.as_dict(), run.history]
    found += [manifest.model_dump(mode="json"), run._repr_html_()]
    for relative in sorted(manifest.artefacts):
        found.append((relative, hashlib.sha256(run._folder.read(relative)).hexdigest()))
    if run._folder.config_edited:
        raise IntegrityError("config.toml was edited")  # a notice, when the run is resumed
    return found


def read_study(path: Path) -> Any:
    """Read everything that a study shows."""
    import latentkit as lk

    study = lk.open_study(path)
    return [study._repr_html_(), repr(study.result), study.best_params]


def resumed(path: Path) -> Any:
    """Resume an unfinished run, and return the bytes of what it makes."""
    import latentkit as lk
    from latentkit.plugin.events import Notice

    told: list[str] = []

    def listen(event: Any) -> None:
        if isinstance(event, Notice) and event.level == "warning":
            told.append(event.message)

    run = lk.resume(path, listener=listen)
    names = ("model.safetensors", "latents/test.npz", "weights/epoch-0001.safetensors")
    made = [hashlib.sha256(run._folder.read(name)).hexdigest() for name in names]
    losses = [[record["epoch"], record["train"], record["validation"]] for record in run.history]
    return [made, losses]


class Sweep:
    """Changes to the files of one folder."""

    def __init__(self, name: str, folder: Path, read: Read, files: list[str]) -> None:
        self.name = name
        self.folder = folder
        self.read = read
        self.files = files
        self.counts: Counter[str] = Counter()
        self.misses: list[str] = []
        self._kept = self._copy()
        self.intact = digest(self._read(self._kept))

    def _copy(self) -> Path:
        """Copy the folder, always to the same path, because results contain it."""
        copy = self.folder.parent.parent / "copies" / self.folder.name
        shutil.rmtree(copy, ignore_errors=True)
        return Path(shutil.copytree(self.folder, copy))

    def _read(self, copy: Path) -> Any:
        with warnings.catch_warnings(), open(os.devnull, "w") as nothing:  # noqa: PTH123
            warnings.simplefilter("ignore")
            with contextlib.redirect_stderr(nothing), contextlib.redirect_stdout(nothing):
                return self.read(copy)

    def change(self, random_: random.Random, *, cut: bool) -> None:
        """Change one file, and count what happens."""
        from latentkit.errors import LatentkitError

        relative = random_.choice(self.files)
        # Reading changes nothing, so the same copy serves again.
        copy = self._copy() if self.read is resumed else self._kept
        path = copy / relative
        whole = path.read_bytes()
        content = bytearray(whole)
        if not content:
            return
        at, bit = random_.randrange(len(content)), random_.randrange(8)
        if cut:
            content = content[:at]
        else:
            content[at] ^= 1 << bit
        path.write_bytes(content)
        what = f"{self.name}: {relative}, " + (f"cut at {at}" if cut else f"bit {bit} of {at}")
        miss = ""
        try:
            found = digest(self._read(copy))
        except LatentkitError as error:
            named = path.name in str(error) or path.stem in str(error)
            outcome = "detected" if named else "detected without the file's name"
            miss = "" if named else str(error)
        except Exception as error:
            outcome = miss = "crashed"
            miss = f"{type(error).__name__}: {error}"
        else:
            outcome = "repaired or without effect" if found == self.intact else "missed"
            miss = "" if found == self.intact else "read, but with another result"
        path.write_bytes(whole)
        self.counts[outcome] += 1
        if miss:
            self.misses.append(f"{what}: {miss}")


def files_of(folder: Path) -> list[str]:
    """Return the files of a folder, without locks and logs, which nothing is read from."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    names = sorted(path.relative_to(folder).as_posix() for path in paths)
    return [n for n in names if Path(n).name not in LOGS and not Path(n).name.startswith(".lock")]


def make(place: Path) -> list[Sweep]:
    """Make intact folders, and return a sweep of each."""
    import latentkit as lk
    from latentkit.runs.manifest import read_manifest

    run = lk.run(
        model="dense-ae", embed=["pca"], epochs=2, options=OPTIONS, runs=place / "runs", name="run"
    )
    unfinished = Path(shutil.copytree(run.path, place / "runs/unfinished"))
    manifest = read_manifest(unfinished)
    manifest.status = "interrupted"
    kept = {"data", "snapshots"}
    manifest.stages = {k: v for k, v in manifest.stages.items() if k in kept}
    manifest.artefacts = {k: a for k, a in manifest.artefacts.items() if a.stage in kept}
    manifest.write(unfinished)
    for path in files_of(unfinished):
        needed = path.startswith("checkpoints/") or path in ("run.json", "config.toml")
        if not needed and path not in manifest.artefacts:
            (unfinished / path).unlink()
    transfer = lk.transfer(run, labels=50, epochs=1, embed=[], runs=place / "transfers")
    study = lk.tune(
        model="dense-ae",
        search={"model.latent_dim": "2,3"},
        options={"threads": 1, "model.hidden": [16]},
        epochs=1,
        trials=3,
        name="study",
        out=place / "studies",
    )
    own = [n for n in files_of(study.path) if not n.startswith(("runs/", "figures/"))]
    return [
        Sweep("run", run.path, read_run, files_of(run.path)),
        Sweep("transfer", transfer.path, read_run, files_of(transfer.path)),
        Sweep("unfinished run", unfinished, resumed, files_of(unfinished)),
        Sweep("study", study.path, read_study, own),
    ]


SHARES = {"run": 0.5, "transfer": 0.2, "unfinished run": 0.05, "study": 0.25}


def main() -> None:
    """Change files, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=1_000)
    parser.add_argument("--folder", default="", help="only folders whose names contain this")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    for tracker in ("LATENTKIT_MLFLOW", "LATENTKIT_TENSORBOARD"):
        os.environ[tracker] = "off"
    random_ = random.Random(chosen.seed)
    misses = 0
    with tempfile.TemporaryDirectory(prefix="intact-") as place:
        with open(os.devnull, "w") as nothing, contextlib.redirect_stderr(nothing):  # noqa: PTH123
            sweeps = make(Path(place))
        warm_forks.draw_blank_figures()  # drawing would take most of the time of a resumed run
        print(f"{'folder':16} {'change':6} {'number':>6}  outcomes")
        for cut, total in ((False, chosen.flips), (True, chosen.cuts)):
            for sweep in (sweep for sweep in sweeps if chosen.folder in sweep.name):
                sweep.counts.clear()
                for _ in range(round(total * SHARES[sweep.name])):
                    sweep.change(random_, cut=cut)
                outcomes = json.dumps(dict(sweep.counts.most_common()))
                kind, count = "cut" if cut else "flip", sweep.counts.total()
                print(f"{sweep.name:16} {kind:6} {count:6}  {outcomes}", flush=True)
        for sweep in sweeps:
            misses += len(sweep.misses)
            print("\n".join(sweep.misses))
    sys.exit(bool(misses))


if __name__ == "__main__":
    main()
