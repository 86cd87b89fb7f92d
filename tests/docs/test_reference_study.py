"""The reference study ends with all its parts and one page, even if it is killed twice."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from html import unescape
from importlib.util import find_spec
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

STUDY = Path(__file__).parents[2] / "examples/fashion_mnist_study"
LIMIT = 600  # most seconds of a step on a slow machine
SMALL = {
    "size": "--epochs 1 -o training.batch_size=64 -o threads=1",
    "transfer_size": "--epochs 1 -o threads=1",
    "trials": "2",
    "maps": "--embed pca --embed isomap",
    "certain": "--embed pca",
    "fits": "2",
    "transfer_maps": "--embed pca",
    "tuned_maps": "",
}


ENCODER = {"encoder"} if find_spec("latentkit_lightly") else set()


def command(out: Path) -> list[str]:
    changes = [word for key, value in SMALL.items() for word in ("--set", f"{key}={value}")]
    script = str(STUDY / "study.py")
    return [sys.executable, script, "--quick", "--dataset", "digits", "--out", str(out), *changes]


def one_thread() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def killed_once_there_is(path: Path, out: Path) -> None:
    """Start the study and kill it as soon as a file exists."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(command(out), stdout=quiet, stderr=quiet, env=one_thread())
    end = time.monotonic() + LIMIT
    while not path.exists() and process.poll() is None and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert path.exists()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Return the study's folder, its output, and the files committed before each kill."""
    out = tmp_path_factory.mktemp("study")
    committed = {}
    for point in ("default/run.json", "tuning/study.json"):
        killed_once_there_is(out / point, out)
        for name in ("reference", "vae"):
            path = out / name / "model.safetensors"
            if path.exists():
                committed.setdefault(path, path.stat().st_mtime_ns)
    done = subprocess.run(
        command(out), capture_output=True, text=True, check=False, env=one_thread()
    )
    assert done.returncode == 0, done.stderr
    return out, done.stdout, committed


@pytest.fixture(scope="module")
def page(study) -> str:
    return (study[0] / "study.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def report() -> dict:
    return tomllib.loads((STUDY / "story.toml").read_text(encoding="utf-8"))


def test_work_committed_before_a_kill_is_not_repeated(study):
    _, _, committed = study
    assert {path.parent.name for path in committed} == {"reference", "vae"}
    for path, written in committed.items():
        assert path.stat().st_mtime_ns == written


def test_each_piece_is_an_ordinary_run_transfer_or_study(study):
    import latentkit as lk

    out = study[0]
    runs = {path.parent.name for path in out.glob("*/run.json")}
    assert runs == {
        "reference", "default", "probe", "finetune", "scratch", "vae", "denoising", "tuned",
    } | ENCODER  # fmt: skip
    assert {lk.open(out / name).status for name in runs} == {"finished"}
    assert lk.open(out / "default").maps == ["isomap", "pca"]
    found = lk.open_study(out / "tuning")
    assert len(found.result.trials) == 2


def test_the_duration_of_every_chapter_is_stored_and_printed(study, report):
    out, printed, _ = study
    times = json.loads((out / "chapters.json").read_text())
    titles = [chapter["title"] for chapter in report["chapter"]]
    assert list(times) == titles
    assert all(one["seconds"] > 0 for one in times.values())
    rows = [re.split(r"\s{2,}", line)[0] for line in printed.splitlines()]
    assert rows[-len(titles) - 2 : -2] == titles
    assert rows[-2].startswith("Together")


def test_the_page_shows_the_chapters_in_order(page, report):
    titles = [chapter["title"] for chapter in report["chapter"]]
    shown = re.findall(r"<h2>(.*?)</h2>", page)
    assert shown == [*titles, "Time", "Environment"]


def test_every_figure_of_the_study_is_on_the_page(page, report):
    """Except for optional figures, such as parameter importance after only two trials."""
    ids = set(re.findall(r'<figure id="figure-(.*?)">', page))
    for reference in (name for chapter in report["chapter"] for name in chapter.get("figures", ())):
        name = reference.removesuffix("?").replace("/", "-")
        fits = re.compile(re.escape(name).replace(r"\*", ".*"))
        assert reference.endswith("?") or any(fits.fullmatch(one) for one in ids), reference
    assert {"default-weights-epoch-0", "default-weights-epoch-1", "default-map-isomap"} <= ids
    assert {"finetune-features-pca", "finetune-confusion-change", "tuning-history"} <= ids


def test_the_page_shows_every_command_as_it_was_executed(study, page):
    out = study[0]
    page = re.sub("</?span>", "", page)  # spans keep the words of a line whole
    commands = re.findall(r"<li><code>(latentkit .*?)</code></li>", page)
    assert len(commands) == 23 + len(ENCODER)
    assert not [one for one in commands if "$" in one]
    kinds = [one.split()[1] for one in commands]
    assert kinds[:7] == ["data", "data", "run", "run", "embed", "embed", "maps"]
    assert kinds.count("transfer") == 3
    assert f"--trials 2 --fix model.latent_dim --name tuning --out {out}" in page


def test_the_page_links_the_check_the_explorer_and_the_comparison(study, page):
    linked = set(re.findall(r'<a href="([^#].*?)"', page))
    assert linked == {"data-check.html", "explorer.html", "encoders.html"}
    assert all((study[0] / name).stat().st_size > 5_000 for name in linked)
    assert "worth its training" in page


def test_the_page_says_how_certain_a_map_is(page):
    assert re.search(r"Fitted 2 times again, .* moves by \d+ %", page)
    assert "<h3>All maps side by side</h3>" in page


def test_the_page_loads_no_external_resource(page):
    assert "default-src 'none'" in unescape(page)
    assert {source[:22] for source in re.findall(r'\bsrc="(.*?)"', page)} == {
        "data:image/png;base64,"
    }
    assert "<script" not in page


def test_the_page_of_a_finished_study_is_rewritten_without_repeating_work(study):
    out = study[0]
    before = {path: path.stat().st_mtime_ns for path in out.glob("*/run.json")}
    done = subprocess.run(command(out), capture_output=True, text=True, check=True)
    assert "$ latentkit" not in done.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before
