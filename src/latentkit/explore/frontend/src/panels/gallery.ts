// Rows of small images of items. Only those in view are in the page, so that any number can be shown.

import { type App } from "../app";
import { clear, context2d, h, short, sizedCanvas } from "../dom";
import { classColour } from "../palette";

/** One image as a button: a click pins its item. */
export function thumbnail(app: App, item: number, side: number, note?: string): HTMLButtonElement {
  const element = h("button", { type: "button", class: "lk-thumb", title: `${app.describe(item)}${note ? ` (${note})` : ""}`, "aria-label": `${app.describe(item)}${note ? `, ${note}` : ""}` });
  const { aspect, available } = app.thumbnails;
  const label = app.data.labels?.[item];
  if (label !== undefined) element.style.setProperty("border-bottom-color", classColour(label));
  if (available) {
    const canvas = sizedCanvas(Math.round(aspect >= 1 ? side : side * aspect), Math.round(aspect >= 1 ? side / aspect : side), "lk-image");
    const draw = (): boolean => app.thumbnails.draw(context2d(canvas), item, 0, 0, canvas.width, canvas.height);
    if (!draw()) void app.thumbnails.ready(item).then(draw);
    element.append(canvas);
  } else element.append(h("span", { class: "lk-thumb-text" }, String(app.data.number(item))));
  if (note) element.append(h("span", { class: "lk-thumb-note" }, note));
  element.addEventListener("click", () => app.pin(item));
  element.addEventListener("pointerenter", () => app.store.update({ hovered: item }));
  element.addEventListener("pointerleave", () => app.store.update({ hovered: -1 }));
  element.addEventListener("focus", () => app.store.update({ hovered: item }));
  return element;
}

export function thumbnailRow(app: App, items: readonly { item: number; distance?: number }[], side = 48): HTMLElement {
  return h("div", { class: "lk-thumbs" }, ...items.map(({ item, distance }) => thumbnail(app, item, side, distance === undefined ? undefined : short(distance))));
}

const SIDE = 44;
const GAP = 4;

export class Gallery {
  readonly element = h("div", { class: "lk-gallery", tabindex: 0, role: "group", "aria-label": "Images of the selection" });
  private readonly spacer = h("div", { class: "lk-gallery-space" });
  private items: Uint32Array = new Uint32Array(0);
  private drawn = "";

  constructor(private readonly app: App) {
    this.element.append(this.spacer);
    this.element.addEventListener("scroll", () => this.draw());
    new ResizeObserver(() => this.draw()).observe(this.element);
  }

  show(items: Uint32Array): void {
    this.items = items;
    this.element.scrollTop = 0;
    this.drawn = "";
    this.draw();
  }

  private draw(): void {
    const { clientWidth, clientHeight, scrollTop } = this.element;
    if (clientWidth === 0) return;
    const cell = SIDE + 6 + GAP;
    const columns = Math.max(1, Math.floor((clientWidth + GAP) / cell));
    const rows = Math.ceil(this.items.length / columns);
    this.spacer.style.setProperty("height", `${rows * cell}px`);
    const first = Math.max(0, Math.floor(scrollTop / cell) - 1);
    const last = Math.min(rows, Math.ceil((scrollTop + clientHeight) / cell) + 1);
    const key = `${columns} ${first} ${last}`;
    if (key === this.drawn) return;
    this.drawn = key;
    clear(this.spacer);
    for (let place = first * columns; place < Math.min(this.items.length, last * columns); place++) {
      const thumb = thumbnail(this.app, this.items[place]!, SIDE);
      thumb.style.setProperty("position", "absolute");
      thumb.style.setProperty("left", `${(place % columns) * cell}px`);
      thumb.style.setProperty("top", `${Math.floor(place / columns) * cell}px`);
      this.spacer.append(thumb);
    }
  }
}
