// From one item to another: on a line, or along neighbours. And A - B + C.

import { type App } from "../app";
import { type Space } from "../data/dataset";
import { type LiveDecoder } from "../data/decoding";
import { button, clear, h, plural, sizedCanvas } from "../dom";
import { onLine, onPath } from "../geometry/latents";
import { walk } from "../geometry/walk";
import { Slot } from "./slot";

const FRAMES = 7;
const FRAME_SIDE = 40;
const MOST_VISITED = 4000;

export class Between {
  readonly element: HTMLElement;
  private readonly frames = h("div", { class: "lk-frames" });
  private readonly slider = h("input", { type: "range", min: 0, max: 1, step: "any", class: "lk-range", "aria-label": "Place between A and B" });
  private readonly told = h("p", { class: "lk-quiet" });
  private readonly a: Slot;
  private readonly b: Slot;
  private readonly lineButton: HTMLButtonElement;
  private readonly walkButton: HTMLButtonElement;
  private way: "line" | "walk" = "line";
  private corners: Float32Array[] = [];
  private work = 0;
  private readonly space: Space;

  constructor(private readonly app: App, private readonly live: LiveDecoder) {
    this.space = app.space;
    this.a = new Slot(app, "A", () => void this.find());
    this.b = new Slot(app, "B", () => void this.find());
    this.lineButton = button("Straight line", () => this.go("line"), { pressed: true });
    this.walkButton = button("Along neighbours", () => this.go("walk"), { pressed: false });
    this.slider.value = "0.5";
    this.slider.addEventListener("input", () => this.show(Number(this.slider.value)));
    this.element = h(
      "div",
      { class: "lk-tool-body" },
      h("div", { class: "lk-slots" }, this.a.element, this.b.element),
      h("div", { class: "lk-row lk-wrap" }, this.lineButton, this.walkButton),
      this.told, this.frames, this.slider,
    );
    this.slider.hidden = true;
  }

  private go(way: "line" | "walk"): void {
    this.way = way;
    this.lineButton.setAttribute("aria-pressed", String(way === "line"));
    this.walkButton.setAttribute("aria-pressed", String(way === "walk"));
    void this.find();
  }

  private async find(): Promise<void> {
    const { a, b } = this;
    const work = ++this.work;
    clear(this.frames);
    this.slider.hidden = true;
    this.told.textContent = "";
    if (!a.latent || !b.latent) return;
    this.corners = [a.latent, b.latent];
    if (this.way === "walk") {
      const items = await this.neighbours(work);
      if (work !== this.work || !items) return;
      const { dim, latents } = this.space;
      this.corners = items.map((item) => latents!.now!.slice(item * dim, (item + 1) * dim));
      this.told.textContent = `The way goes through ${plural(items.length - 2, "item")} in between.`;
    }
    this.slider.hidden = false;
    for (let i = 0; i < FRAMES; i++) this.frames.append(this.frame(i / (FRAMES - 1)));
    this.show(Number(this.slider.value));
  }

  private async neighbours(work: number): Promise<number[] | null> {
    const { a, b, told } = this;
    const { dim, latents } = this.space;
    if (a.item < 0 || b.item < 0) {
      told.textContent = "A walk along neighbours needs two items: a mean is not among them.";
      return null;
    }
    told.textContent = "Looking for the way…";
    const pause = async (): Promise<boolean> => {
      await new Promise((resolve) => setTimeout(resolve));
      return work === this.work;
    };
    const items = await walk(latents!.now!, dim, a.item, b.item, 10, MOST_VISITED, pause);
    if (!items && work === this.work) told.textContent = "There is no way from A to B along the 10 nearest neighbours of each item: choose two items that are closer together.";
    return items;
  }

  private frame(part: number): HTMLElement {
    const [, height, width] = this.live.decoder.shape;
    const canvas = sizedCanvas(width >= height ? FRAME_SIDE : (FRAME_SIDE * width) / height, width >= height ? (FRAME_SIDE * height) / width : FRAME_SIDE, "lk-image");
    this.live.draw(this.latent(part), canvas);
    const frame = button("", () => this.show(part), { className: "lk-thumb", label: `Show ${Math.round(100 * part)} % of the way` });
    frame.append(canvas);
    return frame;
  }

  private latent(part: number): Float32Array {
    return this.corners.length === 2 ? onLine(this.corners[0]!, this.corners[1]!, part) : onPath(this.corners, part);
  }

  private show(part: number): void {
    this.slider.value = String(part);
    this.app.setLatent(this.latent(part), this.space, `${Math.round(100 * part)} % of the way from A to B`);
  }
}

export class Arithmetic {
  readonly element: HTMLElement;

  constructor(app: App) {
    const { space } = app;
    const show = (): void => {
      const [a, b, c] = slots.map((slot) => slot.latent);
      if (a && b && c) app.setLatent(a.map((value, d) => value - b[d]! + c[d]!), space, "A − B + C");
    };
    const slots = ["A", "B", "C"].map((name) => new Slot(app, name, show));
    this.element = h(
      "div",
      { class: "lk-tool-body" },
      h("p", { class: "lk-quiet" }, "What differs between A and B, added to C. Means of selections work better than single items."),
      h("div", { class: "lk-slots" }, slots[0]!.element, h("span", { class: "lk-sign" }, "−"), slots[1]!.element, h("span", { class: "lk-sign" }, "+"), slots[2]!.element),
      button("Show A − B + C", show),
    );
  }
}
