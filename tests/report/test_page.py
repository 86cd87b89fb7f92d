import base64
import hashlib
import io
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from latentkit.errors import IntegrityError
from latentkit.report.page import Picture, Section, Table, render_page

VOID = {"img", "link", "meta"}


class Page(HTMLParser):
    """Elements of a page with their attributes, its texts, and whether its tags nest correctly."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.elements if name == tag]


def rendered(*sections: Section, **changes) -> Page:
    settings = {"title": "t", "subtitle": "s", "config_toml": "seed = 0", "repeat_command": "again"}
    return Page(render_page(sections=sections, **(settings | changes)))


def policy(page: Page) -> dict[str, str]:
    (content,) = [m["content"] for m in page.all("meta") if "http-equiv" in m]
    return dict(part.strip().split(" ", 1) for part in content.split(";"))


def test_the_policy_forbids_everything_except_embedded_pictures_and_the_pages_style():
    page = rendered()
    allowed = policy(page)
    (style,) = page.texts["style"]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert allowed["default-src"] == "'none'"
    assert allowed["img-src"] == "data:"
    assert allowed["style-src"] == f"'sha256-{digest}'"
    assert "script-src" not in allowed
    assert not page.all("script")


def test_the_page_contains_no_address(hostile_page, png):
    page = rendered(Section("Maps", pictures=[Picture("map", "", png)]))
    assert "http:" not in str(page.elements)
    assert "http:" not in str(page.texts)
    for _, attributes in Page(hostile_page).elements:
        assert attributes.get("src", "data:").startswith("data:")
        assert attributes.get("href", "#")[0] == "#" or attributes["href"] == "data:,"
        assert not {name for name in attributes if name.startswith("on") or name == "style"}


def test_hostile_texts_are_shown_literally(hostile_page, hostile):
    page = Page(hostile_page)
    for name in hostile:
        assert name in page.texts["h2"]
        assert name in page.texts["h3"]
        assert name in page.texts["figcaption"]
        assert name in page.texts["td"]
        assert name in page.texts["p"]
        assert name in [image["alt"] for image in page.all("img")]
    assert page.texts["pre"] == ["\n".join(hostile)]
    assert page.texts["title"] == [hostile[0]]
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "iframe", "object"})
    assert len(page.all("link")) == len(page.all("style")) == 1


def test_every_section_and_figure_has_a_unique_id_that_the_contents_link_to(hostile_page):
    page = Page(hostile_page)
    ids = [a["id"] for _, a in page.elements if "id" in a]
    links = [a["href"][1:] for a in page.all("a")]
    assert len(set(ids)) == len(ids)
    assert set(links) <= set(ids)
    assert {one for one in ids if one.startswith("section-")} <= set(links)


def test_ids_come_from_keys_and_titles_and_repeated_ones_are_numbered(png):
    pictures = [Picture("A map", "", png, key="map-isomap"), Picture("A map", "", png)]
    page = rendered(
        Section("Maps of latents", pictures=pictures),
        Section("x", key="Maps of latents"),
        Section("Configuration"),
        Section("図"),
        environment=[("python", "3.12")],
    )
    assert [s["id"] for s in page.all("section")] == [
        "section-maps-of-latents",
        "section-maps-of-latents-2",
        "section-configuration-2",
        "section-part",
        "section-environment",
        "section-configuration",
    ]
    assert [f["id"] for f in page.all("figure")] == ["figure-map-isomap", "figure-a-map"]


def test_a_picture_is_embedded_at_the_size_given_by_its_resolution(png):
    (image,) = rendered(Section("s", pictures=[Picture("p", "", png)])).all("img")
    assert base64.b64decode(image["src"].removeprefix("data:image/png;base64,")) == png
    assert (image["width"], image["height"]) == ("540", "300")
    assert image["alt"] == "p"


def drawing(side: int = 1200, dots: int = 2000) -> bytes:
    """Return a PNG of small dots of many colours on white, like a map."""
    pixels = np.full((side, side, 3), 255, np.uint8)
    generator = np.random.default_rng(0)
    for row, column in generator.integers(0, side - 3, (dots, 2)):
        pixels[row : row + 3, column : column + 3] = generator.integers(0, 256, 3)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", dpi=(160, 160))
    return buffer.getvalue()


def test_pictures_are_compressed_if_the_page_would_be_large(png, monkeypatch):
    pictures = [Picture("a map", "", drawing()), Picture("noise", "", png)]
    as_it_is = rendered(Section("s", pictures=pictures)).all("img")
    monkeypatch.setattr("latentkit.report.page._ROOM", 10_000)
    smaller = rendered(Section("s", pictures=pictures)).all("img")
    assert len(smaller[0]["src"]) < 0.8 * len(as_it_is[0]["src"])
    assert smaller[0]["width"] == as_it_is[0]["width"]
    assert smaller[1] == as_it_is[1]  # 256 colours would be visible
    before, after = (np.asarray(decoded(image), int) for image in (as_it_is[0], smaller[0]))
    assert np.abs(before - after).mean() < 0.5


def decoded(image: dict[str, str]) -> Image.Image:
    content = base64.b64decode(image["src"].partition(",")[2])
    return Image.open(io.BytesIO(content)).convert("RGB")


@pytest.mark.parametrize(
    ("cells", "number"),
    [
        (["0.1", "12", "–"], True),
        (["1,000", "-3e-05"], True),
        (["−0.01 [−0.02, 0.01]", "0.1 ± 0.2", "1 (n = 3)", "0.1 to 0.2"], True),
        (["12 %", "0.5 nats", "3 s"], True),
        (["0.1", "trustworthiness 0.9"], False),
        (["2026-11-23"], False),
        (["–", ""], False),
        (["3.12.3 on Linux"], False),
    ],
)
def test_numbers_are_aligned_to_the_right(cells, number):
    table = Table("t", ("name", "value"), [("row", cell) for cell in cells])
    assert table.is_number(1) is number
    assert not table.is_number(0)
    page = rendered(Section("s", tables=[table]))
    assert all((td.get("class") == "number") is number for td in page.all("td"))


def test_environment_and_command_are_on_the_page():
    page = rendered(
        environment=[("python", "3.12")], repeat_command="latentkit run --config c.toml"
    )
    assert "3.12" in page.texts["td"]
    assert " ".join(page.texts["span"]) == "latentkit run --config c.toml"
    assert "Environment" not in rendered().texts["h2"]


def png(width: int, height: int, **info) -> bytes:
    buffer = io.BytesIO()
    Image.new("1", (width, height)).save(buffer, "PNG", **info)
    return buffer.getvalue()


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (lambda: png(10_000, 10_000), "'big' has 10,000 x 10,000 pixels"),  # Pillow only warns
        (lambda: png(20_000, 10_000), "'big' is too large"),  # Pillow refuses
        (lambda: b"no PNG", "'big' is not a PNG that can be read"),
        (lambda: png(500, 500)[:-60], "'big' is damaged"),
    ],
)
def test_a_figure_that_is_too_large_or_no_png_is_named(content, why):
    picture = Picture("title", "", content(), key="big")
    with pytest.raises(IntegrityError, match=why):
        picture.compact()


def test_a_figure_that_states_no_resolution_has_a_size():
    assert Picture("t", "", png(9, 5, dpi=(0, 0))).size == (9, 5)
