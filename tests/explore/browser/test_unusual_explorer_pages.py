"""Explorer pages of unusual data, damaged ones, and ones with hostile names, in Chromium."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

import numpy as np
import pytest
import torch

from latentkit.explore.recorded_decoder import record_decoder

from .explorer_browser import digits_page
from .explorer_pages import PageWriter

pytestmark = pytest.mark.browser

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"></script><script>alert(2)</script>',
    "</style><link rel=stylesheet href=http://leak.invalid/a.css>",
    "' onmouseover='alert(3)",
    '=1+1,"a"',
)


def made(
    count: int = 60,
    dim: int = 3,
    classes: int = 3,
    shape: tuple[int, int, int] = (1, 8, 8),
    maps: int = 1,
) -> PageWriter:
    random = np.random.default_rng(0)
    latents = random.normal(size=(count, dim)).astype("f4")
    page = PageWriter(count)
    if classes:
        names = [f"class {number}" for number in range(classes)]
        page.labels(np.arange(count) % classes, names)
    page.images(random.integers(0, 256, (count, *shape), np.uint8))
    space = page.space(latents)
    for number in range(maps):
        page.map(space, f"map{number}", random.normal(size=(count, 2)))
    return page


def no_images() -> PageWriter:
    page = made()
    page.header["items"]["images"] = None
    page.header["items"]["no_images"] = "The images are no longer in place."
    return page


def no_latents() -> PageWriter:
    page = made()
    page.header["spaces"][0]["latents"] = None
    return page


def values_missing() -> PageWriter:
    page = made()
    values = np.where(np.arange(60) % 3, np.nan, 1.0)
    space = page.header["spaces"][0]
    page.column(space, "error", "error", values)
    page.column(space, "all", "nothing measured", np.full(60, np.nan))
    page.map(space, "nan", np.ones((60, 2)), trust=values)
    return page


def in_three_dimensions() -> PageWriter:
    page = made(maps=0)
    page.map(page.header["spaces"][0], "pca", np.random.default_rng(1).normal(size=(60, 3)))
    return page


PAGES: dict[str, Callable[[], PageWriter]] = {
    "no labels": lambda: made(classes=0),
    "one class": lambda: made(classes=1),
    "2,000 classes": lambda: made(count=4000, classes=2000),
    "one item": lambda: made(count=1, classes=1),
    "30 items": lambda: made(count=30),
    "one latent, no map": lambda: made(dim=1, maps=0),
    "two latents": lambda: made(dim=2),
    "512 latents, no map": lambda: made(dim=512, maps=0),
    "colour 128x128": lambda: made(shape=(3, 128, 128), count=40),
    "wide images": lambda: made(shape=(1, 8, 40)),
    "no images": no_images,
    "no latents": no_latents,
    "missing values": values_missing,
    "three dimensions": in_three_dimensions,
}


@pytest.mark.parametrize("name", PAGES)
def test_unusual_pages_open_and_can_be_used(opened, tmp_path, name):
    page = opened(PAGES[name]().save(tmp_path / "explorer.html"))
    drawn = page.pixels(".lk-stage canvas").reshape(-1, 3)
    assert len(np.unique(drawn, axis=0)) > 1, "no point was drawn"
    page.tab.focus(".lk-stage")
    page.tab.keyboard.press("ArrowRight")
    page.tab.keyboard.press("Enter")
    assert page.state("pinned") >= 0
    for key in ("d", "g", "2", "3", "4", "1", "t"):
        page.tab.keyboard.press(key)
    page.do("app.store.update({selection: Uint32Array.of(0), panel: 'selection'})")
    box = page.tab.locator("[aria-label='Colour points by']")
    for choice in box.locator("option").all()[:12]:
        box.select_option(choice.get_attribute("value"))
    page.rest(150)
    assert page.complaints == []
    if name == "no images":
        assert "no longer in place" in page.tab.inner_text(".lk-notes")


def test_a_page_of_many_classes_states_its_rule_and_finds_a_class(opened, tmp_path):
    page = opened(made(count=4000, classes=2000).save(tmp_path / "explorer.html"))
    assert "Marks repeat after 60 classes" in page.tab.inner_text(".lk-legend")
    page.tab.fill("[aria-label='Find a class']", "class 1999")
    page.tab.click(".lk-class")
    assert page.value("[...app.painter.front(view.map)]") == [1999, 3999]


def test_a_file_that_is_cut_off_says_so_in_one_line(opened, tmp_path, page_of_digits):
    html = page_of_digits.read_text("utf-8")
    sections = [match.start() for match in re.finditer("<script type", html)]
    for place, at in enumerate((sections[1] + 200, sections[4] + 90, len(html) - 60)):
        path = tmp_path / f"cut{place}.html"
        path.write_text(html[:at], "utf-8")
        page = opened(path)
        assert "cut off" in page.tab.inner_text("#explorer")
        assert "\n" not in page.tab.inner_text("#explorer").strip()


def test_a_changed_file_says_which_part_differs(opened, tmp_path):
    page = digits_page()
    name, content, stored = page.blobs[0]
    page.blobs[0] = (name, content[:-1] + b"\x01", stored)
    text = opened(page.save(tmp_path / "changed.html")).tab.inner_text("#explorer")
    assert "changed or damaged" in text
    assert name in text
    page = digits_page()
    page.header["version"] = 99
    text = opened(page.save(tmp_path / "later.html")).tab.inner_text("#explorer")
    assert "version 99" in text
    html = digits_page().html().replace('"format": "latentkit', '"format": latentkit')
    (tmp_path / "header.html").write_text(html, "utf-8")
    assert "header" in opened(tmp_path / "header.html").tab.inner_text("#explorer")


def test_hostile_names_are_text(opened, tmp_path):
    page = PageWriter(50, title=HOSTILE[0])
    random = np.random.default_rng(0)
    page.header["subtitle"] = HOSTILE[1]
    page.header["notes"] = list(HOSTILE)
    page.labels(np.arange(50) % len(HOSTILE), list(HOSTILE))
    page.header["items"]["files"] = page.text(
        json.dumps([HOSTILE[item % len(HOSTILE)] for item in range(50)])
    )
    space = page.space(random.normal(size=(50, 3)).astype("f4"), no_decoder=HOSTILE[0])
    space["title"] = space["name"] = HOSTILE[1]
    page.map(space, "pca", random.normal(size=(50, 2)), name=HOSTILE[0], about=HOSTILE[1])
    page.map(space, "b", random.normal(size=(50, 2)), name=HOSTILE[2], about=HOSTILE[3])
    page.column(space, "x", HOSTILE[0], np.arange(50) % 5, names=list(HOSTILE), about=HOSTILE[1])
    shown = opened(page.save(tmp_path / "hostile.html"))
    for key in "1234?":
        shown.tab.keyboard.press(key)
    shown.tab.keyboard.press("Escape")
    shown.tab.mouse.move(*shown.place(7))
    shown.do("app.pin(7)")
    shown.tab.fill("[role=combobox]", "<img")
    shown.rest(200)
    assert shown.complaints == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in shown.requests)
    assert shown.tab.inner_text("h1") == HOSTILE[0]
    assert HOSTILE[2] in shown.tab.inner_text(".lk-legend")
    assert shown.tab.locator("#explorer :is(img, script, link, style)").count() == 0


def test_live_decode_equals_pytorch(opened, tmp_path):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(6, 64), torch.nn.SiLU(), torch.nn.Linear(64, 64), torch.nn.Sigmoid()
    )

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return model(latents).reshape(-1, 1, 8, 8)

    recorded = record_decoder(decode, 6)
    page = digits_page()
    space = page.header["spaces"][0]
    latents = np.random.default_rng(0).normal(size=(16, 6)).astype("f4")
    with torch.no_grad():
        images = decode(torch.from_numpy(latents)).numpy()
    space["decoder"] = {
        "program": page.text(json.dumps(recorded.program)),
        "weights": page.array(recorded.weights, "<f4"),
        "probe": {"latents": page.array(latents, "<f4"), "images": page.array(images, "<f4")},
    }
    space["prior"] = True
    shown = opened(page.save(tmp_path / "explorer.html"))
    shown.tab.keyboard.press("3")
    shown.tab.wait_for_selector(".lk-badge.lk-good")
    shown.tab.keyboard.press("c")
    shown.tab.mouse.move(*shown.place(8))
    latent = np.array(shown.value("[...app.store.state.latent]"), "f4")
    with torch.no_grad():
        expected = decode(torch.from_numpy(latent)[None])[0, 0].numpy()
    decoded = shown.value("[...app.decoder(app.space).now.decoder.decode(app.store.state.latent)]")
    np.testing.assert_allclose(np.reshape(decoded, (8, 8)), expected, atol=1e-4)
    # PCA is linear, so that the first two latents are those of the place, and the rest are zero.
    np.testing.assert_allclose(latent[2:], 0, atol=1e-6)
    shown.tab.click("text=Samples")
    shown.tab.click("text=Draw from the prior")
    assert shown.tab.locator(".lk-tool-body .lk-thumbs canvas").count() == 12
    assert shown.complaints == []


def test_a_number_finds_an_item_of_each_split(opened, tmp_path):
    page = made(count=60)
    page.header["items"]["rows"] = page.array(np.tile(np.arange(30), 2), "<u4")
    section = page.array(np.repeat([1, 0], 30), "|u1")
    page.header["items"]["splits"] = {"names": ["test", "train"], "section": section}
    page.header["items"]["images"]["lossless"] = False
    shown = opened(page.save(tmp_path / "explorer.html"))
    field = "[role=combobox]"
    assert shown.tab.get_attribute(field, "aria-label") == "Search for a class or an item number"
    hits = shown.tab.locator("[role=option]")
    for query, expected in (
        ("5", ["Test item 5", "Train item 5"]),
        ("train item 5", ["Train item 5"]),
        ("test 31", []),
    ):
        shown.tab.fill(field, query)
        assert [text.split("\n")[0] for text in hits.all_inner_texts()] == expected
    assert "file" not in shown.tab.inner_text(".lk-hits")
    shown.tab.fill(field, "test 5")
    shown.tab.keyboard.press("Enter")
    assert shown.state("pinned") == 35
    assert shown.tab.inner_text(".lk-notes").count("compressed") == 1


def test_a_notebook_with_a_heading_of_that_name_is_left_alone(opened, tmp_path, page_of_digits):
    shown = opened(page_of_digits)  # the tab
    html = made().html()
    style = html[html.index("<style>") : html.index("</style>")]
    script = html[html.index("<script>") : html.index("</script>")]
    body = '<main id="explorer-header">Data</main><h1 id="explorer">Explorer</h1>'
    text = f"<!doctype html>{style}</style><body>{body}{script}</script></body>"
    (tmp_path / "notebook.html").write_text(text, "utf-8")
    shown.tab.goto((tmp_path / "notebook.html").as_uri())
    assert shown.tab.inner_text("h1") == "Explorer"
    assert shown.tab.evaluate("typeof latentkitExplorer.mount") == "function"
    assert shown.tab.evaluate("document.querySelector('h1').clientHeight") < 100
    assert shown.complaints == []
