// A place for a latent: of the pinned item, or the mean of the selection.

import { type App } from "../app";
import { type Space } from "../data/dataset";
import { button, clear, h, plural } from "../dom";
import { meanLatent } from "../geometry/latents";
import { thumbnail } from "./gallery";

export class Slot {
  readonly element = h("div", { class: "lk-slot" });
  latent: Float32Array | null = null;
  /** The item, if it is one; -1 for a mean. */
  item = -1;
  private readonly space: Space;

  constructor(private readonly app: App, readonly name: string, private readonly changed: () => void) {
    this.space = app.space;
    this.draw();
  }

  take(items: readonly number[] | Uint32Array): void {
    const values = this.space.latents?.now;
    if (!values || items.length === 0) return;
    this.latent = meanLatent(values, this.space.dim, items);
    this.item = items.length === 1 ? items[0]! : -1;
    this.draw(items.length);
    this.changed();
  }

  clear(): void {
    this.latent = null;
    this.item = -1;
    this.draw();
  }

  private draw(count = 0): void {
    const { store } = this.app;
    clear(this.element);
    this.element.append(h("b", {}, this.name));
    if (this.item >= 0) this.element.append(thumbnail(this.app, this.item, 40));
    else this.element.append(h("span", { class: "lk-slot-empty" }, this.latent ? `mean of ${plural(count, "item")}` : "empty"));
    this.element.append(
      button("use pinned", () => this.say(store.state.pinned >= 0 ? [store.state.pinned] : [], "Pin an item first: click a point."), { className: "lk-link", label: `${this.name}: take the pinned item` }),
      button("use selection", () => this.say(this.app.selected, "Select items first: draw a lasso."), { className: "lk-link", label: `${this.name}: take the mean of the selection` }),
    );
  }

  private say(items: readonly number[] | Uint32Array, missing: string): void {
    if (items.length) this.take(items);
    else {
      this.app.announce(missing);
      const note = h("small", { class: "lk-quiet" }, missing);
      this.element.append(note);
      setTimeout(() => note.remove(), 2500);
    }
  }
}
