"""The documentation builds as a site that needs no network, and its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections import defaultdict
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[2]
REPOSITORY = "https://example.org/repository"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(
    not find_spec("material"), reason="mkdocs-material is missing: pip install -e '.[docs]'"
)


class Tags(HTMLParser):
    """What a page loads, what it links, and the names that a link can end with."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = {name: value or "" for name, value in attrs}
        self.ids |= {found[name] for name in ("id", "name") if name in found}
        if tag == "a" and "href" in found:
            self.links.append(found["href"])
        elif tag == "link" and found.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.loads.append(found["href"])
        elif "src" in found:
            self.loads.append(found["src"])


def _page_name(end: re.Match[str]) -> str:
    return "index.html" if end[0] == "README.md" else ".html"


@pytest.fixture(scope="module")
def site(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder]
    environment = {**os.environ, "SITE_REPOSITORY": REPOSITORY, "PYTHONDONTWRITEBYTECODE": "1"}
    built = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert built.returncode == 0, built.stdout + built.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site) -> dict[Path, Tags]:
    return {path: Tags(path) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_document_is_a_page(site, pages):
    documents = [path.relative_to(ROOT / "docs") for path in (ROOT / "docs").rglob("*.md")]
    documents += [path.relative_to(ROOT) for path in ROOT.glob("plugins/*/README.md")]
    names = (re.sub(r"README\.md$|\.md$", _page_name, path.as_posix()) for path in documents)
    expected = {site / name for name in names}
    assert len(expected) > 40
    assert expected - set(pages) == set()


def test_every_link_leads_to_a_page_and_a_heading(pages):
    dead = defaultdict(list)
    for path, tags in pages.items():
        for link in tags.links:
            if re.match(r"[a-z]+:", link):
                continue
            to, _, anchor = unquote(link).partition("#")
            target = (path.parent / to).resolve() if to else path
            known = pages.get(target)
            if not target.is_file() or (anchor and known and anchor not in known.ids):
                dead[path.name].append(link)
    assert dead == {}


def test_a_page_loads_nothing_from_a_network(site, pages):
    loaded = {one for tags in pages.values() for one in tags.loads}
    assert len(loaded) > 10
    assert [one for one in loaded if re.match(r"([a-z]+:)?//", one)] == []
    styles = "".join(path.read_text(encoding="utf-8") for path in site.rglob("*.css"))
    assert re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//", styles) == []


@pytest.mark.parametrize(
    ("page", "link"),
    [
        ("plugins.html", "plugins/latentkit-pacmap/index.html"),
        ("examples/index.html", "../measurements.html#errors-by-number-of-latents"),
        ("examples/index.html", f"{REPOSITORY}/blob/main/examples/quickstart.py"),
        ("pages.html", "examples/fashion_mnist_study/index.html"),
    ],
)
def test_links_out_of_the_documents_lead_to_a_page_or_to_the_repository(site, pages, page, link):
    assert link in pages[site / page].links


def test_markdown_of_the_repository_is_read_as_there(site):
    python = (site / "reference/python.html").read_text(encoding="utf-8")
    assert "<td><code>NDArray[np.int64] | None</code></td>" in python
    tutorial = (site / "tutorial.html").read_text(encoding="utf-8")
    assert re.search(r"<ul>\s*<li><em>Trustworthiness</em>", tutorial)


@pytest.mark.browser
@pytest.mark.skipif(not CHROMIUM, reason="chromium is missing")
def test_search_finds_a_page_that_was_opened_from_disk(site):
    playwright = pytest.importorskip("playwright.sync_api")
    requested: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.on("request", lambda request: requested.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.get_by_role("textbox", name="Search").press_sequentially("trustworthiness")
        found = page.locator(".md-search-result__link").first
        found.click()
        page.wait_for_url("**/*.html?h=trustworthiness*")
        browser.close()
    assert len(requested) > 10
    assert [url for url in requested if not re.match("file:|data:|blob:|about:", url)] == []
