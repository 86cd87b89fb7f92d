"""Commands of latentkit in processes that start at once, because everything is imported already."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

NETWORK = ("-o", "model.channels=[4,8]", "-o", "model.hidden=[16]", "-o", "model.latent_dim=3")
IMPORTED = (
    "latentkit.cli.main",
    "latentkit.cli.run_command",
    "latentkit.cli.runs_command",
    "latentkit.cli.explore_command",
    "latentkit.cli.transfer_command",
    "latentkit.cli.tune_command",
    "latentkit.api.commands",
    "latentkit.api.tune",
    "latentkit.api.transfer",
    "latentkit.api.explore",
    "latentkit.explore.exploration_figures",
    "latentkit.builtins.models.autoencoder",
    "latentkit.builtins.datasets.npz",
    "latentkit.builtins.embeddings.pca",
    "latentkit.builtins.embeddings.isomap",
    "latentkit.builtins.tuners.optuna_tuner",
    "latentkit.maps.quality",
    "latentkit.maps.ranks",
    "latentkit.tune.study_report",
    "latentkit.transfer.transfer_figures",
    "matplotlib.backends.backend_agg",
    "sklearn.linear_model",
    "sklearn.cluster",
    "scipy.stats",
)


def warm_up() -> None:
    """Import what the commands need; numba and torch start no threads, which forks would lose."""
    os.environ.update(OMP_NUM_THREADS="1", NUMBA_NUM_THREADS="1", MPLBACKEND="agg")
    os.environ.update(LATENTKIT_MLFLOW="off", LATENTKIT_TENSORBOARD="off", LATENTKIT_PLUGINS="")
    for name in IMPORTED:
        import_module(name)
    import torch

    torch.set_num_threads(1)


def draw_blank_figures() -> None:
    """Replace the figures of reports with blank ones: drawing takes most of a short run."""
    from latentkit.report import assemble, page
    from latentkit.tune import study_report

    buffer = io.BytesIO()
    Image.new("L", (1, 1), 255).save(buffer, "png")
    png = buffer.getvalue()

    def blank(
        folder: Any, commit: Any, drawings: Any, missing: Any, *, svg: bool = False
    ) -> list[page.Picture]:
        for drawing in drawings:
            commit(f"figures/{drawing.name}.png", lambda path: path.write_bytes(png))
        return [page.Picture(one.title, "", png, key=one.name) for one in drawings]

    for module in (assemble, study_report):
        module.drawn = blank  # type: ignore[attr-defined]


def write_images(path: Path, count: int = 150) -> None:
    """Write a data set of handwritten digits that is trained on in a moment."""
    digits = load_digits()
    images = (digits.images * 15.9).astype(np.uint8)[:, None]
    train, test = slice(0, count), slice(count, count + count // 2)
    np.savez(
        path,
        x_train=images[train],
        y_train=digits.target[train],
        x_test=images[test],
        y_test=digits.target[test],
    )


def start(arguments: list[str], folder: Path, before: Callable[[], None] = lambda: None) -> int:
    """Run a command in a fork, in ``folder``, and return its process id.

    Its output goes to the files ``out`` and ``err`` beside the folder.
    """
    child = os.fork()
    if child:
        return child
    code = 99
    try:
        for stream, name in ((1, "out"), (2, "err")):
            handle = os.open(_output(folder, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, stream)
        os.chdir(folder)
        sys.argv = ["latentkit", *arguments]
        before()
        from latentkit.cli.main import main

        main()
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        sys.stderr.flush()
        os._exit(code)


def run(
    arguments: list[str], folder: Path, before: Callable[[], None] = lambda: None
) -> tuple[int, str]:
    """Run a command in a fork; return its exit code and what it wrote to stderr."""
    _, status = os.waitpid(start(arguments, folder, before), 0)
    return os.waitstatus_to_exitcode(status), errors_of(folder)


def errors_of(folder: Path) -> str:
    """Return what the last command in ``folder`` wrote to stderr."""
    return _output(folder, "err").read_text("utf-8", "replace")


def _output(folder: Path, name: str) -> Path:
    return folder.with_name(f"{folder.name}.{name}")


_VARY = {"run.json", "events.jsonl", "report.html", "report.json", "config.toml"}
"""Files with times in them, or that name the folder."""


def hashes(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file of results below a folder of runs, without times."""
    found = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if path.suffix not in (".safetensors", ".npz", ".json", ".png"):
            continue
        if path.name in _VARY or "checkpoints" in parts or path.name.startswith("."):
            continue
        content = path.read_bytes()
        if path.suffix == ".json":
            document = json.loads(content)
            if isinstance(document, dict):
                document.pop("sha256", None)  # of the whole document, seconds included
            # A transfer names the path of its parent, which lies in the same folder.
            content = repr(_without_seconds(document)).replace(str(folder), "FOLDER").encode()
        found["/".join(parts)] = hashlib.sha256(content).hexdigest()
    return found


def _without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_seconds(v) for k, v in value.items() if "seconds" not in k}
    return [_without_seconds(one) for one in value] if isinstance(value, list) else value


def leftovers(folder: Path) -> list[str]:
    """Return the names of temporary files below a folder of runs."""
    return [path.name for path in folder.rglob(".writing-*")]
