"""Explorer pages with a damaged part that is read after the first picture."""

from __future__ import annotations

from typing import Any

import pytest

from .explorer_browser import digits_page
from .explorer_pages import PageWriter

pytestmark = pytest.mark.browser

ALERT = "[role=alert]"


def damaged(page: PageWriter, section: dict[str, Any]) -> str:
    """Change a part of a page after its checksum was taken, and return its name."""
    place = int(section["name"].removeprefix("blob"))
    name, content, stored = page.blobs[place]
    page.blobs[place] = (name, content[:-1] + bytes([content[-1] ^ 1]), stored)
    return name


def test_a_damaged_map_is_told_and_the_map_before_stays(opened, tmp_path):
    page = digits_page()
    name = damaged(page, page.header["spaces"][0]["maps"][1]["section"])
    shown = opened(page.save(tmp_path / "explorer.html"))
    told = shown.tab.inner_text(ALERT)
    assert f"part {name} differs from its checksum" in told
    assert name in shown.tab.inner_text(".lk-notes")
    assert shown.tab.locator(".lk-strip-missing").all_inner_texts() == ["cannot be read"]
    shown.tab.click(f"{ALERT} button")
    assert shown.tab.locator(ALERT).is_hidden()
    for choose in (
        lambda: shown.tab.click(".lk-strip-map >> text=Other"),
        lambda: shown.do("app.store.update({maps: ['0/pca', '0/other']})"),
        lambda: shown.do("app.store.update({track: ['0/pca', '0/other'], progress: 0})"),
    ):
        choose()
        shown.rest(150)
        assert name in shown.tab.inner_text(ALERT)
        assert shown.tab.locator(".lk-map h2").all_inner_texts() == ["PCA"]
        assert shown.state("maps") == ["0/pca"]
        assert shown.state("track") == []
        assert shown.value("view.shown === app.placed.get('0/pca')")
        assert shown.tab.locator(f"{ALERT} p").count() == 1
    assert shown.tab.locator(".lk-notes p").count() == 1
    assert shown.complaints == []
    again = opened(tmp_path / "explorer.html", "#maps=0/other")
    assert again.tab.inner_text(".lk-map h2") == "PCA"
    assert name in again.tab.inner_text(ALERT)
    assert again.complaints == []


@pytest.mark.parametrize("part", ["images", "latents", "column", "trust"])
def test_other_damaged_parts_are_told_and_the_rest_works(opened, tmp_path, part):
    page = digits_page()
    space = page.header["spaces"][0]
    section = {
        "images": page.header["items"]["images"]["atlases"][0],
        "latents": space["latents"],
        "column": space["columns"][0]["section"],
        "trust": space["maps"][1]["trust"],
    }[part]
    name = damaged(page, section)
    shown = opened(page.save(tmp_path / "explorer.html"))
    shown.do("app.pin(5); app.store.update({distances: true})")
    for colour in ("column:error", "latent:1", "class"):
        shown.do(f"app.store.update({{colour: '{colour}'}})")
        shown.rest()
    shown.tab.keyboard.press("]")
    shown.rest(150)
    assert shown.tab.inner_text(".lk-map h2") == "Other"
    assert name in shown.tab.inner_text(ALERT)
    assert shown.tab.locator(f"{ALERT} p").count() == 1
    assert shown.complaints == []
