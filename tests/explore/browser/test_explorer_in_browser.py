"""What a user does on an explorer page that was opened from disk, in Chromium."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from matplotlib.path import Path as Polygon
from sklearn.neighbors import NearestNeighbors

from .explorer_browser import ITEMS, cells, digits, digits_page

pytestmark = pytest.mark.browser

STAGE = ".lk-stage"


def test_opens_from_disk_without_a_request_or_a_complaint(opened, page_of_digits):
    page = opened(page_of_digits)
    for key in "dgnil2341p?":
        page.tab.keyboard.press(key)
    page.tab.keyboard.press("Escape")
    page.rest(300)
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.tab.title() == "Explorer"
    assert page.tab.inner_text("h1") == "conv-ae on digits"
    assert "Trust 0.96" in page.tab.inner_text(".lk-map-title")


def test_pointing_at_a_point_shows_its_image_class_and_values(opened, page_of_digits):
    page = opened(page_of_digits)
    images, _, labels = digits()
    for item in (3, 77, 250):
        page.tab.mouse.move(*page.place(item))
        shown = page.state("hovered")
        assert np.hypot(*np.subtract(page.place(shown), page.place(item))) < 1
        text = page.tab.inner_text(".lk-tooltip:not([hidden])")
        assert f"digit {labels[shown]}" in text
        assert "reconstruction error" in text
        drawn = cells(page.pixels(".lk-tooltip canvas"), 8)
        np.testing.assert_array_equal(drawn[..., 0], images[shown, 0])


def test_zooming_points_at_what_is_then_under_the_pointer(opened, page_of_digits):
    page = opened(page_of_digits)
    places = page.places()
    last = int(places[:, 0].argmax())
    x, y = places[last]
    page.tab.mouse.move(x + 9, y)  # beside the rightmost point, where no other one is near
    assert page.state("hovered") == last
    for _ in range(6):
        page.tab.mouse.wheel(0, -300)
    page.tab.wait_for_selector(".lk-tooltip", state="hidden")
    assert page.state("hovered") == -1


def test_a_lasso_selects_what_lies_in_its_polygon(opened, page_of_digits):
    page = opened(page_of_digits)
    page.tab.keyboard.press("l")
    box = page.tab.locator(STAGE).bounding_box()
    corners = [(0.2, 0.3), (0.7, 0.15), (0.55, 0.5), (0.8, 0.8), (0.25, 0.7)]
    path = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in corners]
    page.tab.mouse.move(*path[0])
    page.tab.mouse.down()
    for corner in path[1:]:
        page.tab.mouse.move(*corner)
    page.tab.mouse.up()
    places = page.places()
    inside = np.flatnonzero(Polygon(path).contains_points(places))
    assert 20 < len(inside) < ITEMS
    assert page.state("selection") == inside.tolist()
    assert page.tab.inner_text("#lk-panel-selection h3") == f"{len(inside)} items"
    page.tab.keyboard.press("Escape")
    assert page.state("selection") == []


def test_neighbours_equal_those_of_scikit_learn(opened, page_of_digits):
    page = opened(page_of_digits)
    _, latents, _ = digits()
    found = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(latents)
    distances, indices = found.kneighbors(latents)
    for item in range(0, ITEMS, 80):
        page.do(f"app.pin({item})")
        labels = page.tab.locator("#lk-panel-item section").first.locator(".lk-thumb")
        told = [label.get_attribute("aria-label") for label in labels.all()]
        assert [int(text.split(",")[0].split()[1]) for text in told] == indices[item, 1:].tolist()
        values = [float(text.split(",")[-1]) for text in told]
        np.testing.assert_allclose(values, distances[item, 1:], rtol=0.006)


def test_torn_neighbours_and_strangers_are_those_by_rank(opened, page_of_digits):
    page = opened(page_of_digits)
    _, latents, _ = digits()
    page.do("app.store.update({distances: true, pinned: 12, hovered: -1})")
    page.rest()
    truth = page.value("view.scene.truth")

    def order(points: np.ndarray) -> list[int]:
        distances = ((points - points[12]) ** 2).sum(1)
        return [int(item) for item in np.argsort(distances, kind="stable") if item != 12]

    in_latents, on_map = order(latents), order(latents[:, :2])
    torn = [item for item in in_latents[:15] if on_map.index(item) >= 75]
    strangers = [item for item in on_map[:15] if in_latents.index(item) >= 75]
    assert truth["torn"] == torn
    assert sorted(truth["strangers"]) == sorted(strangers)
    assert strangers
    text = page.tab.inner_text("#lk-panel-item")
    assert f"tears {len(torn)} away" in text
    assert f"{len(strangers)} of 15" in text


def test_a_selection_is_saved_as_a_table_and_as_items_and_lives_in_the_address(
    opened, page_of_digits, tmp_path
):
    page = opened(page_of_digits)
    images, latents, labels = digits()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("digit 7")
    page.tab.keyboard.press("Enter")
    sevens = np.flatnonzero(labels == 7)
    assert page.state("selection") == sevens.tolist()
    with page.tab.expect_download() as download:
        page.tab.click("text=Save CSV")
    download.value.save_as(tmp_path / "selection.csv")
    with (tmp_path / "selection.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["item"]) for row in rows] == sevens.tolist()
    assert {row["class"] for row in rows} == {"digit 7"}
    read = np.array([[float(row[f"z{d}"]) for d in range(6)] for row in rows], "f4")
    np.testing.assert_array_equal(read, latents[sevens])
    np.testing.assert_allclose([float(row["pca_x"]) for row in rows], latents[sevens, 0], atol=1e-4)
    trust = np.linspace(0, 1, ITEMS)[sevens]
    np.testing.assert_allclose([float(row["other_trust"]) for row in rows], trust, atol=1e-6)
    with page.tab.expect_download() as download:
        page.tab.click("text=Save item list")
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines == ["# latentkit items of run-1", *map(str, sevens)]
    mean = images[sevens, 0].mean(0)
    page.rest(200)
    drawn = cells(page.pixels(".lk-mean canvas"), 8)[..., 0]
    np.testing.assert_allclose(drawn, mean, atol=0.51)

    page.do("app.pin(5); app.store.update({colour: 'latent:2', panel: 'selection'})")
    page.rest(500)
    again = opened(page_of_digits, page.tab.url[page.tab.url.index("#") :])
    assert again.state("selection") == sevens.tolist()
    assert again.state("pinned") == 5
    assert again.state("colour") == "latent:2"
    assert again.complaints == []


def test_everything_works_by_keyboard_and_is_announced(opened, page_of_digits):
    page = opened(page_of_digits)
    page.tab.focus(STAGE)
    page.tab.keyboard.press("ArrowRight")
    first = page.state("hovered")
    assert first >= 0
    page.tab.keyboard.press("ArrowRight")
    second = page.state("hovered")
    assert page.place(second)[0] > page.place(first)[0]
    page.tab.keyboard.press("ArrowUp")
    assert page.place(page.state("hovered"))[1] < page.place(second)[1]
    page.tab.keyboard.press("Enter")
    assert page.state("pinned") == page.state("hovered")
    page.rest(200)
    assert "pinned" in page.tab.inner_text("[aria-live=polite]")
    zoom = page.value("view.scene.camera.zoom")
    page.tab.keyboard.press("+")
    assert page.value("view.scene.camera.zoom") > zoom
    page.tab.keyboard.press("]")
    page.rest()
    assert page.tab.inner_text(".lk-map h2") == "Other"
    page.tab.keyboard.press("Escape")
    assert page.state("pinned") == -1
    page.tab.keyboard.press("?")
    assert page.tab.is_visible("dialog")
    page.tab.keyboard.press("Escape")
    assert not page.tab.is_visible("dialog")
    unnamed = page.tab.eval_on_selector_all(
        "button, input, select, [role=img], [tabindex='0']",
        "all => all.filter(e => !(e.getAttribute('aria-label') || e.textContent.trim() || "
        "e.labels?.length || e.getAttribute('aria-labelledby'))).map(e => e.outerHTML)",
    )
    assert unnamed == []


def test_fingers_pin_pinch_and_select(opened, page_of_digits):
    page = opened(page_of_digits, has_touch=True, viewport={"width": 390, "height": 800})
    page.tab.touchscreen.tap(*page.place(40))
    pinned = page.state("pinned")
    assert np.hypot(*np.subtract(page.place(pinned), page.place(40))) < 1
    assert page.tab.is_visible(".lk-tooltip")
    zoom = page.value("view.scene.camera.zoom")
    session = page.tab.context.new_cdp_session(page.tab)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        given = [{"x": x, "y": y, "id": number} for number, (x, y) in enumerate(points)]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": given})

    touch("touchStart", (150, 300), (220, 300))
    touch("touchMove", (120, 300), (250, 300))
    touch("touchMove", (90, 300), (280, 300))
    touch("touchEnd")
    assert page.value("view.scene.camera.zoom") > 2 * zoom
    page.do("app.store.update({tool: 'rectangle'}); view.fit(false)")
    touch("touchStart", (80, 250))
    touch("touchMove", (200, 350))
    touch("touchMove", (330, 480))
    touch("touchEnd")
    places = page.places()
    inside = ((places > (80, 250)) & (places < (330, 480))).all(1)
    assert page.state("selection") == np.flatnonzero(inside).tolist()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_window_in_both_schemes(opened, page_of_digits, scheme):
    page = opened(page_of_digits, viewport={"width": 390, "height": 800}, color_scheme=scheme)
    paper = page.pixels(f"{STAGE} canvas")[2, 2]
    assert (paper.mean() > 200) == (scheme == "light")
    width = page.value("explorer.root.scrollWidth")
    assert width <= 390
    for panel in "1234":
        page.tab.keyboard.press(panel)
        assert page.value("explorer.root.scrollWidth") <= 390


def test_the_legend_filters_and_values_have_a_histogram(opened, page_of_digits):
    page = opened(page_of_digits)
    _, _, labels = digits()
    page.tab.click(".lk-class >> text=digit 3")
    assert page.value("[...app.painter.front(view.map)]") == np.flatnonzero(labels == 3).tolist()
    page.tab.click(".lk-class >> text=digit 4", modifiers=["Shift"])
    assert page.value("app.painter.front(view.map).length") == np.isin(labels, (3, 4)).sum()
    page.tab.click("text=Show all classes")
    page.tab.select_option("[aria-label='Colour points by']", "column:error")
    box = page.tab.locator(".lk-histogram").bounding_box()
    page.tab.mouse.move(box["x"] + box["width"] / 2, box["y"] + 20)
    page.tab.mouse.down()
    page.tab.mouse.move(box["x"] + box["width"] + 30, box["y"] + 20)
    page.tab.mouse.up()
    front = page.value("[...app.painter.front(view.map)]")
    assert front == list(range(front[0], ITEMS))
    assert abs(front[0] - ITEMS / 2) < 6


def test_maps_are_linked_and_turn_into_each_other(opened, page_of_digits):
    page = opened(page_of_digits)
    page.tab.keyboard.press("4")
    page.tab.select_option("[aria-label='Map beside']", "0/other")
    page.rest(150)
    assert page.tab.locator(".lk-map h2").all_inner_texts() == ["PCA", "Other"]
    page.tab.select_option("[aria-label='Morph into']", "0/other")
    page.rest(150)
    start = page.value("[...view.placement.positions]")
    assert page.value("[...view.shown.positions]") == start
    page.do("app.store.update({progress: 1})")
    page.rest()
    moved = np.array(page.value("[...view.shown.positions]")).reshape(-1, 2)
    other = np.array(page.value("[...explorer.views[1].placement.positions]")).reshape(-1, 2)
    # A similarity keeps the ratios of distances.
    ratios = np.linalg.norm(moved[1:] - moved[0], axis=1) / np.linalg.norm(
        other[1:] - other[0], axis=1
    )
    np.testing.assert_allclose(ratios, ratios[0], rtol=1e-3)
    page.tab.wait_for_selector("text=neighbours on the map change")


def test_the_widget_tells_and_takes_the_selection(opened, page_of_digits, tmp_path):
    html = page_of_digits.read_text("utf-8").replace('id="explorer"', 'id="cell"')
    (tmp_path / "cell.html").write_text(html, "utf-8")
    page = opened(page_of_digits)  # the tab
    page.tab.goto((tmp_path / "cell.html").as_uri())
    page.tab.evaluate(
        """() => {
          const {mount, Container} = latentkitExplorer, cell = document.getElementById('cell');
          window.told = [];
          window.mounted = mount(cell, Container.fromPage(document), {
            onSelection: (items) => told.push(['selection', items]),
            onHovered: (item) => told.push(['hovered', item]),
            onColorBy: (key) => told.push(['colour', key]),
          });
        }"""
    )
    page.tab.wait_for_selector("#cell[data-complete]")
    page.tab.evaluate("mounted.setSelection([7, 3, 999999, -1, 3])")
    page.tab.evaluate("mounted.setColorBy('error')")
    assert page.tab.inner_text("#lk-tab-selection") == "Selection2"
    assert page.tab.evaluate("told") == []
    page.tab.select_option("[aria-label='Colour points by']", "column:predicted")
    page.tab.click("#lk-tab-selection")
    page.tab.click("text=Clear")
    assert json.loads(page.tab.evaluate("JSON.stringify(told)")) == [
        ["colour", "predicted"],
        ["selection", []],
    ]
    page.tab.evaluate("mounted.destroy()")
    assert page.tab.inner_text("#cell") == ""
    assert page.complaints == []


def test_a_lasso_leaves_out_filtered_classes_whatever_is_selected(opened, page_of_digits):
    page = opened(page_of_digits)
    _, _, labels = digits()
    page.do("app.store.update({hidden: new Set([0, 1, 2]), selection: Uint32Array.of(5)})")
    everywhere = "[-2, -2, 2, -2, 2, 2, -2, 2]"
    allowed = np.flatnonzero(labels > 2).tolist()
    assert page.value(f"[...view.itemsIn({everywhere})]") == allowed
    page.do(
        "app.store.update({colour: 'column:error', hidden: new Set(), range: [0.25, Infinity]})"
    )
    page.rest()
    found = page.value(f"[...view.itemsIn({everywhere})]")
    assert found == list(range(found[0], ITEMS))
    assert abs(found[0] - ITEMS / 2) < 6


def test_a_count_of_class_against_predicted_class_selects_its_items(opened, tmp_path):
    page_of_errors = digits_page()
    _, _, labels = digits()
    wrong = np.arange(ITEMS) % 7 == 0
    predicted = np.where(wrong, (labels + 1) % 10, labels)
    space = page_of_errors.header["spaces"][0]
    space["columns"].pop()
    names = page_of_errors.header["items"]["labels"]["names"]
    page_of_errors.column(space, "predicted", "predicted class", predicted, names=names)
    page = opened(page_of_errors.save(tmp_path / "explorer.html"))
    page.tab.keyboard.press("5")
    text = page.tab.inner_text("#lk-panel-classes")
    assert f"{100 * (~wrong).mean():.1f} % of {ITEMS} items" in text
    page.tab.click("[aria-label^='digit 3 as digit 4']")
    meant = np.flatnonzero(wrong & (labels == 3)).tolist()
    assert page.state("selection") == meant
    page.rest()
    assert page.tab.locator("#lk-panel-classes .lk-thumb").count() == len(meant)
    page.tab.keyboard.press("ArrowLeft")
    page.tab.keyboard.press("Enter")
    assert page.state("selection") == np.flatnonzero(~wrong & (labels == 3)).tolist()
    page.tab.keyboard.press("Escape")
    assert page.tab.locator("#lk-panel-classes [aria-pressed=true]").count() == 0
    assert page.complaints == []


def test_the_filter_narrows_a_selection_and_clearing_it_clears_the_search(opened, page_of_digits):
    page = opened(page_of_digits)
    _, _, labels = digits()
    page.tab.keyboard.press("/")
    page.tab.keyboard.type("digit 7")
    page.tab.keyboard.press("Enter")
    page.tab.click(".lk-class >> text=digit 3")
    assert "0 items" in page.tab.inner_text("#lk-panel-selection h3")
    page.do("app.store.update({selection: Uint32Array.from({length: 100}, (_, i) => i)})")
    threes = np.flatnonzero(labels[:100] == 3).tolist()
    text = page.tab.inner_text("#lk-panel-selection")
    assert f"The filter keeps {len(threes)} of 100 selected items" in text
    assert page.tab.inner_text("#lk-tab-selection") == f"Selection{len(threes)}"
    page.tab.click("text=Keep only these")
    assert page.state("selection") == threes
    assert page.tab.input_value("input[role=combobox]") == "digit 7"
    page.tab.click("#lk-panel-selection >> text=Clear")
    assert page.tab.input_value("input[role=combobox]") == ""


def test_zoom_buttons_and_the_key_for_all_points_work_by_keyboard(opened, page_of_digits):
    page = opened(page_of_digits)
    zoom = page.value("view.scene.camera.zoom")
    for key in ("Enter", "Space"):
        page.tab.focus("[aria-label='Zoom in']")
        page.tab.keyboard.press(key)
        closer = page.value("view.scene.camera.zoom")
        assert closer == pytest.approx(1.5 * zoom)
        zoom = closer
    assert page.state("pinned") == -1
    page.tab.focus(STAGE)
    page.tab.keyboard.press("Shift+Digit0")
    every = page.value("view.scene.camera.zoom")
    assert page.state("camera")["zoom"] == every < zoom
    page.tab.keyboard.press("0")
    assert page.state("camera") is None
    # Where Shift and 0 give "=", which zooms in elsewhere, it still means 0.
    page.tab.eval_on_selector(
        STAGE,
        "stage => stage.dispatchEvent(new KeyboardEvent('keydown', "
        "{key: '=', code: 'Digit0', shiftKey: true}))",
    )
    assert page.state("camera")["zoom"] == every


def test_a_range_of_values_is_kept_by_keyboard(opened, page_of_digits):
    page = opened(page_of_digits)
    page.tab.select_option("[aria-label='Colour points by']", "column:error")
    low = page.tab.locator("[aria-label^='Smallest']")
    low.focus()
    for _ in range(3):
        page.tab.keyboard.press("ArrowUp")
    first, last = page.value("app.store.state.range.map(String)")
    assert float(first) == pytest.approx(float(low.input_value()))
    assert 0.02 < float(first) < 0.2
    assert last == "Infinity"
    page.tab.keyboard.press("Tab")
    assert page.tab.evaluate("document.activeElement.ariaLabel").startswith("Largest")
    page.tab.keyboard.type("0.3")
    page.tab.keyboard.press("Enter")
    front = page.value("[...app.painter.front(view.map)]")
    values = np.linspace(0.01, 0.5, ITEMS).astype("f4")
    assert front == np.flatnonzero((values >= float(first)) & (values <= 0.3)).tolist()
    page.tab.click("text=Show all values")
    assert page.state("range") is None


def test_the_tooltip_goes_when_a_key_chooses_a_panel(opened, page_of_digits):
    page = opened(page_of_digits)
    page.tab.mouse.move(*page.place(3))
    assert page.tab.is_visible(".lk-tooltip")
    page.tab.keyboard.press("4")
    assert not page.tab.is_visible(".lk-tooltip")
    x, y = page.place(3)
    page.tab.mouse.move(x + 1, y)
    assert page.tab.is_visible(".lk-tooltip")
