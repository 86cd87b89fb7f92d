import numpy as np
import pytest

from latentkit.maps.map_figures import Panel, map_grid

POINTS = np.random.default_rng(0).normal(size=(50, 2))
LABELS = np.arange(50) % 3


@pytest.mark.parametrize("count", [1, 2, 5])
def test_each_panel_shows_all_its_points_with_title_and_note(count):
    panels = [Panel(f"trial {n}", f"note {n}", POINTS + n, LABELS) for n in range(count)]
    figure = map_grid(panels, "abc", "title", "a caption.")
    shown = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title(loc="left") for axes in shown] == [f"trial {n}" for n in range(count)]
    assert [axes.get_xlabel() for axes in shown] == [f"note {n}" for n in range(count)]
    for n, axes in enumerate(shown):
        drawn = np.concatenate([part.get_offsets() for part in axes.collections])
        assert np.allclose(np.sort(drawn, axis=0), np.sort(POINTS + n, axis=0))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b", "c"]
    assert legend.get_title().get_text() == "50 points"


def test_without_labels_there_is_no_legend():
    assert not map_grid([Panel("one", "", POINTS, None)], (), "title").legends
