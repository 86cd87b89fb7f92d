"""An explorer page of two runs of the same dimension: each has its own decoder and latent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from latentkit.explore.recorded_decoder import record_decoder

from .explorer_browser import digits_page
from .explorer_pages import PageWriter

pytestmark = pytest.mark.browser

DIM = 6


def add_decoder(page: PageWriter, space: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(DIM, 64), torch.nn.Sigmoid())

    def decode(latents: torch.Tensor) -> torch.Tensor:
        return model(latents).reshape(-1, 1, 8, 8)

    recorded = record_decoder(decode, DIM)
    latents = np.random.default_rng(seed).normal(size=(16, DIM)).astype("f4")
    with torch.no_grad():
        images = decode(torch.from_numpy(latents)).numpy()
    space["decoder"] = {
        "program": page.text(json.dumps(recorded.program)),
        "weights": page.array(recorded.weights, "<f4"),
        "probe": {"latents": page.array(latents, "<f4"), "images": page.array(images, "<f4")},
    }


@pytest.fixture(scope="module")
def page_of_two_runs(tmp_path_factory) -> Path:
    page = digits_page()
    first = page.header["spaces"][0]
    add_decoder(page, first, 0)
    latents = np.random.default_rng(1).normal(size=(400, DIM)).astype("f4")
    second = page.space(latents, name="run-2", title="run-2")
    page.map(second, "other", latents[:, 2:4])
    add_decoder(page, second, 1)
    return page.save(tmp_path_factory.mktemp("runs") / "explorer.html")


def test_the_panel_starts_afresh_with_the_latent_of_another_run(opened, page_of_two_runs):
    page = opened(page_of_two_runs)
    page.do("app.pin(7); app.store.update({panel: 'decode'})")
    page.tab.wait_for_selector(".lk-badge.lk-good")
    page.tab.click(".lk-sliders input >> nth=0")
    page.tab.keyboard.press("ArrowRight")
    assert "moved" in page.tab.inner_text(".lk-from")
    page.do("app.store.update({maps: ['1/other']})")
    page.tab.wait_for_selector(".lk-from:has-text('item 7')")
    page.tab.wait_for_selector(".lk-badge.lk-good")
    assert page.value("app.store.state.latentRun") == 1
    own = page.value("[...app.space.latents.now.slice(42, 48)]")
    assert page.value("[...app.store.state.latent]") == own
    decoded = page.value("[...app.decoder(app.data.spaces[1]).now.decoder.decode(app.latent)]")
    drawn = page.pixels(".lk-screen > canvas")
    height, width = drawn.shape[:2]
    step = (np.arange(8) + 0.5) / 8
    middle = drawn[(step * height).astype(int)][:, (step * width).astype(int), 0]
    np.testing.assert_allclose(middle, 255 * np.reshape(decoded, (8, 8)), atol=1)
    page.rest(500)
    again = opened(page_of_two_runs, page.tab.url[page.tab.url.index("#") :])
    assert again.state("latentRun") == 1
    assert again.value("[...app.latent]") == own
    assert again.complaints == page.complaints == []


def test_the_decode_tool_works_on_a_run_whose_panel_was_never_open(opened, page_of_two_runs):
    page = opened(page_of_two_runs)
    page.do("app.store.update({maps: ['1/other'], tool: 'decode'})")
    page.rest(150)
    page.tab.mouse.move(*page.place(3))
    page.tab.wait_for_selector(".lk-loupe canvas")
    page.tab.mouse.click(*page.place(3))
    assert page.state("latentRun") == 1
    assert page.tab.inner_text(".lk-loupe") == "decoded from a blend"
    # A map of the other run beside it decodes by its own run, and leaves the tools' latent alone.
    latent = page.value("[...app.latent]")
    page.do("app.store.update({maps: ['1/other', '0/pca']})")
    page.rest(200)
    box = page.tab.locator(".lk-stage").nth(1).bounding_box()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.tab.wait_for_selector(".lk-loupe >> text=decoded")
    page.tab.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert page.tab.inner_text(".lk-loupe") == "decoded"
    assert page.value("[...app.latent]") == latent
    assert page.complaints == []


def test_between_two_maps_latents_are_blended(opened, page_of_two_runs):
    page = opened(page_of_two_runs)
    page.do("app.store.update({tool: 'decode', panel: 'decode'})")
    page.tab.mouse.move(*page.place(3))
    page.tab.wait_for_selector(".lk-loupe >> text=decoded")
    assert page.tab.inner_text(".lk-loupe") == "decoded"
    assert "is linear" in page.tab.inner_text("#lk-panel-decode")
    page.do("app.store.update({track: ['0/pca', '1/other'], progress: 1})")
    page.rest(150)
    page.tab.mouse.click(*page.place(9))
    assert page.tab.inner_text(".lk-loupe") == "decoded from a blend"
    assert "there is no inverse" in page.tab.inner_text("#lk-panel-decode")
    latent, own = page.value("[[...app.latent], [...app.space.latents.now.slice(54, 60)]]")
    # At the point itself, the blend is that item's latent, mostly.
    assert np.linalg.norm(np.subtract(latent, own)) < 0.5 * np.linalg.norm(own)
    assert page.complaints == []


def test_a_click_keeps_the_decoded_latent_and_pointing_alone_does_not(opened, page_of_two_runs):
    page = opened(page_of_two_runs, "#panel=decode")
    page.tab.wait_for_selector(".lk-badge.lk-good")
    page.tab.click(".lk-sliders input >> nth=0")
    moved = page.value("[...app.latent]")
    page.tab.keyboard.press("c")
    page.tab.mouse.move(*page.place(3))
    page.tab.wait_for_selector(".lk-loupe >> text=decoded")
    assert page.value("[...app.latent]") == moved
    page.tab.mouse.click(*page.place(3))
    page.tab.mouse.move(*page.place(9))
    kept = page.value("[...app.latent]")
    own = page.value("[...app.space.latents.now.slice(18, 24)]")
    np.testing.assert_allclose(kept[:2], own[:2], atol=0.1 * np.abs(own).max())
    assert page.state("latentAt")["map"] == "0/pca"
    assert page.tab.inner_text(".lk-from") == "Chosen on the map PCA"
    page.tab.keyboard.press("Escape")
    assert page.state("tool") == "pan"
    page.tab.click("text=Show >> visible=true")
    page.rest(150)
    assert "Plane of" in page.tab.inner_text(".lk-map h2")
    assert page.state("tool") == "pan"  # a plane is shown, not decoded, until the tool is chosen
    assert page.value("[...app.latent]") == kept
    assert page.complaints == []


def test_each_small_map_says_of_which_run_it_is(opened, page_of_two_runs):
    page = opened(page_of_two_runs)
    of_runs = page.tab.locator(".lk-strip-run").all_inner_texts()
    names = page.tab.locator(".lk-strip-name").all_inner_texts()
    assert len(of_runs) == len(names) > 2
    assert (names[-1], of_runs[-1]) == ("Other", "run-2")
    assert "run-2" not in of_runs[:-1]


def test_tracks_are_named_by_what_differs(opened, page_of_two_runs):
    page = opened(page_of_two_runs, "#maps=1/other")
    page.tab.keyboard.press("4")
    assert page.tab.locator("#lk-panel-compare button >> text=Over").all_inner_texts() == [
        "Over 2 runs"
    ]
