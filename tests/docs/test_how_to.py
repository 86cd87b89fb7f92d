"""The commands of the how-to pages run in order, and print the lines that the pages show."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.docs.conftest import DOCS, blocks, write_photos

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("one_cpu", "blank_figures")]

FOLDER = DOCS / "how-to"
FEW = "--epochs 1 -o threads=1 -o model.latent_dim=3 -o model.channels=[4] -o model.hidden=[16]"
PHOTOS = "-o image-folder.size=16"


def page(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text(encoding="utf-8")


def commands(block: str) -> list[str]:
    """Return the commands of a block, with loops written out and continued lines joined."""
    lines = []
    for line in block.replace("\\\n", " ").splitlines():
        loop = re.fullmatch(r"for (\w+) in ([^;]+); do (.+); done", line)
        values = loop[2].split() if loop else [""]
        lines += [loop[3].replace(f"${loop[1]}", one) if loop else line for one in values]
    return lines


def quick(line: str) -> str:
    """Return the command with little to train and few refits of a map."""
    if line.startswith("latentkit run "):
        small = PHOTOS if "image-folder" in line else ""
        return f"{re.sub('--epochs [0-9]+', '', line)} {FEW} {small}"
    return line.replace("--stability 8", "--stability 2")


@pytest.fixture
def follow(tmp_path, monkeypatch, execute) -> Callable[[str], list[str]]:
    """Return a function that runs a page's commands and Python, and returns what each printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str) -> list[str]:
        printed = []
        for language, block in re.findall(r"^```(sh|python)\n(.*?)^```$", page(name), re.M | re.S):
            if language == "python":
                exec(compile(block, f"{name}.py", "exec"), {})
            else:
                printed += [execute(quick(line)) for line in commands(block)]
        return printed

    return run


def headings(text: str) -> list[str]:
    """Return what stands before two spaces in each line, with any number as 0."""
    return [re.sub(r"\d+", "0", line) for line in re.findall(r"^\S.*?(?=  )", text, re.M)]


def test_each_page_is_followed():
    tested = re.findall(r"follow\(\"(.+?)\"\)", Path(__file__).read_text(encoding="utf-8"))
    assert sorted(tested) == sorted(path.stem for path in FOLDER.glob("*.md"))


def test_my_own_photographs(follow):
    for split, name in ((s, n) for s in ("train", "validation", "test") for n in ("hat", "shoes")):
        write_photos(Path("photos") / split / name, 14)
    write_photos(Path("new"), 2)
    printed = follow("my-own-photographs")
    assert Path("check.html").exists()
    assert Path("runs/photos/explorer.html").exists()
    assert Path("runs/photos/report.html").exists()
    header, *rows = Path("latents.csv").read_text(encoding="utf-8").splitlines()
    assert {"novelty_percentile", "error_percentile", "isomap_x"} <= set(header.split(","))
    assert len(rows) == 2
    shown = blocks(page("my-own-photographs"), "text")
    for example, output in zip(shown, printed, strict=False):
        assert [line for line in headings(example) if line not in headings(output)] == []


def test_denoise_a_folder(follow):
    for name in ("hat", "shoes"):
        write_photos(Path("photos") / name, 30)
    run, _ = follow("denoise-a-folder")
    (example,) = blocks(page("denoise-a-folder"), "text")
    assert set(headings(example)) <= set(headings(run))
    noisy, restored = (sorted(Path(name).iterdir()) for name in ("noisy", "restored"))
    assert [path.name for path in restored] == [path.name for path in noisy] != []


def test_is_it_worth_it(follow):
    *_, compared = follow("is-it-worth-it")
    answer = r"conv-ae was( not)? worth its training: its\s+10-NN accuracy"
    assert re.search(answer, compared)
    assert len(re.findall(answer, page("is-it-worth-it"))) == 2
    assert Path("worth-it.html").exists()


def test_which_map(follow):
    *_, maps = follow("which-map")
    (example,) = blocks(page("which-map"), "text")
    columns = re.split("  +", example.splitlines()[0].strip())
    assert len(columns) > 5
    assert set(columns) <= set(re.split("  +", maps.splitlines()[1].strip()))
    assert set(headings(example)) <= set(headings(maps))
    assert Path("maps.png").exists()
