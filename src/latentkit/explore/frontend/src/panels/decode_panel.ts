// Live decode: one latent that every tool changes, its image, and the items nearest to it.

import { type App } from "../app";
import { type Space } from "../data/dataset";
import { type LiveDecoder } from "../data/decoding";
import { button, clear, h, select, sizedCanvas } from "../dom";
import { faultText } from "../faults";
import { nearest } from "../geometry/nearest";
import { inverseWords } from "../map/inverse";
import { Arithmetic, Between } from "./between";
import { thumbnailRow } from "./gallery";
import { Samples } from "./samples";
import { Sliders } from "./sliders";

const SIDE = 132;
const NEAREST = 4;

export class DecodePanel {
  readonly element = h("div", { class: "lk-panel" });
  private space: Space | null = null;
  private live: LiveDecoder | null = null;
  private screen: HTMLCanvasElement | null = null;
  private sliders: Sliders | null = null;
  private readonly from = h("p", { class: "lk-from", "aria-live": "off" });
  private readonly near = h("div", {});
  private readonly words = h("p", { class: "lk-quiet" });
  private pointerButton: HTMLButtonElement | null = null;
  private late = 0;

  constructor(private readonly app: App, private readonly showMap: (id: string) => void) {
    app.store.on(["panel", "maps", "track"], () => this.draw());
    app.store.on(["latent"], () => this.follow());
    app.store.on(["tool"], () => this.markTool());
    this.draw();
  }

  private draw(): void {
    const { app } = this;
    if (app.store.state.panel !== "decode") return;
    this.words.textContent = inverseWords(app.map, app.store.state.track.length > 1);
    if (this.space === app.space) {
      if (this.live) this.start();
      return;
    }
    this.space = app.space;
    this.live = null; // another run's
    clearTimeout(this.late);
    this.near.replaceChildren();
    const missing = app.space.header.no_decoder;
    if (!app.space.header.decoder) {
      this.element.replaceChildren(h("div", { class: "lk-hint" }, h("p", {}, `Live decode is not possible here: ${missing ?? "this page has no decoder"}.`.replace(/\.\.$/, "."))));
      return;
    }
    this.element.replaceChildren(h("p", { class: "lk-quiet" }, "Starting the decoder…"));
    const { space } = this;
    app.decoder(space).get().then(async (live) => {
      await space.latents?.get().catch((reason: unknown) => app.fault(reason));
      if (live && space === this.space) this.write(live);
    }).catch((reason: unknown) => {
      app.fault(reason);
      if (space === this.space) this.element.replaceChildren(h("div", { class: "lk-hint" }, h("p", {}, `Live decode is not possible here. ${faultText(reason)}`)));
    });
  }

  private write(live: LiveDecoder): void {
    const { app } = this;
    this.live = live;
    const [, height, width] = live.decoder.shape;
    this.screen = sizedCanvas(width >= height ? SIDE : (SIDE * width) / height, width >= height ? (SIDE * height) / width : SIDE, "lk-image");
    this.screen.setAttribute("role", "img");
    this.screen.setAttribute("aria-label", "Decoded image");
    this.sliders = new Sliders(app);
    clear(this.element);
    this.element.append(
      h("div", { class: "lk-screen" }, this.screen, h("div", {}, this.from, this.near)),
      badge(live),
      tool("On the map", this.onMap(), true),
      tool("Latents", this.sliders.element, true),
      tool("Between two items", new Between(app, live).element, false),
      tool("A − B + C", new Arithmetic(app).element, false),
    );
    if (Samples.possible(app)) this.element.append(tool("Samples", new Samples(app, live).element, false));
    this.start();
    this.follow();
  }

  /** Begins with the pinned item, or the mean of all latents, unless a latent of this run was chosen. */
  private start(): void {
    const { app } = this;
    const { store, space } = app;
    const { pinned } = store.state;
    if (app.latent) return;
    const values = space.latents?.now;
    if (pinned >= 0 && values) app.setLatent(values.slice(pinned * space.dim, (pinned + 1) * space.dim), space, app.describe(pinned));
    else app.setLatent(Float32Array.from(space.header.mean), space, "Mean of all latents");
  }

  private onMap(): HTMLElement {
    const { app } = this;
    const { space } = app;
    this.pointerButton = button("Decode under the pointer", () => app.store.update({ tool: app.store.state.tool === "decode" ? "pan" : "decode" }), { title: "C", pressed: app.store.state.tool === "decode" });
    const keeps = h("p", { class: "lk-quiet" }, "A click keeps the latent there, for the sliders and the other tools.");
    const body = h("div", { class: "lk-tool-body" }, h("div", {}, this.pointerButton), keeps, this.words);
    if (space.dim > 1) {
      const choices = space.order.map((d) => ({ value: String(d), text: `z${d}` }));
      let [x, y] = app.store.state.plane;
      if (x >= space.dim || y >= space.dim) [x, y] = [space.order[0]!, space.order[1]!];
      const show = (): void => {
        app.store.update({ plane: [x, y] });
        this.showMap(`${space.index}/plane:${x}:${y}`);
      };
      body.append(h("div", { class: "lk-row" }, h("span", { class: "lk-label" }, "Plane"),
        select("Latent of the horizontal axis", choices, String(x), (value) => (x = Number(value))),
        select("Latent of the vertical axis", choices, String(y), (value) => (y = Number(value))),
        button("Show", show, { title: "Show the plane of two latents as the map" })));
    }
    return body;
  }

  private markTool(): void {
    this.pointerButton?.setAttribute("aria-pressed", String(this.app.store.state.tool === "decode"));
  }

  /** Shows the present latent; the nearest items come when it rests. */
  private follow(): void {
    const { state } = this.app.store;
    const { latent } = this.app;
    if (state.panel !== "decode" || !this.live || !this.screen || !latent || this.space !== this.app.space) return;
    this.live.draw(latent, this.screen);
    this.from.textContent = state.latentFrom;
    this.sliders?.follow(latent);
    clearTimeout(this.late);
    this.late = window.setTimeout(() => this.nearest(latent), 120);
  }

  private nearest(latent: Float32Array): void {
    const values = this.app.space.latents?.now;
    if (!values) return;
    const found = nearest(values, this.app.space.dim, latent, NEAREST);
    this.near.replaceChildren(h("p", { class: "lk-label" }, "Nearest real items"), thumbnailRow(this.app, found, 36));
  }
}

function tool(name: string, body: HTMLElement, open: boolean): HTMLElement {
  return h("details", { class: "lk-fold", open }, h("summary", {}, name), body);
}

function badge({ difference, compared }: LiveDecoder): HTMLElement {
  const good = difference <= 1 / 255; // less than a step of 8-bit grey
  const name = !good ? "Differs from PyTorch" : difference <= 1e-4 ? "Same as PyTorch" : "Close to PyTorch";
  return h(
    "p",
    { class: `lk-badge ${good ? "lk-good" : "lk-poor"}`, title: `Computed here, just now, on ${compared} latents that the page has with PyTorch's images of them.` },
    h("b", {}, name), ` largest difference ${difference.toExponential(1)} on ${compared} images`,
  );
}
