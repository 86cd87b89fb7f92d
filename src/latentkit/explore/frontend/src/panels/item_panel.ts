// The pinned item: its image, what is known of it, and its nearest neighbours in the latents.

import { type App } from "../app";
import { button, checkbox, clear, context2d, h, sizedCanvas } from "../dom";
import { nearest } from "../geometry/nearest";
import { facts } from "../map/tooltip";
import { farRank, LOOKED_AT, truth } from "../map/truth";
import { thumbnailRow } from "./gallery";

const SIDE = 112;

export class ItemPanel {
  readonly element = h("div", { class: "lk-panel" });

  constructor(private readonly app: App) {
    app.store.on(["pinned", "maps", "neighbours", "distances", "panel"], () => this.draw());
    this.draw();
  }

  draw(): void {
    const { app } = this;
    const { state } = app.store;
    if (state.panel !== "item") return;
    clear(this.element);
    if (state.pinned < 0) {
      this.element.append(this.hint());
      return;
    }
    const item = state.pinned;
    this.element.append(this.head(item));
    const { latents } = app.space;
    if (!latents) {
      this.element.append(h("p", { class: "lk-quiet" }, "This page has no latents of the run, so it cannot show neighbours."));
      return;
    }
    if (!latents.now) {
      if (!latents.failed) app.later(latents.get().then(() => this.draw()));
      return;
    }
    this.element.append(this.neighbours(item, latents.now), this.distances(item));
  }

  private hint(): HTMLElement {
    const row = (key: string, text: string): HTMLElement => h("li", {}, h("kbd", {}, key), h("span", {}, text));
    return h(
      "div",
      { class: "lk-hint" },
      h("p", {}, "Point at the map to see an image and, below it, the ten nearest in the latents. Click to pin it here."),
      h("ul", { class: "lk-keys" }, row("drag", "move the map"), row("wheel", "zoom; images appear when you are near"), row("Shift drag", "select with a lasso"), row("/", "search"), row("?", "all keys")),
    );
  }

  private head(item: number): HTMLElement {
    const { app } = this;
    const known = facts(app, app.map, item);
    const list = h("dl", { class: "lk-facts" });
    for (const [name, value] of known.slice(1)) list.append(h("dt", {}, name), h("dd", {}, value));
    const head = h("div", { class: "lk-item-head" });
    if (app.thumbnails.available) {
      const { aspect } = app.thumbnails;
      const canvas = sizedCanvas(aspect >= 1 ? SIDE : SIDE * aspect, aspect >= 1 ? SIDE / aspect : SIDE, "lk-image");
      const draw = (): boolean => app.thumbnails.draw(context2d(canvas), item, 0, 0, canvas.width, canvas.height);
      if (!draw()) void app.thumbnails.ready(item).then(draw);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Image of ${app.describe(item)}`);
      head.append(canvas);
    }
    head.append(h("div", {}, h("h3", {}, known[0]![1]), list));
    return head;
  }

  private neighbours(item: number, values: Float32Array): HTMLElement {
    const { app } = this;
    const { store, space } = app;
    const point = values.subarray(item * space.dim, (item + 1) * space.dim);
    const found = nearest(values, space.dim, point, store.state.neighbours, item);
    const labels = app.data.labels;
    const same = labels ? found.filter((one) => labels[one.item] === labels[item]).length : 0;
    const count = h("input", { type: "number", min: 1, max: 100, class: "lk-number", "aria-label": "Number of neighbours" });
    count.value = String(store.state.neighbours);
    count.addEventListener("change", () => store.update({ neighbours: Math.max(1, Math.min(100, Math.round(Number(count.value)) || 10)) }));
    return h(
      "section",
      {},
      h("div", { class: "lk-row" }, h("h4", {}, "Nearest in the latents"), count),
      thumbnailRow(app, found),
      labels && h("p", { class: "lk-quiet" }, `${same} of ${found.length} of the same class. Under each image: its distance.`),
      h("div", { class: "lk-row" }, button("Select these", () => {
        store.update({ selection: Uint32Array.from([item, ...found.map((one) => one.item)]).sort(), panel: "selection" });
      })),
    );
  }

  private distances(item: number): HTMLElement {
    const { app } = this;
    const { state } = app.store;
    const section = h("section", {}, h("h4", {}, "True distances"));
    section.append(checkbox("Colour all points by their distance", state.distances, (distances) => app.store.update({ distances }), "D"));
    const placement = app.placed.get(app.map.id);
    const found = placement ? truth(app, app.map, placement, item) : null;
    if (!found) return section;
    const near = found.kept.length + found.torn.length;
    section.append(
      h("p", {}, `Of its ${near} nearest in the latents, this map keeps ${found.kept.length} near and `, h("b", { class: "lk-torn" }, `tears ${found.torn.length} away`), ". ",
        h("b", { class: "lk-stranger" }, `${found.strangers.length} of ${Math.min(LOOKED_AT, near)}`), " nearest on the map are strangers."),
      h("p", { class: "lk-quiet" }, `Far means: not among the ${farRank(app.data.count).toLocaleString("en")} nearest. ${state.distances ? "Dashed lines go to what was torn away; crosses mark strangers." : ""}`),
    );
    if (found.torn.length) section.append(h("p", { class: "lk-label" }, "Torn away"), thumbnailRow(app, found.torn.map((other) => ({ item: other })), 36));
    if (found.strangers.length) section.append(h("p", { class: "lk-label" }, "Strangers"), thumbnailRow(app, found.strangers.map((other) => ({ item: other })), 36));
    return section;
  }
}

