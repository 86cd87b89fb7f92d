"""The page of a multi-run report holds what it names of its sources, and loads nothing."""

import json
import re
import shutil
from html import unescape

import pytest
from click.testing import CliRunner

import latentkit as lk
from latentkit.cli.main import cli
from latentkit.errors import IntegrityError, UserError

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Return a folder with two runs; only the first has a map."""
    root = tmp_path_factory.mktemp("root")
    for name, maps in (("first", ["pca"]), ("second", [])):
        lk.run(epochs=1, options=SMALL, embed=maps, out=root, name=name)
    return root


def page(root, **chapter):
    report = {"title": "A story", "chapter": [{"title": "One", **chapter}]}
    return lk.write_page(report, root=root).read_text(encoding="utf-8")


def test_figures_come_with_their_titles_and_captions(root):
    source = page(root, figures=["first/loss", "first/map-*"])
    assert re.findall(r'<figure id="(.*?)">', source) == [
        "figure-first-loss",
        "figure-first-map-pca",
        "figure-first-map-pca-images",
        "figure-first-map-pca-errors",
    ]
    assert "<h3>Loss over epochs</h3>" in source
    assert "Train: mean over an epoch" in source


def test_titles_name_the_run_if_a_chapter_has_several(root):
    source = page(root, figures=["first/loss", "second/loss"])
    assert "<h3>first: loss over epochs</h3>" in source
    assert "<h3>second: loss over epochs</h3>" in source


def test_figures_of_a_later_exploration_can_be_shown(root):
    done = CliRunner().invoke(cli, ["explore", str(root / "second"), "traversal", "--steps", "3"])
    assert done.exit_code == 0
    assert "<h3>Along each dimension</h3>" in page(root, figures=["second/explore-traversal"])


def test_tables_are_those_of_the_runs_report_and_numbers_have_intervals(root):
    source = page(root, tables=["first/Reconstruction", "first/Maps", "second/Summary"])
    captions = re.findall(r"<caption>(.*?)</caption>", source)
    assert captions == ["first: Reconstruction", "first: Maps", "second: Summary"]
    assert re.search(r'<td class="number">0\.\d{4} \[0\.\d{4}, 0\.\d{4}\]</td>', source)


def test_a_comparison_names_its_runs_instead_of_numbering_them(root):
    source = page(root, compare=["first", "second"])
    assert "Difference from first, image by image" in source
    assert '<th scope="col" class="number">second</th>' in source
    assert "[1]" not in source
    assert "worth its training" in source
    assert "<h3>Accuracy of probes over labels</h3>" in source


def test_commands_texts_and_rows_are_shown_literally(root):
    source = page(
        root,
        text="One & <two>.\n\nThree.",
        commands=["latentkit run --name first"],
        header=["", "seconds"],
        rows=[["training", "1.5"]],
    )
    assert "<p>One &amp; &lt;two&gt;.</p>" in source
    assert "<p>Three.</p>" in source
    assert "<code>latentkit run --name first</code>" in re.sub("</?span>", "", source)
    assert '<td class="number">1.5</td>' in source


def test_files_beside_the_page_are_linked_and_pictures_shown(root):
    shutil.copy(root / "first/figures/loss.png", root / "my own.png")
    source = page(
        root,
        links={"The explorer <here>": "first/explorer.html", "A picture": "my own.png"},
        pictures={"My own": "my own.png"},
    )
    assert '<a href="first/explorer.html">The explorer &lt;here&gt;</a>' in source
    assert '<a href="my%20own.png">A picture</a>' in source
    assert "<h3>My own</h3>" in source


def test_links_start_at_the_folder_of_the_page(root, tmp_path):
    (tmp_path / "notes.txt").write_text("Seen.")
    report = {"title": "A story", "chapter": [{"title": "One", "links": {"Notes": "notes.txt"}}]}
    page = lk.write_page(report, root=root, out=tmp_path / "index.html")
    assert '<a href="notes.txt">Notes</a>' in page.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("chapter", "message"),
    [
        ({"links": {"One": "nowhere.html"}}, "leads to .*nowhere.html, which does not exist"),
        ({"pictures": {"One": "nowhere.png"}}, "picture .*nowhere.png cannot be read"),
        ({"links": {"One": "../page.html"}}, "is not a path in the folder of the page"),
        ({"links": {"One": "https://example.org"}}, "is not a path in the folder of the page"),
        ({"links": {"One": "//etc"}}, "is not a path in the folder of the page"),
        ({"pictures": {"One": "../a.png"}}, "is not a path in the folder of the page"),
    ],
)
def test_a_link_to_what_is_not_beside_the_page_is_refused(root, chapter, message):
    with pytest.raises(UserError, match=message):
        page(root, **chapter)


def test_the_page_loads_nothing_and_runs_no_script(root):
    source = page(root, figures=["first/loss"])
    assert "default-src 'none'" in unescape(source)
    assert set(re.findall(r'\bsrc="([a-z]+:[a-z]+)', source)) == {"data:image"}
    assert "<script" not in source
    assert "http://" not in source


@pytest.mark.parametrize(
    ("chapter", "message"),
    [
        ({"figures": ["first/los"]}, "no figure 'los'.*'loss'"),
        ({"figures": ["frist/loss"]}, "no run or study 'frist'.*'first'"),
        ({"figures": ["loss"]}, "SOURCE/NAME"),
        ({"tables": ["first/Mops"]}, "no table 'Mops'.*'Maps'"),
        ({"figure": ["first/loss"]}, r"chapter 1 \(One\) has no option 'figure'.*'figures'"),
        ({"compare": ["first"]}, "needs at least two runs"),
    ],
)
def test_a_wrong_name_is_reported_with_the_nearest_one(root, chapter, message):
    with pytest.raises(UserError, match=message):
        page(root, **chapter)


def test_optional_figures_and_tables_that_are_missing_are_left_out(root):
    assert "<figure" not in page(root, figures=["second/map-*?"], tables=["second/Maps?"])


def test_a_multi_run_report_without_chapters_is_refused(root):
    with pytest.raises(UserError, match=r"no \[\[chapter\]\]"):
        lk.write_page({"title": "Nothing"}, root=root)


def test_a_changed_picture_is_refused(root):
    path = root / "second/figures/samples.png"
    before = path.read_bytes()
    path.write_bytes(before[:-1])
    try:
        with pytest.raises(IntegrityError, match=r"samples\.png"):
            page(root, figures=["second/samples"])
    finally:
        path.write_bytes(before)


def test_a_study_and_its_trials_are_sources_too(tmp_path):
    record = {
        "title": "Study s",
        "sections": [
            {
                "title": "Trials",
                "tables": [{"title": "", "header": ["trial", "loss"], "rows": [["0", "0.5"]]}],
                "figures": [],
            }
        ],
    }
    (tmp_path / "s").mkdir()
    (tmp_path / "s/report.json").write_text(json.dumps(record))
    assert "<caption>s: Trials</caption>" in page(tmp_path, tables=["s/Trials"])
    with pytest.raises(UserError, match="s is a study"):
        page(tmp_path, compare=["s", "s"])


def test_the_command_writes_the_page_beside_the_runs(root, tmp_path):
    report = tmp_path / "tale.toml"
    report.write_text('title = "T"\n[[chapter]]\ntitle = "C"\nfigures = ["first/loss"]\n')
    done = CliRunner().invoke(cli, ["page", str(report), "--root", str(root)])
    assert done.output.strip() == str(root / "tale.html")
    assert "figure-first-loss" in (root / "tale.html").read_text()
