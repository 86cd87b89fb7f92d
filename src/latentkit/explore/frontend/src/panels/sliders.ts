// A slider for every latent, the most used first, in units of sigma.

import { type App } from "../app";
import { type Space } from "../data/dataset";
import { button, h } from "../dom";

const FIRST = 12; // sliders shown before "all"
const SPAN = 4;

export class Sliders {
  readonly element = h("div", { class: "lk-tool-body" });
  private readonly list = h("div", { class: "lk-sliders" });
  private readonly inputs = new Map<number, { input: HTMLInputElement; value: HTMLOutputElement }>();
  private all = false;
  private readonly space: Space;

  constructor(private readonly app: App) {
    this.space = app.space;
    const { space } = this;
    this.element.append(
      h("div", { class: "lk-row lk-wrap" }, h("span", { class: "lk-label" }, "Start from"),
        button("the mean", () => app.setLatent(Float32Array.from(space.header.mean), space, "Mean of all latents")),
        button("the pinned item", () => this.fromPinned()),
      ),
      h("p", { class: "lk-quiet" }, `The most used first: ${space.header.prior ? "those that differ most from the prior, by their KL divergence" : "those whose values vary most over the training images"}. σ is a standard deviation.`),
      this.list,
    );
    this.write();
  }

  /** Moves the sliders to the present latent. */
  follow(latent: Float32Array): void {
    for (const [d, { input, value }] of this.inputs) {
      const units = this.units(latent[d]!, d);
      if (document.activeElement !== input) input.value = String(units);
      const rounded = Math.abs(units).toFixed(1);
      value.textContent = `${units < 0 && rounded !== "0.0" ? "−" : "+"}${rounded} σ`;
    }
  }

  private fromPinned(): void {
    const { app } = this;
    const { pinned } = app.store.state;
    const values = this.space.latents?.now;
    if (pinned < 0 || !values) {
      app.announce("Pin an item first: click a point.");
      return;
    }
    const { dim } = this.space;
    app.setLatent(values.slice(pinned * dim, (pinned + 1) * dim), this.space, app.describe(pinned));
  }

  private write(): void {
    const { order } = this.space;
    this.list.replaceChildren();
    this.inputs.clear();
    for (const d of this.all ? order : order.slice(0, FIRST)) this.list.append(this.row(d));
    if (order.length > FIRST) {
      this.list.append(button(this.all ? `Only the ${FIRST} most used` : `All ${order.length} latents`, () => {
        this.all = !this.all;
        this.write();
      }, { className: "lk-link" }));
    }
    const latent = this.app.latentIn(this.space);
    if (latent) this.follow(latent);
  }

  private row(d: number): HTMLElement {
    const { header } = this.space;
    const input = h("input", { type: "range", min: -SPAN, max: SPAN, step: 0.05, class: "lk-range", "aria-label": `Latent z${d} in sigma` });
    const value = h("output", {}, "");
    input.value = "0";
    input.addEventListener("input", () => {
      const next = this.app.latentIn(this.space)?.slice() ?? Float32Array.from(header.mean);
      next[d] = (header.mean[d] ?? 0) + Number(input.value) * ((header.sigma[d] ?? 1) || 1);
      this.app.setLatent(next, this.space, `z${d} moved`);
    });
    this.inputs.set(d, { input, value });
    const use = header.weights[d];
    return h("label", { class: "lk-slider", title: use === undefined ? undefined : `use ${use.toPrecision(3)}` }, h("span", {}, `z${d}`), input, value);
  }

  private units(value: number, d: number): number {
    const { mean, sigma } = this.space.header;
    return (value - (mean[d] ?? 0)) / ((sigma[d] ?? 1) || 1);
  }
}
