// Puts the parts of the explorer together.

import { App } from "./app";
import { Dataset, type LatentMap } from "./data/dataset";
import { Thumbnails } from "./data/thumbnails";
import { button, checkbox, h } from "./dom";
import { Faults } from "./faults";
import { pressed } from "./keys";
import { type Container, LayoutError } from "./layout";
import { Loupe } from "./map/loupe";
import { MapView } from "./map/map_view";
import { Morph } from "./map/morph";
import { Painter } from "./map/painter";
import { ClassPanel } from "./panels/class_panel";
import { ComparePanel } from "./panels/compare_panel";
import { DecodePanel } from "./panels/decode_panel";
import { Help } from "./panels/help";
import { ItemPanel } from "./panels/item_panel";
import { Legend } from "./panels/legend";
import { MapStrip } from "./panels/map_strip";
import { Search } from "./panels/search";
import { SelectionPanel } from "./panels/selection_panel";
import { tabs } from "./panels/tabs";
import { toolbar, usable } from "./panels/toolbar";
import { type State, Store } from "./store";

export class Explorer {
  readonly app: App;
  readonly views: MapView[] = [];
  /** The state before anything is done. */
  readonly begin: State;
  private readonly live = h("div", { class: "lk-unseen", role: "status", "aria-live": "polite" });
  private readonly stage = h("div", { class: "lk-views" });
  private readonly help = new Help();
  private readonly faults = new Faults();
  private readonly search: Search;
  private readonly loupe: Loupe;
  private morph: { key: string; morph: Morph } | null = null;
  private announced = 0;
  private readonly scheme = matchMedia("(prefers-color-scheme: dark)");
  private readonly restyled = (): void => this.restyle();

  private readonly keyDown = (event: Event): void => {
    const actions = { search: () => this.openSearch(), help: () => this.help.open(), nextMap: (step: number) => this.step(step) };
    if (!(event instanceof KeyboardEvent) || !pressed(this.app, event, actions)) return;
    event.preventDefault();
    for (const view of this.views) view.hideTooltip(); // the pointer rests, and may be elsewhere by now
  };

  /**
   * @param keys what is listened to for keys: the whole page, or the root where others are in the page, too.
   * @param change what differs from the usual state at the start.
   */
  constructor(readonly root: HTMLElement, container: Container, private readonly keys: EventTarget = root, change?: (data: Dataset) => Partial<State>) {
    root.classList.add("lk-explorer");
    const data = new Dataset(container);
    const store = new Store();
    const dark = (): boolean => this.scheme.matches;
    store.update(defaults(data));
    this.begin = store.state;
    if (change) store.update(change(data));
    const fault = (reason: unknown): void => this.faults.add(reason);
    const painter = new Painter(data, store, dark, fault);
    this.app = new App(root, data, store, new Thumbnails(container, fault), painter, (text) => this.announce(text), dark, fault);
    if (!usable(this.app, store.state.tool)) store.update({ tool: "pan" });
    this.scheme.addEventListener("change", this.restyled);
    this.search = new Search(this.app, (item) => this.views.forEach((view) => view.centre(item)));
    this.loupe = new Loupe(this.app);
  }

  /** Draws the first picture as soon as its data are read, then the rest. */
  async start(): Promise<void> {
    const { app, root } = this;
    await app.data.start();
    const main = this.addView(app.map, true);
    const legend = new Legend(app);
    const item = new ItemPanel(app);
    const strip = new MapStrip(app, (map, beside) => this.choose(map, beside));
    root.replaceChildren(
      this.header(), this.faults.element,
      h("div", { class: "lk-body" },
        h("aside", { class: "lk-left", "aria-label": "Colours and layers" }, legend.element, this.layers(), this.notes()),
        h("div", { class: "lk-center" }, this.stage, strip.element),
        tabs(app, {
          item: item.element,
          selection: new SelectionPanel(app).element,
          decode: new DecodePanel(app, (id) => this.choose(app.data.map(id)!, false)).element,
          compare: new ComparePanel(app).element,
          classes: new ClassPanel(app).element,
        }),
      ),
      this.help.element, this.live,
    );
    this.keys.addEventListener("keydown", this.keyDown);
    app.store.on(["maps"], () => this.showMaps());
    app.store.on(["track", "progress"], () => app.later(this.showMorph()));
    app.store.on(["camera"], () => main.followCamera());
    app.store.on(["tool", "panel", "maps"], () => this.loupe.end());
    app.store.on(["tool", "maps"], () => this.prepareDecoding());
    await this.showFirst(main);
    performance.mark("latentkit-first-picture");
    root.dataset.ready = "true";
    await this.readRest(strip, legend, item);
    root.dataset.complete = "true";
  }

  close(): void {
    this.scheme.removeEventListener("change", this.restyled);
    this.keys.removeEventListener("keydown", this.keyDown);
    for (const view of this.views.splice(0)) view.close();
    this.root.replaceChildren();
  }

  private async readRest(strip: MapStrip, legend: Legend, item: ItemPanel): Promise<void> {
    const { app } = this;
    await new Promise((resolve) => setTimeout(resolve)); // the first picture is shown before the index is built
    this.views[0]?.placement?.prepare();
    // One part that cannot be read does not keep others from being shown.
    const read = (work: Promise<unknown> | undefined): Promise<unknown> | undefined => work?.catch((reason: unknown) => app.fault(reason));
    await read(app.data.rest());
    await app.thumbnails.ready(0);
    for (const column of app.space.columns) await read(column.values.get());
    await read(app.space.latents?.get());
    strip.draw();
    legend.draw();
    item.draw();
    this.showMaps();
    await read(this.showMorph());
    await app.decoder(app.space).get().catch((reason: unknown) => {
      if (reason instanceof LayoutError) app.fault(reason); // of what else goes wrong, the panel tells
    });
    this.prepareDecoding();
  }

  /** Shows the first picture: the map of the address, or if that cannot be read, the usual one. */
  private async showFirst(main: MapView): Promise<void> {
    const { app, begin } = this;
    try {
      await main.show(app.map);
    } catch (reason) {
      if (app.store.state.maps[0] === begin.maps[0]) throw reason;
      app.fault(reason);
      app.store.update({ maps: begin.maps, track: [], progress: 0 });
      await main.show(app.map);
    }
  }

  /** Reads what the decode tool needs of the runs that are shown. */
  private prepareDecoding(): void {
    const { app } = this;
    if (app.store.state.tool !== "decode") return;
    const spaces = new Set(app.store.state.maps.map((id) => app.data.map(id)?.space));
    for (const space of spaces) if (space?.header.decoder) app.later(app.readyToDecode(space));
  }

  private addView(map: LatentMap, main: boolean): MapView {
    const view = new MapView(this.app, map, main, this.loupe);
    this.views.push(view);
    this.stage.append(view.element);
    return view;
  }

  /** Shows a map in place of the main one, or beside it. */
  private choose(map: LatentMap, beside: boolean): void {
    const { store } = this.app;
    const [main = map.id, second] = store.state.maps;
    if (beside) {
      if (map.id !== main) store.update({ maps: second === map.id ? [main] : [main, map.id] });
    } else if (map.id !== main) {
      store.update({ maps: second && second !== map.id ? [map.id, second] : [map.id], track: [], progress: 0, camera: null });
      this.app.announce(`${map.header.name} shown`);
    }
  }

  private showMaps(): void {
    const { app } = this;
    const { state } = app.store;
    const maps = state.maps.map((id) => app.data.map(id)).filter((map) => map !== null);
    maps.forEach((map, place) => {
      const view = this.views[place] ?? this.addView(map, place === 0);
      view.show(map).catch((reason: unknown) => {
        app.fault(reason);
        this.withdraw(view, map);
      });
    });
    for (const view of this.views.splice(maps.length)) view.close();
    if (!usable(app, state.tool)) app.store.update({ tool: "pan" });
  }

  /** Takes a map that cannot be read out of the state again. */
  private withdraw(view: MapView, map: LatentMap): void {
    const { store } = this.app;
    const place = this.views.indexOf(view);
    if (place < 0 || store.state.maps[place] !== map.id) return;
    const maps = [...store.state.maps];
    if (view.placement) maps[place] = view.map.id;
    else maps.splice(place, 1);
    if (maps.length) store.update({ maps: [...new Set(maps)] });
  }

  private async showMorph(): Promise<void> {
    const { app } = this;
    const [main] = this.views;
    const { track } = app.store.state;
    if (!main) return;
    const stops = track.map((id) => app.data.map(id)).filter((map) => map !== null);
    if (stops.length < 2) {
      if (this.morph) main.replacePositions(null);
      this.morph = null;
      return;
    }
    const key = track.join();
    if (this.morph?.key !== key) {
      const placements = await Promise.all(stops.map((map) => app.placement(map))).catch((reason: unknown) => {
        app.fault(reason);
        app.store.update({ track: [], progress: 0 });
        return null;
      });
      if (!placements) return;
      if (app.store.state.track.join() !== key) return;
      this.morph = { key, morph: new Morph(placements) };
    }
    this.morph.morph.set(app.store.state.progress);
    main.replacePositions(this.morph.morph);
  }

  private step(by: number): void {
    const maps = this.app.data.allMaps();
    const place = maps.findIndex((map) => map.id === this.app.map.id);
    const next = maps[(place + by + maps.length) % maps.length];
    if (next) this.choose(next, false);
  }

  private openSearch(): void {
    this.search.input.focus();
    this.search.input.select();
  }

  private header(): HTMLElement {
    const { header } = this.app.data.container;
    return h(
      "header",
      { class: "lk-header" },
      h("div", { class: "lk-heading" }, h("h1", {}, header.title), h("p", {}, header.subtitle)),
      toolbar(this.app),
      this.search.element,
      button("?", () => this.help.open(), { className: "lk-tool", label: "Help: keys and gestures", title: "Keys and gestures (?)" }),
    );
  }

  private layers(): HTMLElement {
    const { store, thumbnails, data } = this.app;
    const boxes = [
      { key: "names", text: "Names of classes", there: data.labels !== null, hint: "N" },
      { key: "thumbnails", text: "Images when near", there: thumbnails.available, hint: "I" },
      { key: "density", text: "Density", there: true, hint: "G" },
      { key: "distances", text: "True distances", there: this.app.space.latents !== null, hint: "Colour all points by their distance in the latents to the item you point at (D)" },
    ] as const;
    const section = h("section", { class: "lk-layers", "aria-label": "Layers" });
    for (const { key, text, there, hint } of boxes) {
      if (!there) continue;
      const box = checkbox(text, store.state[key], (on) => store.update({ [key]: on }), hint);
      const input = box.querySelector("input")!;
      store.on([key], (state) => (input.checked = state[key]));
      section.append(box);
    }
    return section;
  }

  private notes(): HTMLElement {
    const { header } = this.app.data.container;
    const notes = [...header.notes];
    const { images, no_images: missing } = header.items;
    if (missing) notes.push(missing);
    if (images?.lossless === false) notes.push("The images here are compressed: their shades differ a little from the data's.");
    const hidden = notes.length === 0 && this.faults.notes.childElementCount === 0;
    return h("details", { class: "lk-notes", open: notes.length < 3, hidden }, h("summary", {}, "Notes"), ...notes.map((note) => h("p", {}, note)), this.faults.notes);
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

function defaults(data: Dataset): Partial<State> {
  const [first] = data.spaces;
  // Of the first run's maps, the one that can be trusted most.
  const trust = (map: LatentMap): number => map.header.figures.trustworthiness ?? 0;
  const map = first?.maps.reduce<LatentMap | null>((best, one) => (best && trust(best) >= trust(one) ? best : one), null);
  const column = first?.columns[0];
  const colour = data.container.header.items.labels ? "class" : column ? `column:${column.header.key}` : "none";
  const plane: [number, number] = [first?.order[0] ?? 0, first?.order[1] ?? 0];
  return { maps: [map?.id ?? `0/plane:${plane[0]}:${plane[1]}`], colour, plane };
}
