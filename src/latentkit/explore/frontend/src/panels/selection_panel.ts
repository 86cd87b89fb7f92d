// The selection: how many of each class, their mean, their images, and files to take away.

import { type App } from "../app";
import { button, clear, context2d, h, plural, sizedCanvas } from "../dom";
import { classColour } from "../palette";
import { EMPTY } from "../store";
import { csv, itemsFile, save } from "./export";
import { Gallery } from "./gallery";

const MEAN_SIDE = 84;
const CLASSES = 12;

export class SelectionPanel {
  readonly element = h("div", { class: "lk-panel" });
  private readonly gallery: Gallery;
  private work = 0;

  constructor(private readonly app: App) {
    this.gallery = new Gallery(app);
    app.store.on(["selection", "panel", "hidden", "range", "colour", "maps"], () => this.draw());
  }

  draw(): void {
    const { app } = this;
    const { selection: all, panel } = app.store.state;
    if (panel !== "selection") return;
    const selection = app.selected;
    clear(this.element);
    this.work++;
    if (all.length === 0) {
      this.element.append(h("div", { class: "lk-hint" }, h("p", {}, "Nothing is selected. Draw round points with the lasso (Shift and drag), or search for a class.")));
      return;
    }
    this.element.append(
      h("div", { class: "lk-item-head" }, this.mean(selection), h("div", {}, h("h3", {}, plural(selection.length, "item")), this.filtered(selection, all), this.classes(selection))),
      h("div", { class: "lk-row lk-wrap" },
        button("Save CSV", () => app.later(csv(app, selection).then((text) => save("selection.csv", "text/csv", text))), { title: "A table: number, class, columns, map coordinates, trust and latents of each item" }),
        button("Save item list", () => save("items.txt", "text/plain", itemsFile(app, selection)), { title: "A file for the option --items of the command line" }),
        button("Invert", () => app.store.update({ selection: inverse(all, app.data.count) })),
        button("Clear", () => app.store.update({ selection: EMPTY }), { title: "Escape" }),
      ),
      this.gallery.element,
    );
    this.gallery.show(selection);
  }

  /** How many selected items the filter keeps, if it does not keep all. */
  private filtered(selection: Uint32Array, all: Uint32Array): HTMLElement | null {
    if (selection.length === all.length) return null;
    return h("p", { class: "lk-quiet" }, `The filter keeps ${selection.length.toLocaleString("en")} of ${plural(all.length, "selected item")}. `,
      button("Keep only these", () => this.app.store.update({ selection }), { className: "lk-link", title: "Take the other items out of the selection" }));
  }

  private mean(selection: Uint32Array): HTMLElement | null {
    const { thumbnails } = this.app;
    if (!thumbnails.available || selection.length === 0) return null;
    const { aspect } = thumbnails;
    const canvas = sizedCanvas(aspect >= 1 ? MEAN_SIDE : MEAN_SIDE * aspect, aspect >= 1 ? MEAN_SIDE / aspect : MEAN_SIDE, "lk-image");
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", "Mean image of the selection");
    const work = this.work;
    void thumbnails.mean(selection, () => work !== this.work).then((image) => {
      if (!image) return;
      const small = h("canvas", { width: image.width, height: image.height });
      context2d(small).putImageData(image, 0, 0);
      const context = context2d(canvas);
      context.imageSmoothingEnabled = false;
      context.drawImage(small, 0, 0, canvas.width, canvas.height);
    });
    return h("figure", { class: "lk-mean" }, canvas, h("figcaption", {}, "mean"));
  }

  private classes(selection: Uint32Array): HTMLElement | null {
    const { labels, classNames } = this.app.data;
    if (!labels) return null;
    const counts = new Map<number, number>();
    for (const item of selection) counts.set(labels[item]!, (counts.get(labels[item]!) ?? 0) + 1);
    const sorted = [...counts].sort((a, b) => b[1] - a[1]);
    const most = sorted[0]?.[1] ?? 1;
    const list = h("ul", { class: "lk-bars" });
    for (const [label, count] of sorted.slice(0, CLASSES)) {
      const bar = h("i", {});
      bar.style.setProperty("width", `${(100 * count) / most}%`);
      bar.style.setProperty("background", classColour(label));
      list.append(h("li", {}, h("span", { class: "lk-name" }, label < 0 ? "not known" : (classNames[label] ?? "")), h("span", { class: "lk-bar" }, bar), h("span", { class: "lk-count" }, count.toLocaleString("en"))));
    }
    if (sorted.length > CLASSES) list.append(h("li", { class: "lk-quiet" }, `and ${plural(sorted.length - CLASSES, "more class", "more classes")}`));
    return list;
  }
}

function inverse(selection: Uint32Array, count: number): Uint32Array {
  const chosen = new Uint8Array(count);
  for (const item of selection) chosen[item] = 1;
  return Uint32Array.from({ length: count }, (_, i) => i).filter((item) => !chosen[item]);
}
