"""The reference study: from images to a tuned model, with one page of results.

python examples/fashion_mnist_study/study.py                             in full, on Fashion-MNIST
python examples/fashion_mnist_study/study.py --quick                     in minutes, on fewer images
python examples/fashion_mnist_study/study.py --quick --dataset digits    with no download

story.toml has the commands. After Ctrl-C, kill or a power cut, run the same command to resume.
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
    "size": "--epochs 10",
    "transfer_size": "--epochs 10",
    "trials": "30",
    "search": "",
    "part": "",
    "maps": "--embed pca --embed tsne --embed isomap --embed umap",
    "transfer_maps": "--embed pca --embed tsne --embed isomap",
    "tuned_maps": "--embed pca --embed tsne",
}
QUICK = {
    **FULL,
    "how": "A quick look with few epochs, trials and images, too short for conclusions.",
    "size": "--epochs 5 -o training.batch_size=32",
    "transfer_size": "--epochs 3",
    "trials": "3",
    "transfer_maps": "--embed pca --embed tsne",
    "tuned_maps": "--embed pca",
}
PART = "-o dataset.n_train=3000 -o dataset.n_test=1000"
TIME = "If a chapter was interrupted, its seconds are those of the call that finished it."
CLASSES = {"fashion-mnist": ("Bag", "Coat"), "digits": ("8", "3")}  # for the arithmetic


def main() -> None:
    """Run the commands of every chapter, then write the page and print the seconds."""
    chosen = arguments()
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    values = values_of(chosen, out)
    story = filled(read_config_file(HERE / "story.toml"), values)
    try:
        times, chapters = out / "timings.json", story["chapter"]
        seconds = {one["title"]: carry_out(one, out, times) for one in chapters}
        seconds["Together"] = sum(seconds.values())
        rows = [[title, f"{value:.1f}"] for title, value in seconds.items()]
        chapters.append({"title": "Time", "text": TIME, "header": ["", "seconds"], "rows": rows})
        page = lk.write_page(story, root=out, out=out / "study.html")
    except KeyboardInterrupt:
        sys.exit("interrupted; run the same command again to resume")
    except LatentkitError as error:
        sys.exit(f"study: error: {error}")
    for title, value in rows:
        print(f"{title:50} {value:>10}")
    print(f"page {page}")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("--quick", action="store_true", help="few images, epochs and trials")
    parser.add_argument("--dataset", default="fashion-mnist", choices=CLASSES)
    parser.add_argument("--out", help="folder of all results [study-DATASET, with -quick]")
    told = ", ".join(FULL)
    parser.add_argument(
        "--set", metavar="NAME=VALUE", action="append", default=[], help=f"change one of {told}"
    )
    chosen = parser.parse_args()
    chosen.out = chosen.out or f"study-{chosen.dataset}{'-quick' if chosen.quick else ''}"
    for text in chosen.set:
        if text.partition("=")[0] not in FULL:
            parser.error(f"--set {text}: use one of {told}")
    return chosen


def values_of(chosen: argparse.Namespace, out: Path) -> dict[str, str]:
    """Return the value of each $NAME in the file of the page."""
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
    """Replace the $NAMES; in commands, reduce repeated spaces to one."""
    if isinstance(value, dict):
        return {key: filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [filled(inner, values) for inner in value]
    text = Template(value).substitute(values)
    return " ".join(text.split()) if text.startswith("latentkit ") else text


def carry_out(chapter: dict[str, Any], out: Path, times: Path) -> float:
    """Run a chapter's commands, unless the same ones were run and their results exist.

    Returns:
        Seconds that the commands took; for a resumed chapter, those of the last call only.
    """
    known = json.loads(times.read_text()) if times.exists() else {}
    texts = [path.read_text() for path in sorted(HERE.glob("[!s]*.toml"))]
    made = hashlib.sha256("\n".join([*chapter["commands"], *texts]).encode()).hexdigest()
    sources = {out / figure.split("/")[0] for figure in chapter["figures"]}
    before = known.get(chapter["title"], {"made": ""})
    if before["made"] == made and all(path.exists() for path in sources):
        return float(before["seconds"])
    started = time.perf_counter()
    for command in chapter["commands"]:
        print(f"$ {command}", flush=True)
        cli(shlex.split(command)[1:], prog_name="latentkit", standalone_mode=False)
    seconds = round(time.perf_counter() - started, 2)
    known[chapter["title"]] = {"seconds": seconds, "made": made}
    half = times.with_suffix(".part")
    half.write_text(json.dumps(known, indent=2))
    half.replace(times)  # a reader never sees half a file
    return seconds


if __name__ == "__main__":
    main()
