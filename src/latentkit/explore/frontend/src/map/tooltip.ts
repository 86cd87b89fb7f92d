// What is known of the item under the pointer.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { clear, context2d, h, short, sizedCanvas } from "../dom";

const SIDE = 84;

export class Tooltip {
  readonly element = h("div", { class: "lk-tooltip", "aria-hidden": "true", hidden: true });
  private readonly canvas: HTMLCanvasElement;
  private readonly text = h("div", { class: "lk-tooltip-text" });
  private item = -1;

  constructor(private readonly app: App) {
    const { aspect, available } = app.thumbnails;
    this.canvas = sizedCanvas(aspect >= 1 ? SIDE : SIDE * aspect, aspect >= 1 ? SIDE / aspect : SIDE, "lk-image");
    if (available) this.element.append(this.canvas);
    this.element.append(this.text);
    app.thumbnails.onLoad(() => this.drawImage());
  }

  show(map: LatentMap, item: number, x: number, y: number, width: number, height: number): void {
    if (item !== this.item) {
      this.item = item;
      this.drawImage();
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
