// The panels on the right, one at a time.

import { type App } from "../app";
import { h } from "../dom";
import { type Panel, type State } from "../store";

export const PANELS: readonly { panel: Panel; name: string }[] = [
  { panel: "item", name: "Item" },
  { panel: "selection", name: "Selection" },
  { panel: "decode", name: "Decode" },
  { panel: "compare", name: "Compare" },
];

export function tabs(app: App, panels: Record<Panel, HTMLElement>): HTMLElement {
  const { store } = app;
  const list = h("div", { class: "lk-tabs", role: "tablist", "aria-label": "Panels" });
  const bodies = h("div", { class: "lk-panels" });
  PANELS.forEach(({ panel, name }, place) => {
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
      if (panel === "selection") count.textContent = state.selection.length ? state.selection.length.toLocaleString("en") : "";
    };
    store.on(["panel", "selection"], follow);
    follow(store.state);
  });
  store.on(["panel"], () => (bodies.scrollTop = 0));
  list.addEventListener("keydown", (event) => {
    const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
    if (!step) return;
    const place = PANELS.findIndex(({ panel }) => panel === store.state.panel);
    const next = PANELS[(place + step + PANELS.length) % PANELS.length]!;
    store.update({ panel: next.panel });
    list.querySelector<HTMLElement>(`#lk-tab-${next.panel}`)?.focus();
  });
  return h("aside", { class: "lk-right", "aria-label": "Details" }, list, bodies);
}
