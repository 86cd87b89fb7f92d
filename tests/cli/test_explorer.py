"""``latentkit explore RUN``: the page, where it is written, and whether it is opened."""

import webbrowser
from pathlib import Path

import pytest

import latentkit as lk
from latentkit.runs.folder import RunFolder

pytestmark = pytest.mark.usefixtures("blank_figures")


@pytest.fixture
def shown(monkeypatch):
    """Return the list of pages that a browser was asked to open."""
    urls = []
    monkeypatch.setattr(webbrowser, "open", lambda url: urls.append(url) or True)
    return urls


def test_the_page_of_a_finished_run_is_there_already(latentkit, finished, shown):
    before = (finished / "explorer.html").stat()
    ended = latentkit("explore", finished)
    assert (ended.code, ended.err) == (0, "")
    assert Path(ended.out.strip()).absolute() == finished / "explorer.html"
    assert (finished / "explorer.html").stat().st_mtime_ns == before.st_mtime_ns
    assert shown == []  # nobody sits at a terminal


def test_the_browser_opens_the_page_if_asked_to(latentkit, finished, shown, monkeypatch):
    assert latentkit("explore", "last", "--open").code == 0
    assert shown == [(finished / "explorer.html").as_uri()]
    monkeypatch.setattr(webbrowser, "open", lambda url: False)
    ended = latentkit("explore", "--open", "last")
    assert "no browser could be started: open the file in one" in ended.err
    assert ended.out.strip().endswith("explorer.html")


def test_a_missing_page_is_made_again_with_the_same_bytes(latentkit, finished):
    page = finished / "explorer.html"
    before = page.read_bytes()
    page.unlink()
    ended = latentkit("explore", finished, "--no-open")
    assert ended.code == 0, ended.err
    assert "explorer done in" in ended.err
    assert page.read_bytes() == before
    assert "explorer done in" in latentkit("explore", finished, "--again", "--no-open").err


def test_the_page_of_a_stranger_is_written_again_before_it_is_opened(latentkit, finished, shown):
    folder = RunFolder.open(finished)
    hostile = b"<!doctype html><script>alert(1)</script>"
    with folder.writing():
        folder.commit("explorer.html", "explorer", lambda path: path.write_bytes(hostile))
        folder.manifest.write(folder.path)
    ended = latentkit("explore", finished, "--open")
    assert ended.code == 0, ended.err
    assert len(shown) == 1
    assert b"alert(1)" not in (finished / "explorer.html").read_bytes()


def test_other_images_and_several_runs_make_a_page_in_the_working_folder(latentkit, finished):
    ended = latentkit("explore", finished, "--on", 50)
    assert ended.out.strip() == f"{finished.name}-50.html", ended.err
    assert "50 of all 1,797 images" in Path(ended.out.strip()).read_text(encoding="utf-8")
    before = (finished / "run.json").read_bytes()
    assert latentkit("explore", finished, finished).error.endswith(
        "named twice: name each run once"
    )
    ended = latentkit("explore", finished, "--out", "here.html", "--no-open")
    assert ended.out.strip() == "here.html"
    assert (finished / "run.json").read_bytes() == before


def test_a_run_that_can_only_be_read_is_shown_from_a_page_elsewhere(latentkit, finished):
    packed = lk.pack(finished, out="small.latentkit")
    ended = latentkit("explore", packed)
    assert ended.out.strip() == f"{finished.name}-explorer.html", ended.err
    whole = lk.pack(finished, out="whole.latentkit", pictures=True)
    assert latentkit("explore", whole).out.strip().endswith("explorer.html")


def test_images_that_moved_are_found_in_the_given_folder(
    latentkit, fashion_mnist_dir, small, tmp_path
):
    before, after = tmp_path / "before", tmp_path / "after"
    before.mkdir()
    (before / "FashionMNIST").symlink_to(fashion_mnist_dir / "FashionMNIST")
    few = ("-o", "fashion-mnist.n_train=60", "-o", "fashion-mnist.n_test=40")
    begun = latentkit("run", "--dataset", "fashion-mnist", *few, *small, "--data-dir", before, "-q")
    page = Path(begun.out.strip()) / "explorer.html"
    pictures = b'"no_images":null'
    assert pictures in page.read_bytes(), begun.err
    before.rename(after)
    assert latentkit("explore", "last", "--again").code == 0
    assert pictures not in page.read_bytes()
    assert latentkit("explore", "last", "--data-dir", after).code == 0
    assert pictures in page.read_bytes()
    ended = latentkit("explore", "--data-dir", after, "last", "neighbours", "0")
    assert ended.code == 0, ended.err
    ended = latentkit("explore", "last", "neighbours", "0", "--data-dir", before)
    assert "fashion-mnist" in ended.error


def test_all_views_are_drawn_as_figures(latentkit, finished):
    ended = latentkit("explore", finished, "--figures")
    assert ended.code == 0, ended.err
    names = {Path(line).stem for line in ended.out.split()}
    views = ("traversal", "grid", "interpolate", "samples", "arithmetic", "neighbours")
    assert names == {f"explore-{view}" for view in views}
    ended = latentkit("explore", finished, "--figures", "--out", "drawn")
    assert Path("drawn/explore-grid.png").is_file()


def test_items_of_a_file_are_taken_by_every_view(latentkit, finished):
    Path("items.txt").write_text("# latentkit items of it\n0\n\nclass:7:1\n", encoding="utf-8")
    few = ("--items", "items.txt", "--out", "few.png")
    for view in (
        ("neighbours", "--count", 1),
        ("settings",),
        ("interpolate", "--way", "linear", "--steps", 2),
    ):
        ended = latentkit("explore", finished, *view, *few)
        assert ended.code == 0, ended.err
    Path("items.txt").write_text("5", encoding="utf-8")
    for view in (("traversal",), ("arithmetic", "--plus", "1", "--minus", "2")):
        assert latentkit("explore", finished, *view, *few).code == 0
    assert (
        "1 ITEM is needed, not 2"
        in latentkit("explore", finished, "traversal", "--item", 3, *few).error
    )
    assert "2 ITEMs are needed, not 1" in latentkit("explore", finished, "interpolate", *few).error


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"1\ntrain:5\n", "items.txt, line 2: 'train:5' is a training or validation image"),
        (b"1\nsomething\n", "line 2: 'something' is not an item: write a number, or class:NAME"),
        (b"# nothing\n", "items.txt lists no items: write one on each line"),
        (b"\xff\xfe\x00", "items.txt is not text: give a file that lists items"),
        (b"99999\n", "there is no test item 99999: give a number from 0 to 359"),
        (None, "items.txt cannot be read: No such file or directory"),
    ],
)
def test_a_file_that_lists_no_items_is_refused(latentkit, finished, content, message):
    if content is not None:
        Path("items.txt").write_bytes(content)
    ended = latentkit("explore", finished, "neighbours", "--items", "items.txt")
    assert ended.code in (2, 4), ended
    assert message in ended.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--on", "some"], "--on some: should be test, all, or a number of images"),
        (["--on", "0"], "0 images cannot be shown"),
        (["--out", "page.pdf"], "page.pdf should end in .html, so that browsers open it"),
        (["absent"], "there is no run 'absent'"),
        (["gird"], "there is no run and no view 'gird' (did you mean 'grid'?)"),
        (["--figures", "--on", "all"], "--figures draws the views of one run's test images"),
        (["--on", "all", "grid"], "--on belongs to the explorer page: leave it out"),
        (["--open", "grid"], "--open belongs to the explorer page: leave it out"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(latentkit, finished, arguments, message):
    ended = latentkit("explore", finished, *arguments)
    assert ended.code == 2, ended
    assert message in ended.error


def test_an_unfinished_run_is_completed_first(latentkit, finished):
    for name in ("evaluation.json", "explorer.html"):
        (finished / name).unlink()
    assert latentkit("explore", finished, "--no-open").code == 0
    assert (finished / "evaluation.json").exists()
