"""The explorer's container: what a reader that knows only its description finds in it."""

import base64
import hashlib
import io

import numpy as np
import pytest
from PIL import Image

from latentkit.explore import thumbnails
from latentkit.explore.explorer_html import explorer_html, is_written_with
from latentkit.explore.explorer_layout import (
    Column,
    LinearInverse,
    Mixture,
    PageDecoder,
    PageItems,
    PageMap,
    PageSpace,
    explorer_layout,
)
from latentkit.explore.thumbnails import make_atlases
from latentkit.explore.thumbnails import thumbnails as tiles_of

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    '"></script><script>alert(2)</script>',
    "<!--",
    "\u2028\ud800 {{ 7 * 7 }}",
)
SCRIPT, STYLE = 'console.log("page")', "main { color: red }"
RANDOM = np.random.default_rng(0)


def space(n, d=4, **more):
    latents = RANDOM.normal(size=(n, d)).astype(np.float32)
    known = {
        "name": "run",
        "model": "conv-ae",
        "title": "conv-ae, 4 latents",
        "latents": latents,
        "mean": latents.mean(0),
        "sigma": latents.std(0),
        "weights": latents.var(0),
        "order": np.argsort(-latents.var(0)),
        "maps": [PageMap("pca", "PCA", 7 + 3 * latents[:, :2], "about", "test latents")],
    }
    return PageSpace(**{**known, **more})


def page(items, *spaces, **more):
    layout = explorer_layout(items, spaces, title=more.pop("title", "digits"), **more)
    return explorer_html(layout, SCRIPT, STYLE)


def test_a_reader_of_the_description_finds_every_number(read_page):
    n, classes = 30, ("cat", "dog")
    labels = RANDOM.integers(-1, 2, n)
    images = RANDOM.integers(0, 256, (n, 3, 9, 7), np.uint8)
    decoder = PageDecoder(
        {"steps": [1, 2]},
        RANDOM.normal(size=50).astype(np.float16),
        RANDOM.normal(size=(2, 4)),
        RANDOM.random((2, 3, 9, 7)),
    )
    mixture = Mixture(np.array([0.25, 0.75]), RANDOM.normal(size=(2, 4)), np.ones((2, 4, 4)))
    columns = [
        Column("error", "error", np.append(RANDOM.random(n - 1), np.nan), "mean squared error"),
        Column("predicted", "predicted class", labels, "by neighbours", classes),
    ]
    first = space(n, columns=columns, decoder=decoder, mixture=mixture, prior=True)
    second = space(n, 1, no_decoder="it has none", epoch=3)
    items = PageItems(
        n,
        rows=np.arange(5, n + 5),
        splits=np.arange(n) % 2,
        split_names=("test", "train"),
        labels=labels,
        class_names=classes,
        atlases=make_atlases(tiles_of(images), (3, 9, 7)),
        files=[f"{row}.png" for row in range(n)],
    )
    found = read_page(page(items, first, second, title="<digits>", notes=["one", "two"]))
    header = found.header
    assert (header["format"], header["version"]) == ("latentkit-explorer", 1)
    assert (header["title"], header["notes"]) == ("<digits>", ["one", "two"])
    shown = header["items"]
    assert found.array(shown["rows"]).tolist() == list(range(5, n + 5))
    assert shown["splits"]["names"] == ["test", "train"]
    assert found.array(shown["splits"]["section"]).tolist() == [0, 1] * (n // 2)
    assert shown["labels"]["names"] == ["cat", "dog"]
    assert found.array(shown["labels"]["section"]).tolist() == labels.tolist()
    assert b'"29.png"' in found.bytes_of(shown["files"])
    assert shown["images"]["lossless"]
    assert (found.tiles() == np.moveaxis(images, 1, -1)).all()
    one, other = header["spaces"]
    assert (found.array(one["latents"]) == first.latents).all()
    assert one["order"] == first.order.tolist()
    assert one["mean"] == pytest.approx(first.mean.tolist())
    assert (one["prior"], one["no_decoder"], one["epoch"]) == (True, None, None)
    assert found.coordinates(one["maps"][0]) == pytest.approx(first.maps[0].coordinates, abs=1e-5)
    assert np.abs(found.array(one["maps"][0]["section"])).max() == 1
    error, predicted = one["columns"]
    assert found.array(error["section"]) == pytest.approx(columns[0].values, rel=1e-5, nan_ok=True)
    assert (predicted["kind"], predicted["names"]) == ("class", ["cat", "dog"])
    assert found.array(predicted["section"]).tolist() == labels.tolist()
    assert found.bytes_of(one["decoder"]["program"]) == b'{"steps":[1,2]}'
    assert one["decoder"]["weights"]["dtype"] == "f2"
    assert (found.array(one["decoder"]["weights"]) == decoder.weights).all()
    assert found.array(one["decoder"]["probe"]["images"]).shape == (2, 3, 9, 7)
    assert one["mixture"]["weights"] == [0.25, 0.75]
    assert found.array(one["mixture"]["cholesky"]).shape == (2, 4, 4)
    assert (other["dim"], other["epoch"], other["decoder"]) == (1, 3, None)
    assert other["no_decoder"] == "it has none"


def test_the_blobs_of_the_first_picture_come_first(read_page):
    n = 8
    items = PageItems(n, labels=np.zeros(n, int), class_names=["cat"])
    found = read_page(page(items, space(n), space(n)))
    assert list(found.stored)[:2] == ["items/labels", "space0/map0/coordinates"]
    assert len(found.stored) == 5


def test_without_labels_images_or_maps_the_header_says_so(read_page):
    found = read_page(page(PageItems(3, no_images="they are gone"), space(3, maps=[])))
    shown = found.header["items"]
    assert (shown["labels"], shown["images"], shown["rows"], shown["splits"]) == (None,) * 4
    assert shown["no_images"] == "they are gone"
    assert found.header["spaces"][0]["maps"] == []


def test_maps_that_share_a_key_are_refused():
    twice = [*space(5).maps, *space(5).maps]
    with pytest.raises(ValueError, match="maps share a key"):
        page(PageItems(5), space(5, maps=twice))


def test_pictures_say_which_channels_they_show_and_whether_they_are_exact(read_page):
    tiles = RANDOM.integers(0, 256, (5, 8, 8, 3), np.uint8)
    shapes = [((3, 8, 8), True), ((3, 8, 8), False), ((6, 8, 8), True)]
    for shape, exact in shapes:
        atlases = make_atlases(tiles, shape, (2, 1, 0), exact=exact)
        found = read_page(page(PageItems(5, atlases=atlases), space(5))).header["items"]["images"]
        assert found["channels"] == [2, 1, 0]
        assert found["lossless"] == (exact and shape[0] == 3)


def test_the_same_arrays_give_the_same_bytes():
    latents = space(20)
    atlases = make_atlases(RANDOM.integers(0, 256, (20, 8, 8, 1), np.uint8), (1, 8, 8))
    items = PageItems(20, atlases=atlases)
    assert page(items, latents) == page(items, latents)


def test_the_policy_allows_only_the_page_s_own_script_and_style(elements):
    found = elements(page(PageItems(3), space(3)))
    (policy,) = (a["content"] for tag, a, _ in found if tag == "meta" and "http-equiv" in a)
    (script,) = (text for tag, attrs, text in found if tag == "script" and not attrs)
    (style,) = (text for tag, _, text in found if tag == "style")
    hashes = [
        base64.b64encode(hashlib.sha256(text.strip("\n").encode()).digest()).decode()
        for text in (script, style)
    ]
    assert "default-src 'none';" in policy
    assert f"script-src 'sha256-{hashes[0]}' 'wasm-unsafe-eval';" in policy
    assert f"style-src 'sha256-{hashes[1]}';" in policy
    assert "img-src data: blob:;" in policy


def test_text_of_the_data_is_never_markup(read_page, elements):
    def with_names(names):
        column = Column(names[0], names[1], np.zeros(4, int), names[2], names)
        return page(
            PageItems(4, labels=np.zeros(4, int), class_names=names, files=names),
            space(4, name=names[0], title=names[1], columns=[column], no_decoder=names[2]),
            title=names[0],
            subtitle=names[1],
            notes=names,
        )

    plain, hostile = with_names(("a", "b", "c", "d")), with_names(HOSTILE)
    tags = [[tag for tag, *_ in elements(text)] for text in (plain, hostile)]
    assert tags[0] == tags[1]
    header = read_page(hostile).header
    assert header["items"]["labels"]["names"] == list(HOSTILE)
    assert header["spaces"][0]["columns"][0]["names"] == list(HOSTILE)


def test_a_page_that_could_run_another_script_is_recognised():
    labels = np.zeros(4, int)
    written = page(PageItems(4, labels=labels, class_names=HOSTILE[:1]), space(4), title=HOSTILE[1])
    assert is_written_with(written, SCRIPT, STYLE)
    assert not is_written_with(written, f"{SCRIPT};", STYLE)
    for old, new in (
        (b"</body>", b"<script>alert(1)</script></body>"),
        (b"default-src 'none'", b"default-src *"),
        (b'<main id="explorer">', b'<main id="explorer" onclick="alert(1)">'),
        (b"<title>", b"<title></title><script src=http://leak.invalid></script><title>"),
        (b'data-section="items/labels"', b'data-section="x" onload="alert(1)"'),
        (b"console.log", b"console.table"),
        (b"</html>\n", b"</html>\xff"),
    ):
        assert old in written
        assert not is_written_with(written.replace(old, new), SCRIPT, STYLE), new


@pytest.mark.parametrize("script", ["a </script>", "b </SCRIPT ", "c <!-- d", "e\r\n"])
def test_a_script_that_would_end_early_is_refused(script):
    layout = explorer_layout(PageItems(2), [space(2)], title="t")
    with pytest.raises(ValueError, match="which a page cannot contain"):
        explorer_html(layout, script, STYLE)


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="3 latents for 4 items"):
        page(PageItems(4), space(3, maps=[]))
    with pytest.raises(ValueError, match="expected 4 finite numbers"):
        page(PageItems(3), space(3, mean=np.array([0, 0, np.nan, 0])))


def test_a_map_of_one_point_and_a_linear_inverse_keep_their_numbers(read_page):
    inverse = LinearInverse(np.array([1.0, 2, 3, 4]), np.ones((2, 4)))
    same = PageMap("m", "m", np.full((3, 2), 5.0), "about", "these", inverse=inverse)
    found = read_page(page(PageItems(3), space(3, maps=[same])))
    (one,) = found.header["spaces"][0]["maps"]
    assert (one["scale"], one["centre"]) == (1.0, [5.0, 5.0])
    assert found.coordinates(one).tolist() == [[5.0, 5.0]] * 3
    assert one["inverse"] == {"kind": "linear", "mean": [1.0, 2, 3, 4], "axes": [[1.0] * 4] * 2}


def test_float16_is_used_where_it_can_hold_the_values(read_page):
    latents = RANDOM.normal(size=(5, 2)).astype(np.float32)
    small = read_page(page(PageItems(5), space(5, 2, latents=latents), latents="f2"))
    assert (small.array(small.header["spaces"][0]["latents"]) == latents.astype("f2")).all()
    large = read_page(page(PageItems(5), space(5, 2, latents=latents * 1e6), latents="f2"))
    assert large.header["spaces"][0]["latents"]["dtype"] == "f4"


def test_weights_and_columns_have_five_digits_of_float32(read_page):
    weights = RANDOM.normal(size=1000).astype(np.float32)
    weights[:4] = 0, 1, np.float32(2) ** -149, np.finfo(np.float32).max
    decoder = PageDecoder({}, weights, np.zeros((1, 4)), np.zeros((1, 1, 2, 2)))
    found = read_page(page(PageItems(3), space(3, decoder=decoder)))
    stored = found.array(found.header["spaces"][0]["decoder"]["weights"])
    assert stored[:2].tolist() == [0, 1]
    assert stored == pytest.approx(weights, rel=2**-17)
    assert not (stored[4:].view(np.uint32) & 127).any()
    assert np.isfinite(stored).all()


def test_two_thousand_classes_fit(read_page):
    names = [f"class {number}" for number in range(2000)]
    items = PageItems(2000, labels=np.arange(2000), class_names=names)
    found = read_page(page(items, space(2000)))
    assert found.array(found.header["items"]["labels"]["section"])[-1] == 1999


def test_large_sets_take_several_atlases_with_a_small_loss(monkeypatch, read_page):
    monkeypatch.setattr(thumbnails, "LARGEST_ATLAS", 64)
    monkeypatch.setattr(thumbnails, "LOSSLESS", 0)
    smooth = np.linspace(0, 255, 40 * 20 * 20).reshape(40, 20, 20, 1).astype(np.uint8)
    atlases = make_atlases(smooth, (1, 20, 20))
    assert (atlases.columns, atlases.rows, len(atlases.files)) == (3, 3, 5)
    assert not atlases.lossless
    sizes = [Image.open(io.BytesIO(file)).size for file in atlases.files]
    assert sizes == [(60, 60)] * 4 + [(60, 40)]
    found = read_page(page(PageItems(40, atlases=atlases), space(40)))
    assert np.abs(found.tiles()[..., :1].astype(int) - smooth).max() <= 8


def test_large_images_are_shrunk_by_area_and_others_shown_as_in_figures():
    large = np.zeros((2, 1, 128, 64), np.uint8)
    large[:, :, ::2] = 200
    assert tiles_of(large).shape == (2, 64, 32, 1)
    assert (tiles_of(large) == 100).all()
    deep = np.full((1, 1, 4, 4), 65535, np.uint16)
    assert (tiles_of(deep) == 255).all()
    many = np.arange(5, dtype=np.uint8).reshape(1, 5, 1, 1) + np.zeros((1, 5, 4, 4), np.uint8)
    assert tiles_of(many)[0, 0, 0].tolist() == [0, 1, 2]
    assert tiles_of(many, (4, 0, 2))[0, 0, 0].tolist() == [4, 0, 2]
    assert tiles_of(many[:, :2])[0, 0, 0].tolist() == [0]
