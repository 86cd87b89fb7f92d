"""What is in a folder of photographs? Encoders, maps, odd pictures and a classifier, on one page.

python examples/photographs_study/study.py photos           in full
python examples/photographs_study/study.py photos --quick   in minutes, with small images
python examples/photographs_study/study.py --quick          without photographs: on small drawings

photos is a folder of image files; folders in it are classes. Without it, the study takes the folder
clothing in LATENTKIT_DATA, or draws digits. Everything is written to study-photographs
(study-photographs-quick), and its folder share is what to look at and to send: open index.html.
After Ctrl-C, kill or a power cut, run the same command to resume.
"""

import argparse
import hashlib
import os
import sys
from dataclasses import asdict, dataclass
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

import latentkit as lk
from latentkit.figures.image_grids import image_rows

sys.path.append(str(Path(__file__).parents[1]))  # for the module that the studies share
from chapters import Chapter, Chapters, finish

MAPS = ["pca", "isomap", "tsne", "umap"]
ODD = 8  # pictures to show


@dataclass(frozen=True)
class Study:
    """What to study, and how long; for the classifier, None is as many epochs as it chooses."""

    photos: Path
    out: Path
    size: int = 64
    epochs: int = 15
    fits: int = 8
    labels: tuple[str, ...] = ("10%", "100%")
    label_epochs: int | None = None
    seeds: int = 3

    @property
    def runs(self) -> Path:
        """The folder of runs, one for each encoder and one for the classifier."""
        return self.out / "runs"

    @property
    def share(self) -> Path:
        """The folder of the pages and of the packed run."""
        return self.out / "share"

    @property
    def encoders(self) -> list[str]:
        """The models to train; the last one learns without a decoder, if it is installed."""
        return ["conv-ae", "conv-vae", *(["vicreg"] if find_spec("latentkit_lightly") else [])]

    def open(self, name: str) -> lk.Run:
        """Open a run; those of encoders are named after their model."""
        return lk.open(name, runs=self.runs)


QUICK = {"size": 32, "epochs": 3, "fits": 3, "labels": ("10%",), "label_epochs": 10, "seeds": 2}


def check(study: Study) -> Chapter:
    """Look at the files before any training."""
    found = lk.check_data(study.photos, out=study.share / "check.html")
    text = f"""{len(found):,} images in {len(found.class_names) or "no"} classes. Look at the \
files before you train: a test image that is also a training image makes every figure too good, \
and the crop to squares may cut away what matters."""
    lost = "none" if found.lost is None else f"{found.lost.mean():.0%}"
    rows = [
        ["Files that cannot be read, and are left out", f"{len(found.unreadable):,}"],
        ["Groups or pairs of files that show the same picture", f"{len(found.groups):,}"],
        ["Test images that are also training images", f"{len(found.in_training):,}"],
        ["Share of a picture that the crop cuts away, in the mean", lost],
    ]
    links = {"The check, with pictures of what it found": "check.html"}
    return {"text": text, "header": ["", "found"], "rows": rows, "links": links}


def train(study: Study) -> Chapter:
    """Train each encoder on the same images."""
    with lk.progress() as listener:
        for model in study.encoders:
            lk.run(
                model=model,
                dataset="image-folder",
                options={
                    "dataset.path": str(study.photos),
                    "dataset.size": study.size,
                    "dataset.unreadable": "skip",
                    "umap.stability": study.fits,
                },
                embed=["umap"],
                epochs=study.epochs,
                name=model,
                runs=study.runs,
                listener=listener,
            )
    card = study.open("conv-ae").evaluation
    own, pca = card["reconstruction"]["mse"], card["baselines"]["pca"]["mse"]
    text = f"""An autoencoder (conv-ae) and a variational one (conv-vae) learn to rebuild an image \
from few numbers; vicreg learns that two views of one image belong together, and has no decoder. \
Epochs of each: {study.epochs}.

conv-ae rebuilds test images with a mean squared error of {own["value"]:.4f} a pixel. PCA with as \
many numbers, which needs no training, has {pca["value"]:.4f}. In the pictures, look for what is \
lost: fine patterns go first."""
    if "vicreg" not in study.encoders:
        text += "\n\nvicreg is left out: to add it, run pip install ./plugins/latentkit-lightly."
    return {
        "text": text,
        "figures": ["conv-ae/reconstructions", "conv-vae/reconstructions", "conv-vae/prior"],
    }


def compare(study: Study) -> Chapter:
    """Put the encoders beside PCA and raw pixels."""
    best, accuracy = best_encoder(study)
    text = """Which encoder is worth its training? Without labels, look at the error. With labels, \
look at the accuracy of the probes, which are simple classifiers on what an encoder gives: if an \
image and its ten nearest ones are of one class, the encoder keeps what makes them alike."""
    if accuracy:
        text += f" {best} has the highest 10-NN accuracy, {accuracy:.2f}, and is used below."
    return {"text": text, "compare": study.encoders}


@cache
def best_encoder(study: Study) -> tuple[str, float]:
    """Return the trained encoder with the best 10-NN accuracy, and this accuracy.

    Without labels, it is the autoencoder, with an accuracy of 0.
    """
    rows = lk.compare(*study.encoders, runs=study.runs)["encoders"]
    accuracies = {
        row["runs"][0]: row["figures"]["knn 100%"]["value"]
        for row in rows
        if row["kind"] != "baseline" and "knn 100%" in row["figures"]
    }
    best = max(accuracies, key=accuracies.__getitem__, default="conv-ae")
    return best, accuracies.get(best, 0.0)


def make_maps(study: Study) -> Chapter:
    """Draw four maps of the best encoder, and ask each how certain it is."""
    best, _ = best_encoder(study)
    run = lk.embed(best, MAPS, stability=study.fits, runs=study.runs)
    found = run.compare_maps()
    near = found["recommended"]["neighbours"]
    text = f"""A map shows many dimensions in two, so each one is wrong somewhere. To see which \
images are alike, use {near["map"]}: {near["why"]}. Each map was fitted {study.fits} times more, \
with other seeds and four fifths of the images: the table says how far points moved."""
    return {
        "text": text,
        "header": ["map", "what may be read from it"],
        "rows": [[one["map"], one["reading"]] for one in found["maps"]],
        "figures": [f"{best}/map-{near['map']}-images", f"{best}/map-{near['map']}-errors?"],
    }


def explore(study: Study) -> Chapter:
    """Write one explorer page of all encoders."""
    best, _ = best_encoder(study)
    models = sorted(study.encoders, key=lambda model: model != best)  # the first one opens
    page = lk.explore.page(
        [study.open(model) for model in models], out=study.share / "explorer.html"
    )
    text = """The explorer has the maps of all encoders, true distances and the decoders in one \
file, which needs no network. Point at a picture to see its true neighbours, hold Shift and drag \
to select some, and click the small maps to see what moves from one to the other."""
    return {"text": text, "links": {"Open the explorer": page.name}}


def find_odd(study: Study) -> Chapter:
    """Find the photographs that the encoders have most trouble with."""
    best, _ = best_encoder(study)
    network = study.open("conv-ae")
    rebuilt = network.encode(study.photos, maps=[], unreadable="skip")
    placed = study.open(best).encode(study.photos, maps=[], unreadable="skip")
    hard = np.argsort(-rebuilt.errors)[:ODD]
    far = np.argsort(-placed.novelty)[:ODD]
    files = [rebuilt.names[row] for row in (*hard, *far)]
    _, images = next(network.given_images(files).batches())
    rows = [
        ("hard to rebuild", images[:ODD]),
        ("rebuilt", network.reconstruct(files[:ODD])),
        ("far from\ntraining", images[ODD:]),
    ]
    image_rows(rows, "Odd photographs").savefig(study.share / "odd.png", dpi=160)
    text = f"""The first row shows the images with the largest error of all {len(rebuilt):,}, the \
second what conv-ae makes of them. The last row shows the images that are farthest from their \
nearest training image, in the latents of {best}. Training images are never far, because each is \
its own nearest. Odd does not mean bad: look for wrong files, rare things, and small classes."""
    values = [*rebuilt.errors[hard], *placed.novelty[far]]
    reasons = ["error", "distance"]
    return {
        "text": text,
        "pictures": {"Odd photographs": "odd.png"},
        "header": ["file", "large is its", "value"],
        "rows": [
            [os.path.relpath(file, study.photos), reasons[number // ODD], f"{value:.3g}"]
            for number, (file, value) in enumerate(zip(files, values, strict=True))
        ],
    }


def classify(study: Study) -> Chapter:
    """Train classifiers on the best encoder with few labels and with all."""
    best, accuracy = best_encoder(study)
    if not accuracy:
        return {"text": "Left out, because these images have no classes."}
    with lk.progress() as listener:
        run = lk.transfer(
            best,
            mode="all",
            labels=study.labels,
            seeds=study.seeds,
            epochs=study.label_epochs,
            embed=[],
            name="classifier",
            runs=study.runs,
            listener=listener,
        )
    rows = [one for one in run.evaluation["comparison"]["rows"] if one["labels"] == study.labels[0]]
    values = {one["mode"]: one["accuracy"]["value"] for one in rows}
    n_labels = rows[0]["n_labels"]
    text = f"""Photographs are easy to have, labels take work. With {n_labels:,} labels, a \
classifier on the fixed encoder of {best} has an accuracy of {values["probe"]:.2f}, one that \
trains the encoder, too, {values["finetune"]:.2f}, and the same network from random weights \
{values["scratch"]:.2f}. Learning without labels has helped if the first two are clearly above \
the last; the table has intervals."""
    return {
        "text": text,
        "tables": ["classifier/Means over*"],
        "figures": ["classifier/efficiency?", "classifier/confused?"],
    }


def pack(study: Study) -> Chapter:
    """Pack the best run, and say what the shared folder has."""
    best, _ = best_encoder(study)
    packed = lk.pack(best, out=study.share / f"{best}.latentkit", runs=study.runs)
    text = f"""This folder is what to send: the pages show your photographs, and the packed run \
has the trained encoder without them. On another machine, lk.open("{packed.name}").encode("new") \
encodes the images of a folder new, and says how unlike yours they are. Latents still say \
something about images, so do not publish the packed run if your photographs are private."""
    return {"text": text, "links": {f"The packed run, {packed.name}": packed.name}}


def look(study: Study) -> Chapter:
    """Say in short what was found, and link every page."""
    best, _ = best_encoder(study)
    answer = lk.compare(*study.encoders, runs=study.runs)["answer"]["text"]
    near = study.open(best).compare_maps("neighbours")["recommended"]["neighbours"]["map"]
    text = f"""{answer}

Open the explorer first, and choose the {near} map of {best} there: it shows best which \
photographs are alike. The check shows what the folder has, and what may be wrong with it. The \
chapters below explain each step with its numbers."""
    return {
        "text": text,
        "links": {
            "The explorer: maps, true neighbours and decoders": "explorer.html",
            "The check: sizes, faults and duplicates of the files": "check.html",
        },
    }


CHAPTERS = {
    "The photographs": check,
    "Three ways to learn": train,
    "Was it worth it?": compare,
    "Maps, and how certain they are": make_maps,
    "Explore": explore,
    "Odd photographs": find_odd,
    "A classifier with few labels": classify,
    "Take it with you": pack,
    "What to look at": look,
}


def main() -> None:
    """Do each chapter, then write the page, which begins with what to look at."""
    study = chosen()
    study.share.mkdir(parents=True, exist_ok=True)
    recipe = f"{asdict(study)} {study.encoders} {Path(__file__).read_text()}"
    made = hashlib.sha256(recipe.encode()).hexdigest()
    chapters = Chapters(study.out / "chapters.json", study.runs, study.share / "index.html")
    for title, work in CHAPTERS.items():
        chapters.add({"title": title}, partial(work, study), made)
    chapters.done.insert(0, chapters.done.pop())
    subtitle = f"Folder {study.photos.name}, {study.size} pixels a side"
    chapters.write_page("What is in these photographs?", subtitle)


def chosen() -> Study:
    """Read the command line; without photographs, draw some."""
    form = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=form)
    parser.add_argument("photos", nargs="?", type=Path, help="folder of images")
    parser.add_argument("--quick", action="store_true", help="small images, few epochs and seeds")
    parser.add_argument("--out", type=Path, help="folder of all results")
    parser.add_argument("--size", type=int, help="pixels a side of the images")
    parser.add_argument("--epochs", type=int, help="passes over the training images")
    asked = parser.parse_args()
    out = asked.out or Path(f"study-photographs{'-quick' if asked.quick else ''}")
    photos = asked.photos or Path(os.environ.get("LATENTKIT_DATA", "")) / "clothing"
    if asked.photos is None and not photos.is_dir():
        photos = draw_digits(out / "digits")
    photos = photos.absolute()  # so that runs can be resumed from another folder
    given = {key: value for key in ("size", "epochs") if (value := getattr(asked, key))}
    return Study(photos, out, **{**(QUICK if asked.quick else {}), **given})


def draw_digits(folder: Path, each: int = 40) -> Path:
    """Write handwritten digits as image files, a folder a class, unless they are there."""
    digits = lk.dataset("digits")
    print(f"no folder is named, so this takes {10 * each} digits, written to {folder}")
    for label, name in enumerate(digits.class_names):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for row in np.flatnonzero(digits.labels == label)[:each]:
            path = folder / name / f"{row}.png"
            if not path.exists():
                Image.fromarray(digits.images[row, 0]).resize((64, 64)).save(path)
    return folder


if __name__ == "__main__":
    finish(main)
