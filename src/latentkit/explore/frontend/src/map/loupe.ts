// The decoded image that follows the pointer over a map.

import { type App } from "../app";
import { type LatentMap, type Space } from "../data/dataset";
import { type LiveDecoder } from "../data/decoding";
import { h, sizedCanvas } from "../dom";
import { hasInverse, latentAt } from "./inverse";
import { MapPlacement, type Placement } from "./placement";

const SIDE = 112;

export class Loupe {
  private readonly element = h("div", { class: "lk-tooltip lk-loupe", "aria-hidden": "true", hidden: true });
  private readonly words = h("div", { class: "lk-quiet" });
  private canvas: HTMLCanvasElement | null = null;
  private live: LiveDecoder | null = null;
  private readonly asked = new Set<Space>();
  /** Shows the last place once its decoder is there. */
  private again: (() => void) | null = null;

  constructor(private readonly app: App) {}

  /** Decodes the latent under a place, and shows it there. */
  at(map: LatentMap, placement: Placement, x: number, y: number, screen: { x: number; y: number; stage: HTMLElement }): void {
    const { space } = map;
    this.again = null;
    const live = this.app.decoder(space).now;
    const latent = latentAt(this.app, map, placement, x, y);
    if (!live || !latent) {
      this.again = () => this.at(map, placement, x, y, screen);
      this.wait(space);
      return;
    }
    if (!this.canvas || live !== this.live) {
      this.live = live;
      const [, height, width] = live.decoder.shape;
      this.canvas = sizedCanvas(width >= height ? SIDE : (SIDE * width) / height, width >= height ? (SIDE * height) / width : SIDE, "lk-image");
      this.element.replaceChildren(this.canvas, this.words);
    }
    live.draw(latent, this.canvas);
    this.words.textContent = hasInverse(map, placement) ? "decoded" : "decoded from a blend";
    if (this.element.parentElement !== screen.stage) screen.stage.append(this.element);
    this.element.hidden = false;
    const { clientWidth } = screen.stage;
    const { offsetWidth, offsetHeight } = this.element;
    const left = Math.max(4, Math.min(clientWidth - offsetWidth - 4, screen.x - offsetWidth / 2));
    const above = screen.y - offsetHeight - 22;
    const top = above < 4 ? screen.y + 22 : above; // above a finger, so that it is seen
    this.element.style.setProperty("transform", `translate(${left}px, ${top}px)`);
  }

  /** Makes the latent under a place that of all tools. */
  keep(map: LatentMap, placement: Placement, x: number, y: number): void {
    const { space } = map;
    const latent = latentAt(this.app, map, placement, x, y);
    // A map beside the main one may be of another run, whose latents the tools cannot use.
    if (!latent || space !== this.app.space) return;
    const still = placement instanceof MapPlacement && !placement.turns;
    this.app.setLatent(latent, space, `Chosen on the map ${map.header.name}`, still ? { map: map.id, x, y } : null);
    this.app.announce("Decoded latent kept");
  }

  end(): void {
    this.again = null;
    this.element.hidden = true;
  }

  /** Reads the decoder and the latents of a run, once. */
  private wait(space: Space): void {
    if (!space.header.decoder || this.asked.has(space)) return;
    this.asked.add(space);
    this.app.later(this.app.readyToDecode(space).then(() => this.again?.()));
  }
}
