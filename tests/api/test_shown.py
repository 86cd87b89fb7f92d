"""HTML for notebooks is escaped and self-contained."""

from latentkit.api.run_handle import map_pictures, table, title

EVIL = "<script>alert('x')</script>&"


def test_names_chosen_by_users_are_escaped():
    shown = title(EVIL, EVIL) + table([(EVIL, EVIL)], header=(EVIL, EVIL))
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 6


def test_maps_are_embedded_in_the_page_and_other_figures_are_not(tmp_path):
    names = ["loss", "map-pca", "map-pca-images", "map-isomap", "features-pca", "map-gone"]
    figures = {name: tmp_path / f"{name}.png" for name in names}
    for name in names[:-1]:
        figures[name].write_bytes(b"\x89PNG" + name.encode())
    shown = map_pictures(figures)
    assert shown.count("<img") == 3
    assert "alt='map-isomap'" in shown
    assert "alt='map-pca'" in shown
    assert "file:" not in shown


def test_the_name_of_a_map_cannot_break_out_of_its_html_attribute(tmp_path):
    name = "map-' onerror='x"
    path = tmp_path / "map.png"
    path.write_bytes(b"\x89PNG")
    assert "' onerror='" not in map_pictures({name: path})
