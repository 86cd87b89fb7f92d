// One map: its title and trust, its points, and all that can be done on it.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { button, clear, h, icon } from "../dom";
import { combine, itemsInPolygon, rectangle } from "../geometry/lasso";
import { nearest } from "../geometry/nearest";
import { type Key } from "../store";
import { listen, type Meaning } from "./gestures";
import { MapPlacement, type Placement } from "./placement";
import { Scene } from "./scene";
import { Tooltip } from "./tooltip";
import { trustWords, truth } from "./truth";

const REDRAWS: Partial<Record<Key, "points" | "marks" | "pointer">> = {
  colour: "points", hidden: "points", range: "points", selection: "points", distances: "points",
  latentAt: "pointer", density: "marks", names: "marks", thumbnails: "marks", pinned: "pointer", hovered: "pointer", neighbours: "pointer",
};

export interface DecodeAt {
  /** A pointer is dragged over a place of the map. */
  at(map: LatentMap, placement: Placement, x: number, y: number, screen: { x: number; y: number; stage: HTMLElement }): void;
  /** A place was clicked, or a drag ended there. */
  keep(map: LatentMap, placement: Placement, x: number, y: number): void;
  end(): void;
}

export class MapView implements Meaning {
  readonly element = h("section", { class: "lk-map" });
  readonly scene: Scene;
  placement: Placement | null = null;
  private readonly title = h("div", { class: "lk-map-title" });
  private readonly tooltip: Tooltip;
  private readonly stops: (() => void)[] = [];
  private readonly observer: ResizeObserver;
  private appending: "replace" | "add" | "subtract" = "replace";
  private override: Placement | null = null;
  /** The place of the map that was decoded last. */
  private decoded: [number, number] | null = null;
  /** The map that is shown or being read. */
  private wanted: LatentMap | null = null;
  private showing: Promise<void> = Promise.resolve();

  constructor(private readonly app: App, public map: LatentMap, readonly main: boolean, private readonly decoding: DecodeAt | null) {
    this.scene = new Scene(app, () => (this.shown ? { map: this.map, placement: this.shown } : null));
    this.tooltip = new Tooltip(app);
    const stage = this.scene.element;
    stage.tabIndex = 0;
    stage.setAttribute("role", "application");
    stage.setAttribute("aria-roledescription", "map of points");
    stage.append(this.tooltip.element, this.zoomButtons());
    this.element.append(this.title, stage);
    listen(stage, this);
    stage.addEventListener("keydown", (event) => this.key(event));
    app.thumbnails.onLoad(() => this.scene.draw("marks"));
    app.painter.onLoad(() => this.scene.draw("points"));
    this.stops.push(app.store.on(Object.keys(REDRAWS) as Key[], (_, changed) => this.changed(changed)));
    this.observer = new ResizeObserver(() => this.resized());
    this.observer.observe(stage);
  }

  /** The points that are drawn: those of the map, or of a morph. */
  get shown(): Placement | null {
    return this.override ?? this.placement;
  }

  close(): void {
    this.observer.disconnect();
    for (const stop of this.stops) stop();
    this.element.remove();
  }

  /** Shows a map, or another one. If it cannot be read, the one before stays, with its title. */
  async show(map: LatentMap): Promise<void> {
    if (this.wanted !== map) {
      this.wanted = map;
      this.showing = this.read(map);
    }
    await this.showing;
  }

  private async read(map: LatentMap): Promise<void> {
    let placement: MapPlacement;
    try {
      placement = await this.app.placement(map);
    } catch (reason) {
      if (this.wanted === map) {
        this.wanted = this.placement ? this.map : null;
        this.showing = Promise.resolve();
      }
      throw reason;
    }
    if (this.wanted !== map) return;
    this.map = map;
    this.placement = placement;
    this.writeTitle();
    if (map.trust) this.app.later(map.trust.get());
    this.resized();
    this.scene.fit();
    const { camera } = this.app.store.state;
    if (this.main && camera) this.scene.camera.state = camera;
    this.follow();
    this.scene.draw("points");
    this.scene.flush();
  }

  /** Shows other positions in place of the map's; null goes back to the map. */
  replacePositions(placement: Placement | null): void {
    const between = this.override === null || placement === null;
    this.override = placement;
    if (between) this.writeTitle();
    this.scene.draw("points");
  }

  writeTitle(): void {
    const { header, space } = this.map;
    clear(this.title);
    const several = this.app.data.spaces.length > 1;
    this.title.append(h("h2", {}, header.name, several && h("small", {}, ` ${space.label}`)));
    const trust = header.figures.trustworthiness;
    const words = trustWords(trust);
    if (this.override) {
      this.title.append(h("span", { class: "lk-trust" }, "between two maps: no map has these places, so read no neighbours from them"));
    } else if (words) {
      this.title.append(h("span", { class: `lk-trust lk-${words.level}`, title: header.about }, h("b", {}, `Trust ${trust!.toFixed(2)}`), ` ${words.text}`));
    } else if (header.about) this.title.append(h("span", { class: "lk-trust" }, header.about));
    this.scene.element.setAttribute("aria-label", `${header.name}, ${this.app.data.count} points. Arrow keys go from point to point, Enter pins, question mark shows all keys.`);
  }

  // --- What pointers mean ---

  hover(x: number, y: number): void {
    if (this.app.store.state.tool === "decode") {
      this.decodeAt(x, y);
      return;
    }
    const item = this.itemAt(x, y, 14);
    this.app.store.update({ hovered: item });
    this.tell(item, x, y);
  }

  leave(): void {
    this.tooltip.hide();
    this.decoding?.end();
    this.app.store.update({ hovered: -1 });
  }

  tap(x: number, y: number, event: PointerEvent): void {
    if (this.app.store.state.tool === "decode") {
      this.decodeAt(x, y);
      this.keepDecoded();
      return;
    }
    const item = this.itemAt(x, y, event.pointerType === "touch" ? 24 : 14);
    const { state } = this.app.store;
    if (event.shiftKey && item >= 0) {
      const one = Uint32Array.of(item);
      this.select(combine(state.selection, one, state.selection.includes(item) ? "subtract" : "add"));
      return;
    }
    this.app.pin(item);
    if (event.pointerType === "touch") {
      if (item >= 0) this.tell(item, x, y);
      else this.tooltip.hide();
    }
  }

  pan(dx: number, dy: number): void {
    const { placement } = this;
    if (this.app.store.state.tool === "turn" && placement instanceof MapPlacement && placement.turns) {
      placement.turn(placement.yaw + dx * 0.008, placement.pitch + dy * 0.008);
    } else this.scene.camera.pan(dx, dy);
    this.tooltip.hide();
    this.moved();
  }

  zoom(factor: number, x: number, y: number): void {
    this.scene.camera.zoomAt(factor, x, y);
    this.moved();
  }

  strokeStarts(x: number, y: number, event: PointerEvent): boolean {
    const { tool } = this.app.store.state;
    if (tool === "decode") {
      this.decodeAt(x, y);
      return true;
    }
    const selects = tool === "lasso" || tool === "rectangle" || event.shiftKey;
    if (!selects) return false;
    this.appending = event.altKey ? "subtract" : event.shiftKey ? "add" : "replace";
    this.scene.stroke = { kind: tool === "rectangle" ? "rectangle" : "lasso", path: [x, y] };
    this.tooltip.hide();
    this.app.store.update({ hovered: -1 });
    return true;
  }

  stroke(x: number, y: number): void {
    const { stroke } = this.scene;
    if (!stroke) {
      this.decodeAt(x, y);
      return;
    }
    const [x1 = x, y1 = y] = stroke.path;
    if (stroke.kind === "rectangle") stroke.path = rectangle(x1, y1, x, y);
    else stroke.path.push(x, y);
    this.scene.draw("pointer");
  }

  strokeEnds(): void {
    const { stroke, camera } = this.scene;
    if (!stroke) {
      this.keepDecoded();
      this.decoding?.end();
      return;
    }
    this.scene.stroke = null;
    const polygon = stroke.path.map((value, i) => (i % 2 ? camera.mapY(value) : camera.mapX(value)));
    this.select(combine(this.app.store.state.selection, this.itemsIn(polygon), this.appending));
    this.scene.draw("pointer");
  }

  strokeCancelled(): void {
    if (!this.scene.stroke) this.decoding?.end();
    this.scene.stroke = null;
    this.scene.draw("pointer");
  }

  /** Items within a polygon in coordinates of the map, without those that the legend filters out. */
  itemsIn(polygon: number[]): Uint32Array {
    if (!this.shown) return new Uint32Array(0);
    const items = itemsInPolygon(this.shown.positions, polygon);
    const { hidden, range } = this.app.store.state;
    if (!hidden.size && !range) return items;
    return items.filter((item) => this.app.painter.passes(this.map, item));
  }

  /** Moves the view so that an item is in the middle. */
  centre(item: number): void {
    const { shown, scene } = this;
    if (!shown) return;
    const { camera } = scene;
    const [x, y] = [camera.screenX(shown.positions[2 * item]!), camera.screenY(shown.positions[2 * item + 1]!)];
    const margin = 60;
    if (x > margin && y > margin && x < camera.width - margin && y < camera.height - margin) return;
    camera.x = shown.positions[2 * item]!;
    camera.y = shown.positions[2 * item + 1]!;
    this.moved();
  }

  /** Takes the camera of the state, if it was set from elsewhere. */
  followCamera(): void {
    const { camera } = this.app.store.state;
    const { scene } = this;
    if (!camera && !scene.untouched) scene.fit();
    else if (camera && (camera.x !== scene.camera.x || camera.y !== scene.camera.y || camera.zoom !== scene.camera.zoom)) {
      scene.camera.state = camera;
      scene.draw("points");
    }
  }

  hideTooltip(): void {
    this.tooltip.hide();
  }

  fit(all: boolean): void {
    this.scene.fit(all);
    this.moved();
  }

  private select(selection: Uint32Array): void {
    this.app.store.update({ selection, panel: selection.length ? "selection" : this.app.store.state.panel });
    this.app.announce(selection.length ? `${selection.length} items selected` : "Nothing selected");
  }

  private decodeAt(x: number, y: number): void {
    if (!this.shown || !this.decoding) return;
    const { camera, element } = this.scene;
    this.decoded = [camera.mapX(x), camera.mapY(y)];
    this.decoding.at(this.map, this.shown, ...this.decoded, { x, y, stage: element });
  }

  private keepDecoded(): void {
    if (this.shown && this.decoded) this.decoding?.keep(this.map, this.shown, ...this.decoded);
  }

  private itemAt(x: number, y: number, reach: number): number {
    const { shown, map, scene } = this;
    if (!shown) return -1;
    const { camera } = scene;
    const [mx, my] = [camera.mapX(x), camera.mapY(y)];
    const radius = (scene.imagesDrawn.length ? 26 : reach) / camera.scale;
    const lit = shown.nearest(mx, my, radius, (item) => this.app.painter.shown(map, item));
    return lit >= 0 ? lit : shown.nearest(mx, my, radius / 2);
  }

  private tell(item: number, x: number, y: number): void {
    if (item < 0) this.tooltip.hide();
    else this.tooltip.show(this.map, item, this.scene.neighbours, { x, y, width: this.scene.camera.width, height: this.scene.camera.height });
  }

  private moved(): void {
    this.scene.drawMoving();
    if (this.main) this.app.store.update({ camera: this.scene.untouched ? null : this.scene.camera.state });
  }

  private resized(): void {
    const { clientWidth, clientHeight } = this.scene.element;
    if (clientWidth === 0) return;
    this.scene.resize(clientWidth, clientHeight);
  }

  private changed(changed: ReadonlySet<Key>): void {
    const { distances } = this.app.store.state;
    this.follow();
    for (const key of changed) {
      const layer = distances && (key === "hovered" || key === "pinned") ? "points" : REDRAWS[key];
      if (layer) this.scene.draw(layer);
    }
  }

  /** Works out what depends on the item that is looked at. */
  private follow(): void {
    const { state } = this.app.store;
    const { scene, shown, map } = this;
    const item = state.hovered >= 0 ? state.hovered : state.pinned;
    const latents = map.space.latents;
    scene.truth = null;
    scene.neighbours = [];
    if (item < 0 || !latents || !shown) return;
    if (!latents.now) {
      if (!latents.failed) this.app.later(latents.get().then(() => this.changed(new Set(["pinned"]))));
      return;
    }
    if (state.distances) scene.truth = truth(this.app, map, shown, item);
    const { dim } = map.space;
    const point = latents.now.subarray(item * dim, (item + 1) * dim);
    scene.neighbours = nearest(latents.now, dim, point, state.neighbours, item).map((one) => one.item);
  }

  // --- Keys ---

  private key(event: KeyboardEvent): void {
    // The stage holds the zoom buttons, too, which have keys of their own.
    if (event.target !== this.scene.element || event.ctrlKey || event.metaKey || event.altKey) return;
    const directions: Record<string, [number, number]> = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] };
    const direction = directions[event.key];
    const { camera } = this.scene;
    const [cx, cy] = [camera.width / 2, camera.height / 2];
    if (direction) {
      if (event.shiftKey) this.pan(-direction[0] * 60, direction[1] * 60);
      else this.step(direction);
    } else if (event.key === "Enter" || event.key === " ") {
      if (this.app.store.state.hovered >= 0) this.app.pin(this.app.store.state.hovered);
    } else if (event.code === "Digit0" || event.key === "0") this.fit(event.shiftKey); // with Shift, layouts give ")" or "="
    else if (event.key === "+" || event.key === "=") this.zoom(1.4, cx, cy);
    else if (event.key === "-" || event.key === "_") this.zoom(1 / 1.4, cx, cy);
    else return;
    event.preventDefault();
  }

  private step([dx, dy]: [number, number]): void {
    const { shown, map, scene } = this;
    if (!shown) return;
    const { state } = this.app.store;
    const from = state.hovered >= 0 ? state.hovered : state.pinned;
    const lit = (item: number): boolean => this.app.painter.shown(map, item);
    const { camera } = scene;
    const item = from < 0 ? shown.nearest(camera.x, camera.y, 4, lit) : shown.towards(from, dx, dy, lit);
    if (item < 0) return;
    this.app.store.update({ hovered: item });
    this.centre(item);
    this.tell(item, camera.screenX(shown.positions[2 * item]!), camera.screenY(shown.positions[2 * item + 1]!));
    this.app.announce(this.app.describe(item));
  }

  private zoomButtons(): HTMLElement {
    const middle = (factor: number) => () => this.zoom(factor, this.scene.camera.width / 2, this.scene.camera.height / 2);
    const holder = h(
      "div",
      { class: "lk-zoom" },
      button("", middle(1.5), { icon: icon("M10 4v12M4 10h12"), label: "Zoom in", title: "Zoom in (+)", className: "lk-tool" }),
      button("", middle(1 / 1.5), { icon: icon("M4 10h12"), label: "Zoom out", title: "Zoom out (-)", className: "lk-tool" }),
      button("", () => this.fit(false), { icon: icon("M3 7V3h4M13 3h4v4M17 13v4h-4M7 17H3v-4"), label: "Show the middle of the map", title: "Fit the middle 99.5 % (0)", className: "lk-tool" }),
      button("All", () => this.fit(true), { label: "Show all points", title: "Fit all points, outliers too (Shift 0)", className: "lk-tool" }),
    );
    for (const kind of ["pointerdown", "pointermove", "dblclick"]) holder.addEventListener(kind, (event) => event.stopPropagation());
    return holder;
  }
}
