// The panels on the right, one at a time.

import { type App } from "../app";
import { h } from "../dom";
import { type Panel, type State } from "../store";

export const PANELS: readonly { panel: Panel; name: string }[] = [
  { panel: "item", name: "Item" },
  { panel: "selection", name: "Selection" },
  { panel: "decode", name: "Decode" },
  { panel: "compare", name: "Compare" },
  { panel: "classes", name: "Classes" },
];

/** Whether a page has what a panel shows. */
export function available(app: App, panel: Panel): boolean {
  return panel !== "classes" || app.data.hasPredictions;
}

export function tabs(app: App, panels: Record<Panel, HTMLElement>): HTMLElement {
  const { store } = app;
  const list = h("div", { class: "lk-tabs", role: "tablist", "aria-label": "Panels" });
  const bodies = h("div", { class: "lk-panels" });
  const shown = PANELS.filter(({ panel }) => available(app, panel));
  shown.forEach(({ panel, name }, place) => {
    const count = h("span", { class: "lk-tab-count" });
    const tab = h("button", { type: "button", role: "tab", id: `lk-tab-${panel}`, "aria-controls": `lk-panel-${panel}`, title: `Key ${place + 1}` }, name, count);
    tab.addEventListener("click", () => store.update({ panel }));
    list.append(tab);
    const body = panels[panel];
    body.id = `lk-panel-${panel}`;
    body.setAttribute("role", "tabpanel");
    body.setAttribute("aria-labelledby", tab.id);
    bodies.append(body);
    const follow = (state: State): void => {
      tab.setAttribute("aria-selected", String(state.panel === panel));
      tab.tabIndex = state.panel === panel ? 0 : -1;
      body.hidden = state.panel !== panel;
      if (panel === "selection") count.textContent = state.selection.length ? app.selected.length.toLocaleString("en") : "";
    };
    store.on(["panel", "selection", "hidden", "range", "maps"], follow);
    follow(store.state);
  });
  store.on(["panel"], () => (bodies.scrollTop = 0));
  list.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const place = shown.findIndex(({ panel }) => panel === store.state.panel);
    const next = shown[(place + step + shown.length) % shown.length]!;
    store.update({ panel: next.panel });
    list.querySelector<HTMLElement>(`#lk-tab-${next.panel}`)?.focus();
  });
  return h("aside", { class: "lk-right", "aria-label": "Details" }, list, bodies);
}
