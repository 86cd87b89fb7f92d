// All maps in small, with the same colours and selection; a click makes one the main map.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { context2d, h, pixelRatio } from "../dom";
import { Camera } from "../map/camera";
import { Raster } from "../map/raster";
import { packedCss } from "../palette";

const WIDTH = 132;
const HEIGHT = 92;
const MOST_POINTS = 20_000;

export class MapStrip {
  readonly element = h("nav", { class: "lk-strip", "aria-label": "All maps" });
  private readonly entries: { map: LatentMap; canvas: HTMLCanvasElement; button: HTMLButtonElement; raster: Raster }[] = [];
  private requested = false;

  constructor(private readonly app: App, private readonly choose: (map: LatentMap, beside: boolean) => void) {
    const { data } = app;
    const several = data.spaces.length > 1;
    const shown = data.allMaps();
    for (const space of data.spaces) {
      const plane = space.maps.length ? null : data.map(`${space.index}/plane:${space.order[0] ?? 0}:${space.order[1] ?? 0}`);
      if (plane) shown.push(plane);
    }
    for (const map of shown) this.add(map, several);
    this.element.hidden = this.entries.length < 2;
    app.store.on(["colour", "hidden", "range", "selection", "distances", "hovered", "pinned"], (state, changed) => {
      const focus = changed.has("hovered") || changed.has("pinned");
      if (!focus || changed.size > 2 || state.distances) this.draw();
      else this.drawFocus();
    });
    app.store.on(["maps"], () => this.mark());
    app.painter.onLoad(() => this.draw());
    this.mark();
  }

  draw(): void {
    if (this.requested || this.element.hidden) return;
    this.requested = true;
    // Small maps may come a moment later than the large one.
    setTimeout(() => {
      this.requested = false;
      for (const entry of this.entries) this.drawOne(entry);
      this.drawFocus();
    }, 60);
  }

  private add(map: LatentMap, several: boolean): void {
    const ratio = pixelRatio();
    const canvas = h("canvas", { width: WIDTH * ratio, height: HEIGHT * ratio });
    const mark = h("i", { class: "lk-strip-focus", hidden: true });
    const name = several ? `${map.header.name}, ${map.space.label}` : map.header.name;
    const trust = map.header.figures.trustworthiness;
    const button = h(
      "button",
      { type: "button", class: "lk-strip-map", title: `${name}: click to show it, Shift-click to show it beside` },
      h("span", { class: "lk-strip-picture" }, canvas, mark),
      h("span", { class: "lk-strip-name" }, map.header.name),
      trust !== undefined && h("small", {}, `trust ${trust.toFixed(2)}`),
      several && h("small", { class: "lk-strip-run" }, map.space.label),
    );
    button.addEventListener("click", (event) => this.choose(map, event.shiftKey));
    this.element.append(button);
    this.entries.push({ map, canvas, button, raster: new Raster(canvas.width, canvas.height) });
    this.app.later(this.app.placement(map).then(() => this.draw(), (reason: unknown) => {
      canvas.replaceWith(h("span", { class: "lk-strip-missing" }, "cannot be read"));
      throw reason;
    }));
  }

  private mark(): void {
    const [main] = this.app.store.state.maps;
    for (const { map, button } of this.entries) {
      if (map.id === main) button.setAttribute("aria-current", "true");
      else button.removeAttribute("aria-current");
    }
    this.draw();
  }

  private drawOne({ map, canvas, raster }: (typeof this.entries)[number]): void {
    const placement = this.app.placed.get(map.id);
    if (!placement) return;
    const camera = new Camera(canvas.width, canvas.height);
    const { left, right, low, high } = placement.middle;
    camera.fit(left, right, low, high);
    raster.clear(packedCss(this.app.style("--lk-paper")));
    const few = Math.max(0.6, 2.2 - 0.36 * Math.log10(this.app.data.count)) * pixelRatio();
    const grey = packedCss(this.app.style("--lk-unselected"));
    // A small picture of many points looks the same with some of them.
    const every = Math.max(1, Math.floor(this.app.data.count / MOST_POINTS));
    raster.points(placement.positions, camera, this.app.painter.paint(map), { radius: few, opacity: 0.6, grey, greyOpacity: 0.35, every });
    raster.show(context2d(canvas));
  }

  /** Marks the hovered or pinned item in every small map. */
  private drawFocus(): void {
    const { state } = this.app.store;
    const item = state.hovered >= 0 ? state.hovered : state.pinned;
    for (const { map, button } of this.entries) {
      const mark = button.querySelector<HTMLElement>(".lk-strip-focus");
      const placement = this.app.placed.get(map.id);
      if (!mark) continue;
      mark.hidden = item < 0 || !placement;
      if (!placement || item < 0) continue;
      const camera = new Camera(WIDTH, HEIGHT);
      const { left, right, low, high } = placement.middle;
      camera.fit(left, right, low, high);
      const x = camera.screenX(placement.positions[2 * item]!);
      const y = camera.screenY(placement.positions[2 * item + 1]!);
      mark.style.setProperty("transform", `translate(${x - 5}px, ${y - 5}px)`);
    }
  }
}
