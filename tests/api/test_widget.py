"""The explorer in a notebook: what the widget holds, and what it refuses."""

import importlib.util

import pytest

import latentkit as lk
from latentkit.errors import BrokenEnvironmentError

pytestmark = pytest.mark.usefixtures("blank_figures")

SMALL = {"model.channels": [4, 8], "model.hidden": [16], "model.latent_dim": 3, "threads": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return lk.run(epochs=1, options=SMALL, out=tmp_path_factory.mktemp("runs"), name="small")


def test_the_widget_holds_the_container_of_the_page(run):
    pytest.importorskip("anywidget")
    widget = run.explorer()
    assert widget.header["items"]["count"] == 360
    assert set(widget.blobs) >= {"items/labels", "space0/latents", "space0/map0/coordinates"}
    assert all(isinstance(blob, bytes) for blob in widget.blobs.values())
    assert repr(widget) == "<Explorer: conv-ae on digits, Run small, 360 test images>"
    assert "export default { render }" in widget._esm
    assert run.explorer(on=40).header["items"]["count"] == 40


def test_the_selection_is_a_list_of_items_that_exist(run):
    traitlets = pytest.importorskip("traitlets")
    pytest.importorskip("anywidget")
    widget, seen = run.explorer(), []
    widget.observe(lambda change: seen.append(change["new"]), "selection")
    widget.selection = [3, 5]
    assert seen == [[3, 5]]
    for wrong in ([360], [-1], ["3"]):
        with pytest.raises(traitlets.TraitError):
            widget.selection = wrong
    assert widget.selection == [3, 5]
    widget.hovered = 7
    widget.color_by = "error"
    assert (widget.hovered, widget.color_by) == (7, "error")
    widget.color_by = "latent:2"
    with pytest.raises(traitlets.TraitError, match="did you mean 'error'"):
        widget.color_by = "eror"


def test_without_anywidget_the_message_says_what_to_install(run, monkeypatch):
    known = importlib.util.find_spec
    monkeypatch.setattr(
        "latentkit.api.run_handle.find_spec",
        lambda name: None if name == "anywidget" else known(name),
    )
    with pytest.raises(BrokenEnvironmentError, match=r"pip install 'latentkit\[widget\]', or open"):
        run.explorer()
