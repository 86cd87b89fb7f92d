"""HTML for notebooks is escaped and self-contained."""

from functools import partial

from latentkit.api.run_handle import map_pictures, table, title
from latentkit.errors import IntegrityError

EVIL = "<script>alert('x')</script>&"


def test_names_chosen_by_users_are_escaped():
    shown = title(EVIL, EVIL) + table([(EVIL, EVIL)], header=(EVIL, EVIL))
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 6


def test_maps_are_embedded_in_the_page_and_other_figures_are_not():
    names = ["loss", "map-pca", "map-pca-images", "map-isomap", "features-pca", "map-gone"]
    figures = {name: partial(bytes, b"\x89PNG" + name.encode()) for name in names}

    def gone():
        raise IntegrityError("map-gone.png is missing")

    shown = map_pictures({**figures, "map-gone": gone})
    assert shown.count("<img") == 3
    assert "map-gone is left out: map-gone.png is missing" in shown
    assert "alt='map-isomap'" in shown
    assert "alt='map-pca'" in shown
    assert "file:" not in shown


def test_the_name_of_a_map_cannot_break_out_of_its_html_attribute():
    name = "map-' onerror='x"
    assert "' onerror='" not in map_pictures({name: lambda: b"\x89PNG"})
