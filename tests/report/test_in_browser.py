import pytest

from latentkit.report.page import Section, render_page

pytestmark = pytest.mark.browser

PHONE, DESKTOP = 390, 1400


@pytest.fixture(scope="module")
def url(tmp_path_factory, hostile_page):
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_bytes(hostile_page.encode())
    return path.as_uri()


def test_the_browser_reports_scripts_and_requests(browser, tmp_path):
    path = tmp_path / "bad.html"
    path.write_text("<img src=http://127.0.0.1:1/leak><script>console.log('ran')</script>")
    browser.open(path.as_uri())
    assert "http://127.0.0.1:1/leak" in browser.requested()
    assert any("ran" in complaint for complaint in browser.complaints())


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_hostile_page_requests_nothing_and_is_readable(browser, url, width, scheme):
    browser.open(url, width, 844, scheme)
    pixels = browser.screenshot()
    assert browser.complaints() == []
    assert browser.requested() == [url]
    assert pixels.shape[:2] == (844, width)
    assert pixels.std() > 10
    bright = (pixels.mean(axis=2) > 128).mean()
    assert bright > 0.8 if scheme == "light" else bright < 0.2
    assert browser.value("document.documentElement.scrollWidth") <= width


def test_a_wide_table_scrolls_and_pictures_shrink_on_a_phone(browser, url):
    browser.open(url, PHONE)
    widths = "e => [e.clientWidth, e.scrollWidth]"
    (seen, needed), *_ = browser.value(f"[...document.querySelectorAll('.scroll')].map({widths})")
    assert needed > seen
    shown = browser.value(
        "[...document.images].map(i => [i.naturalWidth, i.width, i.height * 900 / i.width])"
    )
    for natural, width, height in shown:
        assert natural == 900
        assert 300 < width < PHONE
        assert height == pytest.approx(500, abs=5)


def test_a_picture_is_visible_on_the_page(browser, url):
    browser.open(url, DESKTOP)
    browser.value("document.querySelector('figure img').scrollIntoView()")
    box = browser.value(
        "(b => [b.x, b.y, b.width, b.height])(document.images[0].getBoundingClientRect())"
    )
    x, y, width, height = map(int, box)
    assert browser.screenshot()[y : y + height, x : x + width].std() > 50


def test_the_contents_link_to_their_sections(browser, url):
    browser.open(url, PHONE)
    browser.value("document.querySelector('nav a[href=\"#section-configuration\"]').click()")
    assert browser.value("location.hash") == "#section-configuration"
    assert browser.value("scrollY") > 1000


def test_a_printed_page_has_its_pictures_but_no_contents(browser, url):
    browser.open(url, DESKTOP, scheme="dark")
    document = browser.printed()
    assert document.startswith(b"%PDF-")
    assert document.count(b"/Subtype /Image") >= 1
    browser.call("Emulation.setEmulatedMedia", media="print")
    assert browser.value("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert browser.value("getComputedStyle(document.body).color") == "rgb(29, 36, 48)"
    browser.call("Emulation.setEmulatedMedia", media="")


@pytest.mark.parametrize("width", [360, 520, 760, DESKTOP])
def test_a_command_breaks_at_spaces_only(browser, tmp_path, width):
    command = f"latentkit run --dataset fashion-mnist --name reference -o {'x' * 300}"
    path = tmp_path / "page.html"
    page = render_page(
        title="t",
        subtitle="s",
        sections=[Section("a", commands=[command])],
        config_toml="seed = 0",
        repeat_command=command,
    )
    path.write_text(page)
    browser.open(path.as_uri(), width)
    heights = browser.value("[...document.querySelectorAll('code span')].map(s => s.offsetHeight)")
    line, *words = heights[:8]
    assert words[:6] == [line] * 6
    assert words[6] >= line
    assert browser.value("document.querySelector('code').textContent") == command
    assert browser.value("document.documentElement.scrollWidth") <= width
