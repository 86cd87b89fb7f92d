// Keys that work wherever the focus is, but in fields of text.

import { type App } from "./app";
import { available, PANELS } from "./panels/tabs";
import { TOOLS, usable } from "./panels/toolbar";
import { EMPTY } from "./store";

export interface KeyActions {
  search(): void;
  help(): void;
  nextMap(step: number): void;
}

/** Does what a key means; false if it means nothing. */
export function pressed(app: App, event: KeyboardEvent, actions: KeyActions): boolean {
  if (event.ctrlKey || event.metaKey || event.altKey) return false;
  const { target } = event;
  const field = target instanceof HTMLInputElement && target.type !== "checkbox" && target.type !== "range";
  if (field || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return false;
  if (target instanceof Element && target.closest("dialog")) return false;
  const { store } = app;
  const { state } = store;
  const tool = TOOLS.find(({ key }) => key === event.key.toLowerCase());
  const panel = PANELS[Number(event.key) - 1];
  if (event.key === "/") actions.search();
  else if (event.key === "?") actions.help();
  else if (event.key === "Escape") escape(app);
  else if (tool && usable(app, tool.tool)) store.update({ tool: tool.tool });
  else if (panel && available(app, panel.panel)) store.update({ panel: panel.panel });
  else if (event.key === "d") store.update({ distances: !state.distances });
  else if (event.key === "n") store.update({ names: !state.names });
  else if (event.key === "g") store.update({ density: !state.density });
  else if (event.key === "i") store.update({ thumbnails: !state.thumbnails });
  else if (event.key === "[" || event.key === "]") actions.nextMap(event.key === "]" ? 1 : -1);
  else return false;
  return true;
}

/** Ends decoding first, then clears the pinned item, then the selection, then filters and the tool. */
function escape(app: App): void {
  const { store } = app;
  const { state } = store;
  if (state.tool === "decode") {
    store.update({ tool: "pan" });
    app.announce("Decoding ended");
  } else if (state.pinned >= 0 || state.distances) {
    store.update({ pinned: -1, hovered: -1, distances: false });
    app.announce("Nothing is pinned now");
  } else if (state.selection.length) {
    store.update({ selection: EMPTY });
    app.announce("Selection cleared");
  } else {
    store.update({ hidden: new Set(), range: null, tool: "pan", hovered: -1 });
    app.announce("Filters cleared");
  }
}
