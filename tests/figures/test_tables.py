import numpy as np
import pytest

from latentkit.figures.image_grids import image_table
from latentkit.figures.style import save_svg

GENERATOR = np.random.default_rng(0)


def texts(axes):
    return [text.get_text() for text in (*axes.get_yticklabels(), *axes.get_xticklabels())]


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 9, 11), (1, 28, 28)])
def test_a_table_places_each_image_in_its_row_and_column(shape):
    cells = np.stack([np.full((3, *shape), value) for value in (0.2, 0.8)])
    cells[0, 1] = np.nan
    figure = image_table(cells, ["first", "second"], ["x", "y", "z"], "title", caption="said")
    (axes,) = figure.axes
    assert texts(axes) == ["first", "second", "x", "y", "z"]
    canvas = axes.images[0].get_array()
    for row, y in enumerate(axes.get_yticks()):
        for column, x in enumerate(axes.get_xticks()):
            expected = 1.0 if (row, column) == (0, 1) else (0.2, 0.8)[row]
            assert np.allclose(canvas[int(y), int(x)], expected)


def test_notes_are_below_their_images():
    cells = GENERATOR.random((2, 2, 1, 8, 8))
    notes = [["", "0.1"], ["0.2", "0.3"]]
    (axes,) = image_table(cells, ["", ""], ["", ""], "title", notes=notes).axes
    places = {text.get_text(): text.get_position() for text in axes.texts if text.get_text()}
    assert places["0.1"][0] == places["0.3"][0]
    assert places["0.2"][1] == places["0.3"][1] > places["0.1"][1]


def test_an_svg_holds_text_and_no_date(tmp_path):
    figure = image_table(GENERATOR.random((1, 1, 1, 8, 8)), ["<row>"], [""], "title")
    contents = []
    for name in "ab":
        save_svg(figure, tmp_path / name)
        contents.append((tmp_path / name).read_text(encoding="utf-8"))
    assert contents[0] == contents[1]
    assert "&lt;row&gt;" in contents[0]
