"""The study of photographs ends with one folder to send, and a second call repeats nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from html import unescape
from pathlib import Path

import pytest

import latentkit as lk

pytestmark = pytest.mark.slow

STUDY = Path(__file__).parents[2] / "examples/photographs_study/study.py"


def called(out: Path) -> str:
    """Run the study on few small drawings, and return what it printed."""
    small = ["--quick", "--size", "16", "--epochs", "1", "--out", str(out)]
    command = [sys.executable, str(STUDY), *small]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> tuple[Path, str]:
    """Return the study's folder, and what its first call printed."""
    out = tmp_path_factory.mktemp("photographs")
    return out, called(out)


@pytest.fixture(scope="module")
def page(study) -> str:
    return (study[0] / "share/index.html").read_text(encoding="utf-8")


def test_the_page_begins_with_what_to_look_at(page):
    shown = re.findall(r"<h2>(.*?)</h2>", page)
    assert shown[:2] == ["What to look at", "The photographs"]
    assert shown[-2:] == ["Time", "Environment"]
    assert len(shown) == 11


def test_everything_that_the_page_links_is_in_the_folder_to_send(study, page):
    share = study[0] / "share"
    linked = {name for name in re.findall(r'<a href="(.*?)"', page) if not name.startswith("#")}
    assert {"check.html", "explorer.html"} < linked
    assert [name for name in linked if not (share / name).is_file()] == []
    (packed,) = share.glob("*.latentkit")
    assert packed.name in linked
    assert lk.open(packed).latents("test").ndim == 2


def test_the_page_says_in_numbers_what_was_found(page):
    text = unescape(page)
    assert "400 images in 10 classes" in text
    assert re.search(r"mean squared error of 0\.\d{4} a pixel", text)
    assert "worth its training" in text
    assert re.search(r"With \d\d labels, a classifier", text)
    assert re.search(r"moves by \d+ %", text)


def test_odd_photographs_are_shown_with_their_files(study, page):
    assert "<h3>Odd photographs</h3>" in page
    files = re.findall(r'<th scope="row">(\d/\d+\.png)</th>', page)
    assert len(files) == 16
    assert all((study[0] / "digits" / name).is_file() for name in files)


def test_a_second_call_does_only_what_is_missing(study):
    out, printed = study
    assert printed.count("# ") == 9
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*") if path.is_file()}
    (out / "share/explorer.html").unlink()
    again = called(out)
    assert re.findall("# (.*)", again) == ["Explore"]
    changed = {path for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert {path.relative_to(out).as_posix() for path in changed} == {
        "chapters.json",
        "share/explorer.html",
        "share/index.html",
    }
