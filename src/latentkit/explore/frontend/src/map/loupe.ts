// The decoded image that follows the pointer over a map.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { h, sizedCanvas } from "../dom";
import { inverseWords, latentAt } from "./inverse";
import { type Placement } from "./placement";

const SIDE = 112;

export class Loupe {
  private readonly element = h("div", { class: "lk-tooltip lk-loupe", "aria-hidden": "true", hidden: true });
  private readonly words = h("div", { class: "lk-quiet" });
  private canvas: HTMLCanvasElement | null = null;

  constructor(private readonly app: App) {}

  /** Decodes the latent under a place, shows it there, and makes it the latent of all tools. */
  at(map: LatentMap, placement: Placement, x: number, y: number, screen: { x: number; y: number; stage: HTMLElement }): void {
    const live = this.app.decoder(map.space).now;
    const latent = latentAt(this.app, map, placement, x, y);
    if (!live || !latent) return;
    if (!this.canvas) {
      const [, height, width] = live.decoder.shape;
      this.canvas = sizedCanvas(width >= height ? SIDE : (SIDE * width) / height, width >= height ? (SIDE * height) / width : SIDE, "lk-image");
      this.element.append(this.canvas, this.words);
    }
    this.app.store.update({ latent, latentFrom: `${map.header.name}, under the pointer` });
    live.draw(latent, this.canvas);
    this.words.textContent = map.isPlane || (map.header.inverse && map.header.dims === 2) ? "decoded" : "decoded from a blend";
    this.words.title = inverseWords(map);
    if (this.element.parentElement !== screen.stage) screen.stage.append(this.element);
    this.element.hidden = false;
    const { clientWidth } = screen.stage;
    const { offsetWidth, offsetHeight } = this.element;
    const left = Math.max(4, Math.min(clientWidth - offsetWidth - 4, screen.x - offsetWidth / 2));
    const above = screen.y - offsetHeight - 22;
    const top = above < 4 ? screen.y + 22 : above; // above a finger, so that it is seen
    this.element.style.setProperty("transform", `translate(${left}px, ${top}px)`);
  }

  end(): void {
    this.element.hidden = true;
  }
}
