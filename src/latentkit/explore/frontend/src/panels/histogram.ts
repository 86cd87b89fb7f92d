// How many items have which value of a column. A range is kept by a drag over the bars, or by two fields of numbers.

import { type App } from "../app";
import { button, context2d, h, pixelRatio, short } from "../dom";
import { css, numberRamp } from "../palette";
import { type NumberScale } from "../paint";

const BARS = 48;
const HEIGHT = 52;

export type Range = readonly [number, number];

/** A range with one end set; an end at or beyond the scale's is open, as the last bars hold what lies beyond. */
export function withEnd(range: Range | null, end: 0 | 1, value: number, low: number, high: number): Range | null {
  const ends: [number, number] = range ? [range[0], range[1]] : [-Infinity, Infinity];
  ends[end] = Number.isFinite(value) ? value : end ? Infinity : -Infinity;
  ends.sort((a, b) => a - b);
  if (ends[0] <= low) ends[0] = -Infinity;
  if (ends[1] >= high) ends[1] = Infinity;
  return Number.isFinite(ends[0]) || Number.isFinite(ends[1]) ? ends : null;
}

export class Histogram {
  readonly element = h("div", { class: "lk-legend-body" });
  private readonly canvas: HTMLCanvasElement;
  private readonly fields: [HTMLInputElement, HTMLInputElement];
  private readonly all: HTMLButtonElement;
  private readonly bars = new Float64Array(BARS);
  private readonly dark: boolean;
  private width = 0;

  constructor(private readonly app: App, private readonly scale: NumberScale, gradient: HTMLElement) {
    this.dark = app.dark();
    this.canvas = h("canvas", { class: "lk-histogram", role: "img", "aria-label": `Histogram of ${scale.name}`, title: "Drag to keep a range of values" });
    this.fields = [this.field(0), this.field(1)];
    this.all = button("Show all values", () => this.app.store.update({ range: null }), { className: "lk-link" });
    const [from, to] = this.fields;
    this.element.append(
      this.canvas, gradient,
      h("div", { class: "lk-row lk-range-ends" }, h("span", { class: "lk-label" }, "Keep"), from, h("span", { class: "lk-label" }, "to"), to),
      this.all,
    );
    if (scale.about) this.element.append(h("p", { class: "lk-quiet" }, scale.about));
    this.count();
    this.listen();
  }

  /** Whether it is of this scale, so that it need not be made anew. */
  shows(scale: NumberScale): boolean {
    return scale.values === this.scale.values && scale.name === this.scale.name && this.dark === this.app.dark() && this.element.isConnected;
  }

  /** Follows the state's range. */
  follow(): void {
    const { range } = this.app.store.state;
    this.fields.forEach((field, end) => {
      const value = range?.[end];
      field.value = value !== undefined && Number.isFinite(value) ? String(Number(value.toPrecision(4))) : "";
    });
    this.all.hidden = range === null;
    this.draw(range);
  }

  private field(end: 0 | 1): HTMLInputElement {
    const { name, low, high } = this.scale;
    const step = 10 ** Math.floor(Math.log10((high - low) / 10));
    const input = h("input", { type: "number", class: "lk-number", step, placeholder: end ? "highest" : "lowest", "aria-label": `${end ? "Largest" : "Smallest"} ${name} that is kept` });
    // The arrow keys of an empty field begin at its end of the scale, not at zero.
    input.addEventListener("keydown", (event) => {
      if (input.value !== "" || (event.key !== "ArrowUp" && event.key !== "ArrowDown")) return;
      event.preventDefault();
      const digits = Math.max(0, -Math.floor(Math.log10(step)));
      this.set(end, Number((end ? high - step : low + step).toFixed(Math.min(20, digits))));
    });
    input.addEventListener("change", () => this.set(end, input.value === "" ? NaN : Number(input.value)));
    return input;
  }

  private set(end: 0 | 1, value: number): void {
    const range = withEnd(this.app.store.state.range, end, value, this.scale.low, this.scale.high);
    this.app.store.update({ range });
    this.follow(); // also where the range is as before
    this.app.announce(range ? `Values from ${short(Math.max(range[0], this.scale.low))} to ${short(Math.min(range[1], this.scale.high))} kept` : "All values shown");
  }

  private count(): void {
    const { values, low, high } = this.scale;
    for (const value of values) {
      const place = Math.floor(((value - low) / (high - low)) * BARS);
      this.bars[Math.max(0, Math.min(BARS - 1, place || 0))]!++;
    }
  }

  private draw(range: Range | null): void {
    const ratio = pixelRatio();
    const { low, high } = this.scale;
    const width = Math.max(120, this.element.clientWidth || 200);
    if (width !== this.width) {
      this.width = width;
      this.canvas.width = width * ratio;
      this.canvas.height = HEIGHT * ratio;
    }
    const most = Math.max(...this.bars);
    const ramp = numberRamp(this.dark);
    const context = context2d(this.canvas);
    context.setTransform(ratio, 0, 0, ratio, 0, 0);
    context.clearRect(0, 0, width, HEIGHT);
    this.bars.forEach((count, i) => {
      const value = low + ((i + 0.5) / BARS) * (high - low);
      context.globalAlpha = range && (value < range[0] || value > range[1]) ? 0.2 : 1;
      context.fillStyle = css(ramp[Math.round((i / (BARS - 1)) * (ramp.length - 1))]!);
      const tall = count ? Math.max(1.5, (count / most) * (HEIGHT - 2)) : 0;
      context.fillRect((i * width) / BARS, HEIGHT - tall, width / BARS - 1, tall);
    });
  }

  private listen(): void {
    const { canvas } = this;
    const { low: first, high: last } = this.scale;
    let from: number | null = null;
    const value = (event: PointerEvent): number => {
      const box = canvas.getBoundingClientRect();
      return first + Math.max(0, Math.min(1, (event.clientX - box.left) / box.width)) * (last - first);
    };
    const dragged = (start: number, event: PointerEvent): [number, number] => {
      const to = value(event);
      // The ends of the histogram hold what lies beyond them, too.
      const low = Math.min(start, to);
      const high = Math.max(start, to);
      return [low <= first ? -Infinity : low, high >= last ? Infinity : high];
    };
    canvas.addEventListener("pointerdown", (event) => {
      from = value(event);
      canvas.setPointerCapture(event.pointerId);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (from !== null) this.draw(dragged(from, event));
    });
    canvas.addEventListener("pointerup", (event) => {
      if (from === null) return;
      const range = dragged(from, event);
      from = null;
      this.app.store.update({ range: range[1] - range[0] < (last - first) * 0.01 ? null : range });
      this.follow();
    });
  }
}
