"""The explorer as a widget for notebooks. Import this module only to use it: it needs anywidget."""

from __future__ import annotations

import re

import anywidget
import traitlets

from latentkit.errors import did_you_mean
from latentkit.explore.explorer_layout import Layout
from latentkit.explore.explorer_page import asset

_RENDER = """
async function render({ model, el }) {
  const { mount, Container } = latentkitExplorer;
  const container = Container.fromWidget(model.get("header"), model.get("blobs"));
  let own = false; // a change that the view itself made
  const keep = (name) => (value) => {
    own = true;
    model.set(name, value);
    own = false;
    model.save_changes();
  };
  const view = await mount(el, await container, {
    onSelection: keep("selection"),
    onHovered: keep("hovered"),
    onColorBy: keep("color_by"),
  });
  const follow = (name, show) => {
    const changed = () => { if (!own) show(model.get(name)); };
    model.on(`change:${name}`, changed);
    return () => model.off(`change:${name}`, changed);
  };
  if (model.get("selection").length) view.setSelection(model.get("selection"));
  if (model.get("color_by")) view.setColorBy(model.get("color_by"));
  const ends = [
    follow("selection", (items) => view.setSelection(items)),
    follow("hovered", (item) => view.setHovered(item)),
    follow("color_by", (key) => view.setColorBy(key)),
  ];
  return () => { ends.forEach((end) => end()); view.destroy(); };
}
export default { render };
"""


class ExplorerWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """The explorer of runs in a notebook.

    Items are numbered from 0 in the order of the page. For a run's test images, which are the
    default, these are the numbers that latentkit's commands take.

    Attributes:
        selection: numbers of the selected items; setting it selects them in the view.
        hovered: number of the item under the pointer, or None.
        color_by: what colours the points: ``class``, ``split``, ``trust``, ``none``, ``latent:0``,
            or the key of a column, such as ``error``; empty for the view's own choice.
    """

    _esm = asset("explorer.js") + _RENDER
    _css = asset("explorer.css")
    header = traitlets.Dict().tag(sync=True)
    blobs = traitlets.Dict().tag(sync=True)
    selection = traitlets.List(traitlets.Int(min=0)).tag(sync=True)
    hovered = traitlets.Int(None, allow_none=True).tag(sync=True)
    color_by = traitlets.Unicode("").tag(sync=True)

    def __init__(self, layout: Layout) -> None:
        blobs = {name: blob.stored for name, blob in layout.blobs.items()}
        super().__init__(header=layout.header, blobs=blobs)

    @traitlets.validate("selection")  # type: ignore[untyped-decorator]
    def _known_items(self, proposal: traitlets.Bunch) -> list[int]:
        count = self.header["items"]["count"]
        for item in proposal["value"]:
            if item >= count:
                raise traitlets.TraitError(
                    f"there is no item {item}: give numbers from 0 to {count - 1}"
                )
        return list(proposal["value"])

    @traitlets.validate("color_by")  # type: ignore[untyped-decorator]
    def _known_colour(self, proposal: traitlets.Bunch) -> str:
        wanted = str(proposal["value"])
        columns = [one["key"] for space in self.header["spaces"] for one in space["columns"]]
        known = list(dict.fromkeys(["class", "split", "trust", "none", *columns]))
        if wanted in ("", *known) or re.fullmatch(r"latent:\d+", wanted):
            return wanted
        raise traitlets.TraitError(
            f"points cannot be coloured by {wanted!r}{did_you_mean(wanted, known)}: choose "
            f"{', '.join(known)}, or latent:0"
        )

    def __repr__(self) -> str:
        return f"<Explorer: {self.header['title']}, {self.header['subtitle']}>"
