// Puts the parts of the explorer together, and hands keys to them.

import { App } from "./app";
import { Dataset, type LatentMap } from "./data/dataset";
import { Thumbnails } from "./data/thumbnails";
import { button, checkbox, h, icon } from "./dom";
import { type Container } from "./layout";
import { MapView } from "./map/map_view";
import { Painter } from "./map/painter";
import { Help } from "./panels/help";
import { ItemPanel } from "./panels/item_panel";
import { Legend } from "./panels/legend";
import { MapStrip } from "./panels/map_strip";
import { Search } from "./panels/search";
import { SelectionPanel } from "./panels/selection_panel";
import { EMPTY, type Panel, type State, Store, type Tool } from "./store";

const TOOLS: { tool: Tool; key: string; name: string; title: string; paths: string[] }[] = [
  { tool: "pan", key: "p", name: "Move", title: "Move the map", paths: ["M10 2v16M2 10h16M10 2l-2 2M10 2l2 2M10 18l-2-2M10 18l2-2M2 10l2-2M2 10l2 2M18 10l-2-2M18 10l-2 2"] },
  { tool: "lasso", key: "l", name: "Lasso", title: "Select by drawing round points", paths: ["M10 3c4 0 7 2 7 5s-3 5-7 5-7-2-7-5 3-5 7-5zM6 12c-1 1-1 3 0 3s2 1 1 3"] },
  { tool: "rectangle", key: "r", name: "Rectangle", title: "Select in a rectangle", paths: ["M3 5h14v10H3z"] },
];

const PANELS: { panel: Panel; name: string }[] = [
  { panel: "item", name: "Item" },
  { panel: "selection", name: "Selection" },
];

export class Explorer {
  readonly app: App;
  readonly views: MapView[] = [];
  private readonly live = h("div", { class: "lk-unseen", role: "status", "aria-live": "polite" });
  private readonly stage = h("main", { class: "lk-views" });
  private readonly help = new Help();
  private readonly search: Search;
  private announced = 0;

  constructor(readonly root: HTMLElement, container: Container, state: Partial<State> = {}) {
    root.classList.add("lk-explorer");
    const data = new Dataset(container);
    const store = new Store();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    const dark = (): boolean => scheme.matches;
    const painter = new Painter(data, store, dark);
    this.app = new App(root, data, store, new Thumbnails(container), painter, (text) => this.announce(text), dark);
    store.update({ ...this.defaults(data), ...state });
    scheme.addEventListener("change", () => this.restyle());
    this.search = new Search(this.app, (item) => this.views.forEach((view) => view.centre(item)));
  }

  /** Draws the first picture as soon as its data are read, then the rest. */
  async start(): Promise<void> {
    const { app, root } = this;
    await app.data.start();
    const main = new MapView(app, app.map, true, null);
    this.views.push(main);
    this.stage.append(main.element);
    const legend = new Legend(app);
    const strip = new MapStrip(app, (map, beside) => this.choose(map, beside));
    const center = h("div", { class: "lk-center" }, this.stage, strip.element);
    root.replaceChildren(this.header(), h("div", { class: "lk-body" }, h("aside", { class: "lk-left" }, legend.element, this.layers(), this.notes()), center, this.panels()), this.help.element, this.live);
    root.addEventListener("keydown", (event) => this.key(event));
    await main.show(app.map);
    performance.mark("latentkit-first-picture");
    root.dataset.ready = "true";
    await app.data.rest();
    strip.draw();
    for (const column of app.space.columns) void column.values.get();
    await app.space.latents?.get();
    await app.thumbnails.ready(0);
    legend.draw();
    root.dataset.complete = "true";
  }

  private defaults(data: Dataset): Partial<State> {
    const [first] = data.spaces;
    const [map] = data.allMaps();
    const colour = data.container.header.items.labels ? "class" : first?.columns[0] ? `column:${first.columns[0].header.key}` : "none";
    const plane: [number, number] = [first?.order[0] ?? 0, first?.order[1] ?? 0];
    return { maps: [map?.id ?? `0/plane:${plane[0]}:${plane[1]}`], colour, plane };
  }

  private choose(map: LatentMap, beside: boolean): void {
    const { store } = this.app;
    const [main = map.id] = store.state.maps;
    if (beside && map.id !== main) {
      store.update({ maps: [main, map.id] });
      return;
    }
    if (map.id === main) return;
    store.update({ maps: [map.id], camera: null });
    const [view] = this.views;
    void view?.show(map);
    this.app.announce(`${map.header.name} shown`);
  }

  private header(): HTMLElement {
    const { header } = this.app.data.container;
    return h(
      "header",
      { class: "lk-header" },
      h("div", { class: "lk-heading" }, h("h1", {}, header.title), h("p", {}, header.subtitle)),
      this.tools(),
      this.search.element,
      button("?", () => this.help.open(), { className: "lk-tool", label: "Help: keys and gestures", title: "Keys and gestures (?)" }),
    );
  }

  private tools(): HTMLElement {
    const { store } = this.app;
    const buttons = TOOLS.map(({ tool, key, name, title, paths }) => {
      const element = button("", () => store.update({ tool }), { className: "lk-tool", icon: icon(...paths), label: name, title: `${title} (${key.toUpperCase()})`, pressed: store.state.tool === tool });
      store.on(["tool"], (state) => element.setAttribute("aria-pressed", String(state.tool === tool)));
      return element;
    });
    return h("div", { class: "lk-tools", role: "toolbar", "aria-label": "Tools" }, ...buttons);
  }

  private layers(): HTMLElement {
    const { store, thumbnails } = this.app;
    const { state } = store;
    const boxes = [
      { key: "names", text: "Names of classes", there: this.app.data.labels !== null },
      { key: "thumbnails", text: "Images when near", there: thumbnails.available },
      { key: "density", text: "Density", there: true },
    ] as const;
    const section = h("section", { class: "lk-layers", "aria-label": "Layers" });
    for (const { key, text, there } of boxes) {
      if (!there) continue;
      const box = checkbox(text, state[key], (on) => store.update({ [key]: on }));
      const input = box.querySelector("input");
      store.on([key], (now) => {
        if (input) input.checked = now[key];
      });
      section.append(box);
    }
    return section;
  }

  private notes(): HTMLElement | null {
    const { header } = this.app.data.container;
    const notes = [...header.notes];
    if (header.items.no_images) notes.push(header.items.no_images);
    if (notes.length === 0) return null;
    return h("details", { class: "lk-notes", open: notes.length < 3 }, h("summary", {}, "Notes"), ...notes.map((note) => h("p", {}, note)));
  }

  private panels(): HTMLElement {
    const { store } = this.app;
    const made: Partial<Record<Panel, HTMLElement>> = { item: new ItemPanel(this.app).element, selection: new SelectionPanel(this.app).element };
    const tabs = h("div", { class: "lk-tabs", role: "tablist", "aria-label": "Panels" });
    const bodies = h("div", { class: "lk-panels" });
    for (const { panel, name } of PANELS) {
      const tab = h("button", { type: "button", role: "tab", id: `lk-tab-${panel}`, "aria-controls": `lk-panel-${panel}` }, name);
      tab.addEventListener("click", () => store.update({ panel }));
      tabs.append(tab);
      const body = made[panel];
      if (!body) continue;
      body.id = `lk-panel-${panel}`;
      body.setAttribute("role", "tabpanel");
      body.setAttribute("aria-labelledby", tab.id);
      bodies.append(body);
      const follow = (state: State): void => {
        tab.setAttribute("aria-selected", String(state.panel === panel));
        tab.tabIndex = state.panel === panel ? 0 : -1;
        body.hidden = state.panel !== panel;
        if (panel === "selection") tab.textContent = state.selection.length ? `${name} ${state.selection.length.toLocaleString("en")}` : name;
      };
      store.on(["panel", "selection"], follow);
      follow(store.state);
    }
    tabs.addEventListener("keydown", (event) => {
      const step = event.key === "ArrowRight" ? 1 : event.key === "ArrowLeft" ? -1 : 0;
      if (!step) return;
      const place = PANELS.findIndex(({ panel }) => panel === store.state.panel);
      const next = PANELS[(place + step + PANELS.length) % PANELS.length]!;
      store.update({ panel: next.panel });
      tabs.querySelector<HTMLElement>(`#lk-tab-${next.panel}`)?.focus();
    });
    return h("aside", { class: "lk-right" }, tabs, bodies);
  }

  private key(event: KeyboardEvent): void {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { target } = event;
    if (target instanceof HTMLInputElement || target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement) return;
    const { store } = this.app;
    const tool = TOOLS.find(({ key }) => key === event.key.toLowerCase());
    const panel = PANELS[Number(event.key) - 1];
    if (event.key === "/") {
      this.search.input.focus();
      this.search.input.select();
    } else if (event.key === "?") this.help.open();
    else if (event.key === "Escape") this.escape();
    else if (tool) store.update({ tool: tool.tool });
    else if (panel) store.update({ panel: panel.panel });
    else if (event.key === "d") store.update({ distances: !store.state.distances });
    else if (event.key === "n") store.update({ names: !store.state.names });
    else if (event.key === "g") store.update({ density: !store.state.density });
    else if (event.key === "i") store.update({ thumbnails: !store.state.thumbnails });
    else if (event.key === "[" || event.key === "]") this.step(event.key === "]" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  private step(by: number): void {
    const maps = this.app.data.allMaps();
    const place = maps.findIndex((map) => map.id === this.app.map.id);
    const next = maps[(place + by + maps.length) % maps.length];
    if (next) this.choose(next, false);
  }

  private escape(): void {
    const { store } = this.app;
    const { state } = store;
    if (state.pinned >= 0 || state.hovered >= 0) store.update({ pinned: -1, hovered: -1, distances: false });
    else if (state.selection.length) store.update({ selection: EMPTY });
    else store.update({ hidden: new Set(), range: null, tool: "pan" });
    this.app.announce("Cleared");
  }

  private restyle(): void {
    this.app.painter.reset();
    for (const view of this.views) view.scene.restyle();
    this.app.store.update({ hidden: new Set(this.app.store.state.hidden) });
  }

  private announce(text: string): void {
    clearTimeout(this.announced);
    this.announced = window.setTimeout(() => (this.live.textContent = text), 120);
  }
}
