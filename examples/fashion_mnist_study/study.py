"""The reference study: from images to a tuned model, with one page of results.

python examples/fashion_mnist_study/study.py                             in full, on Fashion-MNIST
python examples/fashion_mnist_study/study.py --quick                     in minutes, on fewer images
python examples/fashion_mnist_study/study.py --quick --dataset digits    with no download

story.toml has the commands. After Ctrl-C, kill or a power cut, run the same command to resume.
"""

import argparse
import hashlib
import os
import shlex
import sys
import tomllib
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Any

from latentkit.cli.main import cli

sys.path.append(str(Path(__file__).parents[1]))  # for the module that the studies share
from chapters import Chapter, Chapters, finish

HERE = Path(__file__).parent
FULL = {
    "how": "The study in full.",
    "size": "--epochs 10",
    "transfer_size": "--epochs 10",
    "trials": "30",
    "search": "",
    "part": "",
    "maps": "--embed pca --embed tsne --embed isomap --embed umap",
    "certain": "--embed umap",
    "fits": "8",
    "transfer_maps": "--embed pca --embed tsne --embed isomap",
    "tuned_maps": "--embed pca --embed tsne",
}
QUICK = {
    **FULL,
    "how": "A quick look with few epochs, trials and images, too short for conclusions.",
    "size": "--epochs 5 -o training.batch_size=32",
    "transfer_size": "--epochs 3",
    "fits": "3",
    "trials": "3",
    "transfer_maps": "--embed pca --embed tsne",
    "tuned_maps": "--embed pca",
}
PART = "-o dataset.n_train=3000 -o dataset.n_test=1000"
ENCODER = (
    "latentkit run --config $here/encoder.toml --dataset $dataset $part $size $views"
    " --name encoder --out $out"
)
CLASSES = {"fashion-mnist": ("Bag", "Coat"), "digits": ("8", "3")}  # for the arithmetic


def main() -> None:
    """Run the commands of every chapter, then write the page and print the seconds."""
    chosen = arguments()
    out = Path(chosen.out)
    out.mkdir(parents=True, exist_ok=True)
    story = tomllib.loads((HERE / "story.toml").read_text(encoding="utf-8"))
    story = filled(story, values_of(chosen, out))
    chapters = Chapters(out / "chapters.json", out, out / "study.html")
    texts = [path.read_text() for path in sorted(HERE.glob("[!s]*.toml"))]
    for one in story["chapter"]:
        made = hashlib.sha256("\n".join([*one["commands"], *texts]).encode()).hexdigest()
        chapters.add(one, partial(carry_out, one["commands"]), made)
    chapters.write_page(story["title"], story["subtitle"])


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
    values = {
        **(QUICK if chosen.quick else FULL),
        "part": PART if chosen.quick and chosen.dataset == "fashion-mnist" else "",
        "dataset": chosen.dataset,
        "plus": plus,
        "minus": minus,
        "here": shlex.quote(os.path.relpath(HERE)),
        "examples": shlex.quote(os.path.relpath(HERE.parent)),
        "out": shlex.quote(str(out)),
        "views": "-o model.flip=false" if chosen.dataset == "digits" else "",
        **dict(text.split("=", 1) for text in chosen.set),
    }
    there = find_spec("latentkit_lightly") is not None
    if not there:
        print("left out: an encoder without a decoder, which needs the plugin latentkit-lightly")
    return {
        **values,
        "encoder": "encoder" if there else "",
        "out_encoder": f"{values['out']}/encoder" if there else "",
        "train_encoder": Template(ENCODER).substitute(values) if there else "",
    }


def filled(value: Any, values: dict[str, str]) -> Any:
    """Replace the $NAMES; leave out empty texts of lists, and repeated spaces of commands."""
    if isinstance(value, dict):
        return {key: filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [found for inner in value if (found := filled(inner, values))]
    text = Template(value).substitute(values)
    return " ".join(text.split()) if text.startswith("latentkit ") else text


def carry_out(commands: list[str]) -> Chapter:
    """Run a chapter's commands; what they have done before, they do not repeat."""
    for command in commands:
        print(f"$ {command}", flush=True)
        cli(shlex.split(command)[1:], prog_name="latentkit", standalone_mode=False)
    return {}


if __name__ == "__main__":
    finish(main)
