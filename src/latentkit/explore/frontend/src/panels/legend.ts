// What colours mean. Classes are filtered by a click, values by a drag over their histogram.

import { type App } from "../app";
import { button, clear, context2d, h, pixelRatio, select, short } from "../dom";
import { Histogram } from "./histogram";
import { swatch } from "../map/marks";
import { classShape, css, markRule, numberRamp } from "../palette";
import { type ClassScale, colourChoices, type NumberScale } from "../paint";

const LISTED = 60; // classes written at once

export class Legend {
  readonly element = h("section", { class: "lk-legend", "aria-label": "Colours" });
  private readonly chooser = h("div", { class: "lk-row" });
  private readonly body = h("div", { class: "lk-legend-body" });
  private histogram: Histogram | null = null;
  private wanted = "";
  private choices = "";

  constructor(private readonly app: App) {
    this.element.append(this.chooser, this.body);
    app.store.on(["colour", "maps", "hidden", "range", "distances"], () => this.draw());
    app.painter.onLoad(() => this.draw());
    this.draw();
  }

  draw(): void {
    const { store, map } = this.app;
    const { state } = store;
    const choices = colourChoices(this.app.data, map);
    const key = choices.map((choice) => choice.value).join() + state.colour;
    if (key !== this.choices) {
      this.choices = key;
      const box = select("Colour points by", choices, state.colour, (colour) => store.update({ colour, hidden: new Set(), range: null, distances: false }));
      this.chooser.replaceChildren(h("span", { class: "lk-label" }, "Colour"), box);
    }
    const open = document.activeElement;
    const inside = open instanceof HTMLElement && this.body.contains(open);
    const typing = inside && open instanceof HTMLInputElement;
    const label = inside ? open.dataset.label : undefined;
    const scale = this.app.painter.scale(map);
    if (state.distances && map.space.latents) this.drawDistances();
    else if (!scale) this.body.replaceChildren(h("p", { class: "lk-quiet" }, "Reading…"));
    else if (scale.kind === "class") this.drawClasses(scale);
    else if (scale.kind === "number") this.drawNumbers(scale);
    else clear(this.body);
    // What is written anew has the focus that the old one had.
    if (open && this.body.contains(open)) return;
    if (typing) this.body.querySelector("input")?.focus();
    else if (label !== undefined) this.body.querySelector<HTMLElement>(`[data-label="${Number(label)}"]`)?.focus();
  }

  private drawDistances(): void {
    this.body.replaceChildren(
      this.gradient("near", "as far as half of all items"),
      h("p", { class: "lk-quiet" }, "Distance in the latents from the item under the pointer, or the pinned one."),
    );
  }

  private drawClasses(scale: ClassScale): void {
    const { hidden } = this.app.store.state;
    const counts = new Int32Array(scale.names.length);
    for (const label of scale.labels) if (label >= 0) counts[label]!++;
    const list = h("ul", { class: "lk-classes" });
    const write = (): void => {
      const query = this.wanted.toLowerCase();
      const found = scale.names.map((_, label) => label).filter((label) => scale.names[label]!.toLowerCase().includes(query));
      list.replaceChildren(...found.slice(0, LISTED).map((label) => this.classRow(scale, label, counts[label]!)));
      if (found.length > LISTED) list.append(h("li", { class: "lk-quiet" }, `and ${found.length - LISTED} more: type to find one`));
    };
    write();
    this.body.replaceChildren();
    if (scale.names.length > 14) {
      const input = h("input", { type: "search", class: "lk-input", placeholder: `Find one of ${scale.names.length} classes`, "aria-label": "Find a class" });
      input.value = this.wanted;
      input.addEventListener("input", () => {
        this.wanted = input.value;
        write();
      });
      this.body.append(input);
    }
    this.body.append(list);
    if (hidden.size) {
      this.body.append(button("Show all classes", () => this.app.store.update({ hidden: new Set() }), { className: "lk-link" }));
    }
    const rule = markRule(scale.names.length);
    if (rule) this.body.append(h("p", { class: "lk-quiet" }, rule));
    if (scale.about) this.body.append(h("p", { class: "lk-quiet" }, scale.about));
  }

  private classRow(scale: ClassScale, label: number, count: number): HTMLElement {
    const { hidden } = this.app.store.state;
    const ratio = pixelRatio();
    const mark = h("canvas", { class: "lk-swatch", width: 14 * ratio, height: 14 * ratio });
    const context = context2d(mark);
    context.scale(ratio, ratio);
    swatch(context, label, scale.names.length > 10 ? classShape(label) : 0, 7, 7, 5);
    const name = scale.names[label] ?? String(label);
    const row = button("", (event) => this.toggle(scale.names.length, label, event.shiftKey), {
      className: "lk-class",
      pressed: !hidden.has(label),
      title: `${name}: click to show only this class, Shift-click to add it or take it away`,
    });
    row.dataset.label = String(label);
    row.append(mark, h("span", { class: "lk-name" }, name), h("span", { class: "lk-count" }, count.toLocaleString("en")));
    return h("li", {}, row);
  }

  /** A click shows only this class, or all again; with Shift it is added or taken away. */
  private toggle(classes: number, label: number, shift: boolean): void {
    const { store } = this.app;
    const before = store.state.hidden;
    let hidden = new Set(before);
    if (shift) {
      if (!hidden.delete(label)) hidden.add(label);
    } else {
      const alone = before.size === classes - 1 && !before.has(label);
      hidden = new Set();
      if (!alone) for (let other = 0; other < classes; other++) if (other !== label) hidden.add(other);
    }
    store.update({ hidden });
    this.app.announce(hidden.size ? `${classes - hidden.size} of ${classes} classes shown` : "All classes shown");
  }

  private gradient(low: string, high: string): HTMLElement {
    const dark = this.app.dark();
    const ramp = numberRamp(dark);
    const reversed = this.app.store.state.distances && dark;
    const stops = [0, 0.25, 0.5, 0.75, 1].map((part) => css(ramp[Math.round((reversed ? 1 - part : part) * (ramp.length - 1))]!));
    const bar = h("div", { class: "lk-gradient" });
    bar.style.setProperty("background", `linear-gradient(to right, ${stops.join(", ")})`);
    return h("div", {}, bar, h("div", { class: "lk-ends" }, h("span", {}, low), h("span", {}, high)));
  }

  private drawNumbers(scale: NumberScale): void {
    if (!this.histogram?.shows(scale)) {
      this.histogram = new Histogram(this.app, scale, this.gradient(...ends(scale)));
      this.body.replaceChildren(this.histogram.element);
    }
    this.histogram.follow();
  }
}

/** The values at the ends of the colours, which values beyond them have, too. */
function ends({ values, low, high }: NumberScale): [string, string] {
  let below = false;
  let above = false;
  for (const value of values) {
    if (value < low) below = true;
    if (value > high) above = true;
  }
  return [`${below ? "≤ " : ""}${short(low)}`, `${above ? "≥ " : ""}${short(high)}`];
}
