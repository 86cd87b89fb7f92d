// Maps side by side, and one map turning into another.

import { type App } from "../app";
import { type LatentMap } from "../data/dataset";
import { button, clear, h, plural, select } from "../dom";
import { type Moved, MOVED_NEIGHBOURS, movedItems } from "../map/morph";
import { thumbnail } from "./gallery";

const MOST_MEASURED = 20_000;
const LISTED = 24;
const SECONDS = 1.4; // of one morph

/** Tracks over the epochs of a map's run, and over runs, each told by what really differs along it. */
export function tracks(same: readonly LatentMap[], map: LatentMap): { text: string; track: LatentMap[] }[] {
  const header = (one: LatentMap): { name: string; epoch: number | null } => one.space.header;
  const epochs = same.filter((one) => header(one).name === header(map).name);
  epochs.sort((a, b) => (header(a).epoch ?? Infinity) - (header(b).epoch ?? Infinity));
  const runs = same.filter((one) => header(one).epoch === null);
  const found: { text: string; track: LatentMap[] }[] = [];
  const offer = (track: LatentMap[], kind: string, differs: readonly unknown[]): void => {
    if (track.length < 2 || found.some((one) => one.track.every((stop) => track.includes(stop)) && one.track.length === track.length)) return;
    const all = new Set(differs).size === track.length;
    found.push({ text: `Over ${track.length} ${all ? kind : "maps"}`, track });
  };
  offer(epochs, "epochs", epochs.map((one) => header(one).epoch));
  offer(runs, "runs", runs.map((one) => header(one).name));
  return found;
}

export class ComparePanel {
  readonly element = h("div", { class: "lk-panel" });
  private readonly moved = h("div", { class: "lk-thumbs" });
  private readonly told = h("p", { class: "lk-quiet" });
  private readonly slider = h("input", { type: "range", min: 0, step: "any", class: "lk-range", "aria-label": "From one map to the next" });
  private readonly stops = h("div", { class: "lk-ends" });
  private play: HTMLButtonElement;
  private frame = 0;
  private measured = "";
  private work = 0;

  constructor(private readonly app: App) {
    this.play = button("Play", () => this.toggle());
    this.slider.addEventListener("input", () => {
      this.stop();
      app.store.update({ progress: Number(this.slider.value) });
    });
    app.store.on(["panel", "maps", "track"], () => this.draw());
    app.store.on(["progress"], () => (this.slider.value = String(app.store.state.progress)));
    this.draw();
  }

  private draw(): void {
    const { app } = this;
    const { state } = app.store;
    if (state.panel !== "compare") return;
    const maps = app.data.allMaps();
    clear(this.element);
    if (maps.length < 2) {
      this.element.append(h("div", { class: "lk-hint" }, h("p", {}, "This page has one map. The page of a run with several, such as latentkit run --embed pca --embed isomap, compares them here.")));
      return;
    }
    const choices = maps.map((map) => ({ value: map.id, text: this.name(map) }));
    const [main = ""] = state.maps;
    const target = state.track.at(-1) ?? "";
    const beside = select("Map beside", [{ value: "", text: "none" }, ...choices.filter((one) => one.value !== main)], state.maps[1] ?? "", (id) =>
      app.store.update({ maps: id ? [main, id] : [main] }),
    );
    const into = select("Morph into", [{ value: "", text: "nothing" }, ...choices.filter((one) => one.value !== main)], state.track.length === 2 ? target : "", (id) =>
      app.store.update({ track: id ? [main, id] : [], progress: 0 }),
    );
    this.element.append(
      h("section", {}, h("h4", {}, "Side by side"), h("p", { class: "lk-quiet" }, "Both maps share the pointer, the colours and the selection."), h("div", { class: "lk-row" }, h("span", { class: "lk-label" }, "Beside"), beside)),
      h("section", {}, h("h4", {}, "Morph"), h("div", { class: "lk-row" }, h("span", { class: "lk-label" }, "Into"), into), this.epochs(), state.track.length > 1 && this.controls()),
    );
    if (state.track.length > 1) this.element.append(this.movedSection());
  }

  private name(map: LatentMap): string {
    return this.app.data.spaces.length > 1 ? `${map.header.name}, ${map.space.label}` : map.header.name;
  }

  /** A track over the kept epochs of the main map's run, or over runs, if they have a map of its kind. */
  private epochs(): HTMLElement | null {
    const { data, map, store } = this.app;
    const same = data.spaces.flatMap((space) => space.maps.filter((one) => one.key === map.key));
    const row = h("div", { class: "lk-row lk-wrap" });
    for (const { text, track } of tracks(same, map)) row.append(button(text, () => store.update({ track: track.map((one) => one.id), progress: 0 })));
    return row.childElementCount ? row : null;
  }

  private controls(): HTMLElement {
    const { state } = this.app.store;
    this.slider.max = String(state.track.length - 1);
    this.slider.value = String(state.progress);
    clear(this.stops);
    const named = state.track.map((id) => this.app.data.map(id)).filter((map) => map !== null);
    const ends = named.length > 2 ? [named[0]!, named.at(-1)!] : named;
    for (const map of ends) this.stops.append(h("span", {}, this.name(map)));
    return h("div", { class: "lk-morph" }, this.slider, this.stops, h("div", { class: "lk-row" }, this.play, h("span", { class: "lk-quiet" }, "Maps are turned, mirrored and scaled to lie on each other.")));
  }

  private toggle(): void {
    if (this.frame) this.stop();
    else this.start();
  }

  private start(): void {
    const { store } = this.app;
    const last = store.state.track.length - 1;
    const forward = store.state.progress < last - 0.001;
    const from = forward ? store.state.progress : last;
    const to = forward ? last : 0;
    if (this.app.calm) {
      store.update({ progress: to }); // no motion is wanted
      return;
    }
    const began = performance.now();
    this.play.textContent = "Stop";
    const step = (now: number): void => {
      const part = Math.min(1, (now - began) / (1000 * SECONDS * Math.max(0.2, Math.abs(to - from))));
      const eased = part < 0.5 ? 2 * part * part : 1 - 2 * (1 - part) ** 2;
      store.update({ progress: from + (to - from) * eased });
      if (part < 1) this.frame = requestAnimationFrame(step);
      else this.stop();
    };
    this.frame = requestAnimationFrame(step);
  }

  private stop(): void {
    cancelAnimationFrame(this.frame);
    this.frame = 0;
    this.play.textContent = "Play";
  }

  private movedSection(): HTMLElement {
    const { track } = this.app.store.state;
    const key = `${track[0]!} ${track.at(-1)!}`;
    if (key !== this.measured) {
      this.measured = key;
      clear(this.moved);
      this.told.textContent = "Measuring…";
      this.app.later(this.measure(track[0]!, track.at(-1)!).catch((reason: unknown) => {
        this.told.textContent = "This cannot be measured: a map cannot be read.";
        throw reason;
      }));
    }
    return h("section", {}, h("h4", {}, "Moved most"), this.told, this.moved);
  }

  private async measure(first: string, last: string): Promise<void> {
    const { data } = this.app;
    const [a, b] = [data.map(first), data.map(last)];
    if (!a || !b) return;
    const work = ++this.work;
    const pause = async (): Promise<boolean> => {
      await new Promise((resolve) => setTimeout(resolve));
      return work === this.work;
    };
    const found = await movedItems(await this.app.placement(a), await this.app.placement(b), MOST_MEASURED, pause);
    if (found && work === this.work) this.tell(found);
  }

  private tell({ items, shares, distances }: Moved): void {
    const order = Array.from(items.keys()).sort((x, y) => shares[y]! - shares[x]! || distances[y]! - distances[x]!);
    const mean = shares.reduce((sum, share) => sum + share, 0) / shares.length;
    const measured = items.length < this.app.data.count ? ` (measured on ${plural(items.length, "item")})` : "";
    this.told.textContent = `On average ${Math.round(100 * mean)} % of an item's ${MOVED_NEIGHBOURS} neighbours on the map change${measured}. Under each image: how many changed; first those now farthest from their former neighbours.`;
    clear(this.moved);
    for (const place of order.slice(0, LISTED)) {
      this.moved.append(thumbnail(this.app, items[place]!, 44, `${Math.round(shares[place]! * MOVED_NEIGHBOURS)}`));
    }
  }
}
