// Keeps the paint of each map until something that it depends on changes.

import { type LatentMap } from "../data/dataset";
import { type Dataset } from "../data/dataset";
import { type ColourScale, colourScale, DistancePaint, type Paint, paint } from "../paint";
import { type Store } from "../store";

interface Kept {
  scale: ColourScale | null;
  paint: Paint;
  shown: Uint8Array;
}

export class Painter {
  private readonly kept = new Map<string, Kept>();
  private readonly distancePaints = new Map<number, DistancePaint>();
  private readonly listeners: (() => void)[] = [];

  constructor(private readonly data: Dataset, private readonly store: Store, private readonly dark: () => boolean, private readonly fault: (reason: unknown) => void) {
    store.on(["colour", "hidden", "range", "selection"], () => this.reset());
  }

  /** Calls back when colours have changed for another reason than the state: values that were read. */
  onLoad(listener: () => void): void {
    this.listeners.push(listener);
  }

  reset(): void {
    this.kept.clear();
  }

  scale(map: LatentMap): ColourScale | null {
    return this.of(map).scale;
  }

  /** The classes whose names are written: those that colour points, or else the items' own. */
  classes(map: LatentMap): ColourScale | null {
    const scale = this.of(map).scale;
    if (scale?.kind === "class" || !this.data.labels) return scale;
    return { kind: "class", name: "Class", about: "", labels: this.data.labels, names: this.data.classNames };
  }

  paint(map: LatentMap): Paint {
    const { state } = this.store;
    const base = this.of(map).paint;
    if (!state.distances) return base;
    const item = state.hovered >= 0 ? state.hovered : state.pinned;
    const latents = map.space.latents;
    if (item < 0 || !latents) return base;
    if (!latents.now) {
      if (!latents.failed) this.after(latents.get());
      return base;
    }
    return this.distancePaint(map).paint(latents.now, map.space.dim, item, this.dark(), base);
  }

  distancePaint(map: LatentMap): DistancePaint {
    let found = this.distancePaints.get(map.space.index);
    if (!found) this.distancePaints.set(map.space.index, (found = new DistancePaint(this.data.count)));
    return found;
  }

  /** Whether an item is let through by the filter of classes or values, selected or not. */
  passes(map: LatentMap, item: number): boolean {
    return this.of(map).paint.passed[item] === 1;
  }

  /** Whether an item is let through by the filter, and selected if there is a selection. */
  shown(map: LatentMap, item: number): boolean {
    return this.of(map).shown[item] === 1;
  }

  front(map: LatentMap): Uint32Array {
    return this.of(map).paint.front;
  }

  private of(map: LatentMap): Kept {
    const { colour } = this.store.state;
    // Classes are the same for every map; a trust is of one map, and the rest of one run.
    const key = colour === "trust" ? map.id : colour.includes(":") ? String(map.space.index) : "";
    let kept = this.kept.get(key);
    if (!kept) {
      const scale = colourScale(this.data, map, colour, (reading) => this.after(reading));
      const made = paint(this.data.count, scale, this.store.state, this.dark());
      const shown = new Uint8Array(this.data.count);
      for (const item of made.front) shown[item] = 1;
      this.kept.set(key, (kept = { scale, paint: made, shown }));
    }
    return kept;
  }

  private after(reading: Promise<unknown>): void {
    void reading.catch((reason: unknown) => this.fault(reason)).finally(() => this.changed());
  }

  private changed(): void {
    this.reset();
    for (const listener of this.listeners) listener();
  }
}
