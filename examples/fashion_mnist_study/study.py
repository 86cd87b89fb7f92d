"""The reference study: from images to a tuned model, and one page that tells it.

python examples/fashion_mnist_study/study.py                             in full, on Fashion-MNIST
python examples/fashion_mnist_study/study.py --quick                     in minutes, on a part of it
python examples/fashion_mnist_study/study.py --quick --dataset digits    with no download

What is done stands in story.toml. Called again after Ctrl-C, kill or a power cut, it goes on.
"""

import argparse
import hashlib
import json
import os
import shlex
import sys
import time
from pathlib import Path
from string import Template
from typing import Any

import latentkit as lk
from latentkit.cli.main import cli
from latentkit.config import read_config_file
from latentkit.errors import LatentkitError

HERE = Path(__file__).parent
FULL = {
    "how": "The study in full.",
    "epochs": "10",
    "transfer_epochs": "10",
    "trials": "30",
    "search": "",
    "part": "",
    "maps": "--embed pca --embed tsne --embed isomap --embed umap",
    "transfer_maps": "--embed pca --embed tsne --embed isomap",
    "tuned_maps": "--embed pca --embed tsne",
}
QUICK = {
    **FULL,
    "how": "A quick look, too short to judge by: few epochs, few trials, few images.",
    "epochs": "2",
    "transfer_epochs": "2",
    "trials": "3",
    "transfer_maps": "--embed pca --embed tsne",
    "tuned_maps": "--embed pca",
}
PART = "-o dataset.n_train=3000 -o dataset.n_test=1000"
CLASSES = {"fashion-mnist": ("Bag", "Coat"), "digits": ("8", "3")}  # of the arithmetic


def main() -> None:
    """Carry out the commands of every chapter, then write the page and print the seconds."""
    chosen = arguments()
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    values = values_of(chosen, out)
    story = filled(read_config_file(HERE / "story.toml"), values)
    times = out / "timings.json"
    try:
        for chapter in story["chapter"]:
            carry_out(chapter, out, times)
        rows = seconds_of(story, times)
        story["chapter"].append({"title": "Time", "header": ["", "seconds"], "rows": rows})
        page = lk.write_page(story, root=out, out=out / "study.html")
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on")
    except LatentkitError as error:
        sys.exit(f"study: error: {error}")
    for step, seconds in rows:
        print(f"{step:50} {seconds:>10}")
    print(f"page {page}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="few images, epochs and trials")
    parser.add_argument("--dataset", default="fashion-mnist", choices=CLASSES)
    parser.add_argument("--out", help="folder of all that is made [study-DATASET, with -quick]")
    told = ", ".join(FULL)
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help=f"another value of {told}"
    )
    chosen = parser.parse_args()
    chosen.out = chosen.out or f"study-{chosen.dataset}{'-quick' if chosen.quick else ''}"
    for text in chosen.set:
        if text.partition("=")[0] not in FULL:
            parser.error(f"--set {text}: there is {told}")
    return chosen


def values_of(chosen: argparse.Namespace, out: Path) -> dict[str, str]:
    """Return what stands in the story for each $NAME."""
    plus, minus = CLASSES[chosen.dataset]
    return {
        **(QUICK if chosen.quick else FULL),
        "part": PART if chosen.quick and chosen.dataset == "fashion-mnist" else "",
        "dataset": chosen.dataset,
        "plus": plus,
        "minus": minus,
        "here": shlex.quote(os.path.relpath(HERE)),
        "examples": shlex.quote(os.path.relpath(HERE.parent)),
        "out": shlex.quote(str(out)),
        **dict(text.split("=", 1) for text in chosen.set),
    }


def filled(value: Any, values: dict[str, str]) -> Any:
    """Return a story with its $NAMES replaced; spaces that this leaves in a row become one."""
    if isinstance(value, dict):
        return {key: filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values) for inner in value]
    text = Template(value).substitute(values)
    return " ".join(text.split()) if text.startswith("latentkit ") else text


def carry_out(chapter: dict[str, Any], out: Path, times: Path) -> None:
    """Do a chapter's commands, unless the same ones were done and what they made is there."""
    known = json.loads(times.read_text()) if times.exists() else {}
    texts = [path.read_text() for path in sorted(HERE.glob("[!s]*.toml"))]
    made = hashlib.sha256("\n".join([*chapter["commands"], *texts]).encode()).hexdigest()
    before = known.get(chapter["title"], {})
    sources = {out / figure.split("/")[0] for figure in chapter["figures"]}
    if before.get("made") == made and all(path.exists() for path in sources):
        return
    broken_off = before.get("broken_off", -1) + 1 if "made" not in before else 0
    keep(times, {**known, chapter["title"]: {"broken_off": broken_off}})
    started = time.perf_counter()
    for command in chapter["commands"]:
        print(f"$ {command}", flush=True)
        cli(shlex.split(command)[1:], prog_name="latentkit", standalone_mode=False)
    seconds = round(time.perf_counter() - started, 2)
    done = {"seconds": seconds, "broken_off": broken_off, "made": made}
    keep(times, {**known, chapter["title"]: done})


def keep(path: Path, document: dict[str, Any]) -> None:
    """Write a JSON file so that a reader never sees half of it."""
    half = path.with_suffix(".part")
    half.write_text(json.dumps(document, indent=2))
    half.replace(path)


def seconds_of(story: dict[str, Any], times: Path) -> list[list[str]]:
    """Return how long each chapter took; of one that was broken off, the call that finished it."""
    known = [(one["title"], json.loads(times.read_text())[one["title"]]) for one in story["chapter"]]
    rows = [
        [f"{title} (gone on with)" if one["broken_off"] else title, f"{one['seconds']:.1f}"]
        for title, one in known
    ]
    return [*rows, ["together", f"{sum(one['seconds'] for _, one in known):.1f}"]]


if __name__ == "__main__":
    main()
