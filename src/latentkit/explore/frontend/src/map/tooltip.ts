// What is known of the item under the pointer.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { classColour } from "../palette";
import { clear, context2d, h, short, sizedCanvas } from "../dom";

const SIDE = 84;
const NEAR = 10; // neighbours shown
const NEAR_SIDE = 25;
const NEAR_STEP = 28;

/** Where the pointer is, and how large the map is. */
export interface At {
  x: number;
  y: number;
  width: number;
  height: number;
}

export class Tooltip {
  readonly element = h("div", { class: "lk-tooltip", "aria-hidden": "true", hidden: true });
  private readonly canvas: HTMLCanvasElement;
  private readonly text = h("div", { class: "lk-tooltip-text" });
  private readonly near = sizedCanvas(NEAR * NEAR_STEP, NEAR_SIDE + 4, "lk-near");
  private item = -1;
  private neighbours: readonly number[] = [];

  constructor(private readonly app: App) {
    const { aspect, available } = app.thumbnails;
    this.canvas = sizedCanvas(aspect >= 1 ? SIDE : SIDE * aspect, aspect >= 1 ? SIDE / aspect : SIDE, "lk-image");
    if (available) this.element.append(this.canvas);
    this.element.append(this.text);
    if (available) this.element.append(this.near);
    app.thumbnails.onLoad(() => {
      this.drawImage();
      this.drawNeighbours();
    });
  }

  /** Shows an item, and in a row the items nearest to it in the latents. */
  show(map: LatentMap, item: number, neighbours: readonly number[], { x, y, width, height }: At): void {
    if (item !== this.item || neighbours[0] !== this.neighbours[0]) {
      this.item = item;
      this.neighbours = neighbours.slice(0, NEAR);
      this.drawImage();
      this.drawNeighbours();
      clear(this.text);
      for (const [name, value] of facts(this.app, map, item)) {
        this.text.append(h("div", { class: name ? "lk-fact" : "lk-fact-title" }, name && h("span", {}, name), h("b", {}, value)));
      }
    }
    this.element.hidden = false;
    const { offsetWidth, offsetHeight } = this.element;
    const left = x + 18 + offsetWidth > width ? x - 18 - offsetWidth : x + 18;
    const top = y + 14 + offsetHeight > height ? y - 14 - offsetHeight : y + 14;
    this.element.style.setProperty("transform", `translate(${Math.max(4, Math.min(width - offsetWidth - 4, left))}px, ${Math.max(4, top)}px)`);
  }

  hide(): void {
    this.item = -1;
    this.element.hidden = true;
  }

  private drawImage(): void {
    if (this.item < 0) return;
    const context = context2d(this.canvas);
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    this.app.thumbnails.draw(context, this.item, 0, 0, this.canvas.width, this.canvas.height);
  }

  private drawNeighbours(): void {
    this.near.hidden = this.neighbours.length === 0;
    const { thumbnails, data } = this.app;
    const { aspect } = thumbnails;
    const ratio = this.near.height / (NEAR_SIDE + 4);
    const context = context2d(this.near);
    context.setTransform(1, 0, 0, 1, 0, 0);
    context.clearRect(0, 0, this.near.width, this.near.height);
    context.scale(ratio, ratio);
    const [width, height] = aspect >= 1 ? [NEAR_SIDE, NEAR_SIDE / aspect] : [NEAR_SIDE * aspect, NEAR_SIDE];
    this.neighbours.forEach((item, place) => {
      thumbnails.draw(context, item, place * NEAR_STEP, 0, width, height);
      if (!data.labels) return;
      context.fillStyle = classColour(data.labels[item]!);
      context.fillRect(place * NEAR_STEP, NEAR_SIDE + 1, NEAR_SIDE, 3);
    });
  }
}

/** Name and value of all that is known of an item; the first has no name. */
export function facts(app: App, map: LatentMap, item: number): [string, string][] {
  const { data } = app;
  const found: [string, string][] = [["", data.className(item) ?? data.itemName(item)]];
  if (data.labels) found.push(["item", data.itemName(item).replace(/item /, "")]);
  const file = data.files?.[item];
  if (file) found.push(["file", file]);
  for (const { header, values } of map.space.columns) {
    const value = values.now?.[item];
    if (value === undefined) continue;
    found.push([header.name.toLowerCase(), header.kind === "class" ? (header.names?.[value] ?? "not known") : short(value)]);
  }
  const trust = map.trust?.now?.[item];
  if (trust !== undefined) found.push(["trust here", short(trust)]);
  return found;
}
